/** A key that cuts every answer short must not use up connections and the upstream's work. */
const MAX_OF_KEY = 4

export interface MeterReadingsOptions {
  readonly missing: () => number
  readonly connections: () => number
  readonly bounds?: Partial<typeof BOUNDS>
}

/** The end of an answer is usually near, and metering has a hundred bytes. */
const BOUNDS = {
  ms: 10_000,
  bytes: 1_048_576,
  /** While such answers have no price, which any shorter answer teaches. A key has one of these at a time per model. */
  unpricedMs: 300_000,
  unpricedBytes: 16_777_216
}

export interface MeterReadingOptions {
  readonly key: string
  /** Price unknown and key limited: gives way only if no other request could be served. */
  readonly isUnpriced: boolean
  readonly stop: () => void
}

/**
 * Answers that are read on for their metering, after their clients have everything. Each keeps its permit. If a request
 * lacks a connection, they are given up and cost what their tokens do at the learnt price: a waiting client is worse than
 * credits that are off by a little. While the price is unknown they stay, since a client that kept all connections busy
 * could keep it unknown; if they hold all connections, one gives way after the time that others have.
 *
 *   begin ──▶ reading ──the upstream's end────────────────────────────────────────▶ over
 *                └─ time, bytes, a request that waits, the worker's end ─▶ closing ──┘
 */
export class MeterReadings {
  readonly #options: MeterReadingsOptions
  readonly #bounds: typeof BOUNDS
  /** Oldest first. Bounded by the permits. */
  readonly #open = new Set<MeterReading>()
  /** Given up, and their permits are not back yet. Bounded by the permits. */
  readonly #closing = new Set<MeterReading>()
  #isClosed = false

  constructor(options: MeterReadingsOptions) {
    this.#options = options
    this.#bounds = { ...BOUNDS, ...options.bounds }
  }

  get size(): number {
    return this.#open.size
  }

  /** `null` without room: close the connection at once. */
  begin(options: MeterReadingOptions): MeterReading | null {
    const { key, isUnpriced } = options
    if (this.#isClosed) return null
    if (!isUnpriced && this.#options.missing() > this.#closing.size) return null
    const { ms, bytes, unpricedMs, unpricedBytes } = this.#bounds
    if (!isUnpriced) this.#giveUpOf(key)
    const reading = new MeterReading(options, {
      ms: isUnpriced ? unpricedMs : ms,
      bytes: isUnpriced ? unpricedBytes : bytes,
      longMs: ms,
      onLong: () => this.giveWay(this.#options.missing()),
      open: this.#open,
      closing: this.#closing
    })
    this.#open.add(reading)
    return reading
  }

  giveWay(missing: number): void {
    for (const reading of this.#open) {
      if (this.#closing.size >= missing) return
      if (!reading.isUnpriced) reading.stop()
    }
    const unpriced = [...this.#open].filter(({ isUnpriced }) => isUnpriced)
    const hasAll = unpriced.length >= this.#options.connections()
    if (missing > 0 && this.#closing.size === 0 && hasAll)
      unpriced.find(({ isLong }) => isLong)?.stop()
  }

  /** Ends all: the connections must go. */
  giveUp(): void {
    for (const reading of this.#open) reading.stop()
  }

  /** Ends all, and allows no more: the worker is about to end. */
  close(): void {
    this.#isClosed = true
    this.giveUp()
  }

  #giveUpOf(key: string): void {
    const own = [...this.#open].filter((one) => one.key === key && !one.isUnpriced)
    if (own.length >= MAX_OF_KEY) own[0]?.stop()
  }
}

interface ReadingBounds {
  readonly ms: number
  readonly bytes: number
  readonly longMs: number
  readonly onLong: () => void
  /** Sets that have the reading while it reads, and while it closes. Bounded by the permits. */
  readonly open: Set<MeterReading>
  readonly closing: Set<MeterReading>
}

export class MeterReading {
  readonly key: string
  readonly isUnpriced: boolean
  readonly #stop: () => void
  readonly #bounds: ReadingBounds
  readonly #timer: NodeJS.Timeout
  readonly #longTimer: NodeJS.Timeout
  #isLong = false
  #bytes = 0
  #state: 'reading' | 'closing' | 'over' = 'reading'

  constructor({ key, isUnpriced, stop }: MeterReadingOptions, bounds: ReadingBounds) {
    this.key = key
    this.isUnpriced = isUnpriced
    this.#stop = stop
    this.#bounds = bounds
    this.#timer = setTimeout(() => this.stop(), bounds.ms)
    this.#longTimer = setTimeout(() => {
      this.#isLong = true
      bounds.onLong()
    }, bounds.longMs)
  }

  /** Had as long as one with a known price. */
  get isLong(): boolean {
    return this.#isLong
  }

  take(bytes: number): boolean {
    this.#bytes += bytes
    if (this.#bytes > this.#bounds.bytes) this.stop()
    return this.#state === 'reading'
  }

  stop(): void {
    if (this.#state !== 'reading') return
    this.#state = 'closing'
    this.#bounds.closing.add(this)
    this.#stop()
  }

  over(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    clearTimeout(this.#timer)
    clearTimeout(this.#longTimer)
    this.#bounds.open.delete(this)
  }

  released(): void {
    this.#bounds.closing.delete(this)
  }
}
