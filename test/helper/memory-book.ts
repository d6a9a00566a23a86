import type { BookCharge, PageAsk, PageNews } from '../../src/control/book/book-messages.ts'
import {
  heldIn,
  leaseIn,
  nextPage,
  openPage,
  type Page,
  type PageEvent,
  wishedIn
} from '../../src/control/book/page.ts'
import type { BookProblem } from '../../src/control/book/usage-book.ts'

/** The pages of an account book in memory, with the rules of the real one, for several runs of a gateway. */
export class MemoryBook {
  readonly pages = new Map<string, Page>()
  readonly runs = new Set<string>()
  /** Keys without a page get a closed one. */
  isDamaged = false

  turn(key: string, events: readonly PageEvent[]): Page {
    const [begin] = events.filter((event) => event.type === 'begin')
    const before = this.pages.get(key) ?? (begin && openPage(begin.period, this.#facts))
    if (before === undefined) throw new Error(`there is no page of ${key}`)
    const page = events.reduce(nextPage, before)
    this.pages.set(key, page)
    return page
  }

  get #facts(): Partial<Page> {
    return this.isDamaged ? { closedAt: 1 } : {}
  }
}

/** The book as one run of a gateway sees it. Answers come some turns of the event loop later. */
export class MemoryRun {
  readonly name: string
  readonly #book: MemoryBook
  /** Set while the book cannot be written. */
  problem: BookProblem | null = null
  /** How many turns of the event loop an answer takes. */
  turns = 1
  /** How many leases were asked for. */
  asks = 0
  /** Knows that there are others. */
  isAware = true
  isNoticed = true
  #isDead = false

  constructor(book: MemoryBook, name: string) {
    this.#book = book
    this.name = name
    book.runs.add(name)
  }

  get hasOthers(): boolean {
    return this.isAware && this.#book.runs.size > 1
  }

  async ask(ask: PageAsk): Promise<PageNews> {
    for (let turn = 0; turn < this.turns; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    if (this.problem !== null || this.#isDead) throw new Error('the disk is full')
    this.asks += 1
    const { key, period, cap, want, release, reopened } = ask
    const run = this.name
    const page = this.#book.turn(key, [
      ...(reopened === null ? [] : [{ type: 'reopen', ...reopened } as const]),
      { type: 'begin', period },
      { type: 'release', run, amount: release },
      { type: 'lease', run, want, cap }
    ])
    return this.#news(key, page)
  }

  /** Settles what rows have charged. */
  settle(charges: readonly BookCharge[]): readonly PageNews[] {
    if (this.#isDead) return []
    return charges.map(({ key, period, credits: amount }) =>
      this.#news(key, this.#book.turn(key, [{ type: 'settle', run: this.name, period, amount }]))
    )
  }

  /** In order, or as after a SIGKILL that another run has noticed. */
  end(type: 'end' | 'lose'): void {
    this.#isDead = true
    this.#book.runs.delete(this.name)
    for (const key of this.#book.pages.keys()) this.#book.turn(key, [{ type, run: this.name }])
  }

  #news(key: string, page: Page): PageNews {
    const { held, settled } = leaseIn(page, this.name)
    return {
      key,
      period: page.period,
      used: page.used,
      share: held + settled,
      settled,
      heldElsewhere: heldIn(page, this.name),
      wishedElsewhere: wishedIn(page, this.name),
      isClosed: page.closedAt !== null
    }
  }
}
