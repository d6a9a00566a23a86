import type { PaceReport, PaceGrant } from '../ipc/messages.ts'
import type { WaiterHead } from '../ipc/service-order.ts'
import type { FairQueue } from './fair-queue.ts'

/**
 * Starts of this worker: with a pace, each request needs one beside its permit. They are granted to requests that could
 * go at once; unneeded ones go back at once, so that none lies idle here while another worker waits.
 *
 * ```
 *   granted ──▶ at hand ──take──▶ out, with a permit ──sent──▶ used
 *                  │  ▲────────────unsent──┘
 *                  └──giveBack──▶ returned
 * ```
 * All counts are totals since the start of the worker.
 */
export class Starts {
  #isPaced = false
  #granted = 0
  #used = 0
  #returned = 0
  #extra = 0
  /** Keys whose turns the starts at hand are. Bounded by the turns of the grant, and by the permits held. */
  #turns: (string | null)[] = []

  get granted(): number {
    return this.#granted
  }

  onGrant(pace: PaceGrant | null): void {
    this.#isPaced = pace !== null
    if (pace === null) return this.giveBack()
    const news = pace.granted - this.#granted
    this.#granted = pace.granted
    if (news > 0) this.#turns.push(...pace.turns.slice(-news))
  }

  /** `key`: whose turn it is, if any. `null` if no start is at hand. */
  take(): { readonly key: string | null } | null {
    const key = this.#turns.shift()
    return key === undefined ? null : { key }
  }

  sent(hasStart: boolean): void {
    if (hasStart) this.#used += 1
    else if (this.#isPaced) this.#extra += 1
  }

  unsent(): void {
    if (this.#isPaced) this.#turns.push(null)
    else this.#returned += 1
  }

  giveBack(): void {
    this.#returned += this.#turns.length
    this.#turns.length = 0
  }

  report(ready: number, queue: FairQueue, heads: readonly WaiterHead[]): PaceReport {
    const keys = [...new Set(heads.map(({ key }) => key))]
    return {
      granted: this.#granted,
      used: this.#used,
      returned: this.#returned,
      extra: this.#extra,
      ready,
      keys: keys.map((key) => ({ key, waiting: queue.waitingOf(key) }))
    }
  }

  /** A start counts from when the primary hears of it, so uses are news. */
  isNews({ used, returned, extra }: PaceReport): boolean {
    return this.#used !== used || this.#returned !== returned || this.#extra !== extra
  }
}

export interface PauseTimes {
  /** The first request may go. */
  readonly opensAt: number
  /** Waiting requests go one by one until then. */
  readonly endsAt: number
}

/** A pause and its end. Requests resume one by one: all at once would cause the next pause. */
export class Pause {
  #opensAt: number
  #endsAt: number
  #isOpen = false

  constructor({ opensAt, endsAt }: PauseTimes) {
    this.#opensAt = opensAt
    this.#endsAt = endsAt
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  wakeAt(waiting: number): number {
    return this.#isOpen || waiting === 0 ? this.#endsAt : this.#opensAt
  }

  extend({ opensAt, endsAt }: PauseTimes, now: number): void {
    if (endsAt <= this.#endsAt) return
    this.#opensAt = Math.max(this.#opensAt, opensAt)
    this.#endsAt = endsAt
    this.#isOpen = now >= this.#opensAt
  }

  isOn(now: number): boolean {
    this.#isOpen = now >= this.#opensAt
    return now < this.#endsAt
  }

  pass(waiting: number, now: number): void {
    this.#opensAt = now + (this.#endsAt - now) / (waiting + 1)
    this.#isOpen = false
  }
}

/** `trim`: reduce the sockets to `max`, then call `trimmed(permits)`. */
export type LeaseCommand =
  | { readonly type: 'issue'; readonly id: number; readonly hasStart: boolean }
  | { readonly type: 'refuse'; readonly id: number; readonly reason: 'full' | 'draining' }
  | { readonly type: 'trim'; readonly max: number; readonly permits: number }

export type LeaseAnswer = 'issued' | 'waiting' | 'full' | 'draining'
