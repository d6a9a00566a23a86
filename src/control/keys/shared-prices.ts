import { type PriceLessons, PriceTable, type PriceTold } from '../../keys/prices.ts'

export interface SharedPricesOptions {
  readonly tell: (lessons: PriceLessons) => void
  readonly keep: (lessons: PriceLessons) => void
}

const TELL_MS = 500
const EAGER_LESSONS = 3

/** Prices learnt by any worker, shared by all and kept over restarts. */
export class SharedPrices {
  readonly #options: SharedPricesOptions
  readonly #table = new PriceTable()
  /** By model and size. Bounded by the table. */
  readonly #untold = new Map<string, PriceLessons>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: SharedPricesOptions) {
    this.#options = options
  }

  /** Adds the account book's prices to what was learnt before it was open, which may have overwritten them. */
  adopt(prices: readonly PriceLessons[]): void {
    for (const one of prices) this.#options.tell(this.#table.merge(one))
    const written = new Map(prices.map((one) => [nameOf(one), String(one.lessons)]))
    for (const one of this.#table.all())
      if (written.get(nameOf(one)) !== String(one.lessons)) this.#options.keep(one)
  }

  /** Workers hear of a first price at once: requests may wait for it. */
  onLessons(told: readonly PriceTold[]): void {
    const now = Date.now()
    for (const one of told) {
      const learnt = this.#table.learn(one, one.credits, now)
      this.#options.keep(learnt)
      if (learnt.lessons.length <= EAGER_LESSONS) this.#options.tell(learnt)
      else this.#untold.set(nameOf(learnt), learnt)
    }
    if (this.#untold.size > 0) this.#timer ??= setTimeout(() => this.#tellAll(), TELL_MS).unref()
  }

  all(): readonly PriceLessons[] {
    return this.#table.all()
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #tellAll(): void {
    this.#timer = null
    for (const learnt of this.#untold.values()) this.#options.tell(learnt)
    this.#untold.clear()
  }
}

function nameOf({ model, size }: PriceLessons): string {
  return `${size} ${model}`
}
