import { type LeaseReport, type LeaseTerms, NO_REPORT, NO_TERMS } from '../ipc/messages.ts'
import { hasMoved, HEADS_TOLD, outranks } from '../ipc/service-order.ts'
import { FairQueue } from './fair-queue.ts'

const NOTHING: readonly LeaseCommand[] = []

/**
 * This worker's part of the budget, without its sockets, timers and promises.
 *
 * ```
 *              terms.granted                 trim: size goes down first …
 *   primary ───────────────────▶ idle ──────────────────────────────▶ closing
 *      ▲                         │  ▲                                    │ … then the sockets,
 *      │                  issue  ▼  │ release                            │ then the primary has it back
 *      └──── report.returned ── held ◀──── waiting                       ▼
 *      └───────────────────────────────────────────────────────────── trimmed
 * ```
 * Invariants: held ≤ size; size ≤ what the ledger has granted and not yet back; no request waits
 * while a permit is idle.
 */
export class LeaseCore {
  /** Bounded by `maxWaiting` of the terms. */
  readonly #queue = new FairQueue()
  #terms: LeaseTerms
  #told: LeaseReport = NO_REPORT
  #state: 'open' | 'draining' = 'open'
  #held = 0
  /** Totals since the start: taken out of the lease, and of these, those whose sockets are gone. */
  #surrendered = 0
  #returned = 0

  constructor(options: { readonly maxWaiting: number }) {
    this.#terms = { ...NO_TERMS, maxWaiting: options.maxWaiting }
  }

  /** The terms in force. */
  get terms(): LeaseTerms {
    return this.#terms
  }

  /** Permits that may be in flight or idle here; sockets must stay within it. */
  get size(): number {
    return this.#terms.granted - this.#surrendered
  }

  get held(): number {
    return this.#held
  }

  get waiting(): number {
    return this.#queue.size
  }

  get oldest(): { readonly id: number; readonly at: number } | null {
    return this.#queue.oldest
  }

  /** Asks for a permit. After `waiting` an `issue` or `refuse` command names the id, unless `abort` came first. */
  acquire(id: number, key: string, at: number): LeaseAnswer {
    if (this.#state === 'draining') return 'draining'
    if (this.#held < this.size) {
      this.#held += 1
      return 'issued'
    }
    if (this.isFull) return 'full'
    this.#queue.push(id, key, at)
    return 'waiting'
  }

  /** Whether a request could neither go nor wait now. */
  get isFull(): boolean {
    return this.#held >= this.size && this.#queue.size >= this.#terms.maxWaiting
  }

  /**
   * When the queue is full: the waiter that must make room for a request of `key`, if its own key has many more
   * waiting.
   */
  evictionFor(key: string): number | null {
    return this.#queue.evictionFor(key)
  }

  /** False if no waiter has this id (any more). */
  abort(id: number): boolean {
    return this.#queue.remove(id)
  }

  release(now: number): readonly LeaseCommand[] {
    if (this.#held === 0) throw new Error('a permit was released that is not held')
    this.#held -= 1
    return this.#settle(now)
  }

  /** Terms that were overtaken by newer ones are ignored. */
  onTerms(terms: LeaseTerms, now: number): readonly LeaseCommand[] {
    if (terms.seq <= this.#terms.seq) return NOTHING
    this.#terms = terms
    for (const head of terms.heads) this.#queue.noteServed(head.key, head.served)
    const commands = [...this.#settle(now)]
    while (this.#queue.size > terms.maxWaiting) {
      const id = this.#queue.popExcess()
      if (id === null) break
      commands.push({ type: 'refuse', id, reason: 'full' })
    }
    return commands
  }

  /** The sockets behind so many trimmed permits are gone. */
  trimmed(permits: number): void {
    this.#returned += permits
  }

  /** Refuses all waiters and gives everything back as it falls idle. */
  drain(now: number): readonly LeaseCommand[] {
    this.#state = 'draining'
    const commands: LeaseCommand[] = []
    for (let waiter = this.#queue.oldest; waiter !== null; waiter = this.#queue.oldest) {
      this.#queue.remove(waiter.id)
      commands.push({ type: 'refuse', id: waiter.id, reason: 'draining' })
    }
    return [...commands, ...this.#settle(now)]
  }

  /** Whether the primary would decide otherwise if it knew what this worker knows. */
  get isReportDue(): boolean {
    const told = this.#told
    if (this.#returned !== told.returned || this.#terms.asked > told.seen) return true
    if ((this.#state === 'draining') !== told.draining) return true
    if (this.#spare !== told.spare && this.#isAsked()) return true
    return isQueueNews(told, this.#terms.granted, this.#queue)
  }

  /** The message that is due. It must be sent. */
  takeReport(): LeaseReport {
    this.#told = {
      type: 'lease.report',
      seq: this.#told.seq + 1,
      seen: this.#terms.seq,
      granted: this.#terms.granted,
      returned: this.#returned,
      spare: this.#spare,
      waiting: this.#queue.size,
      heads: this.#queue.heads(HEADS_TOLD),
      draining: this.#state === 'draining'
    }
    return this.#told
  }

  get #spare(): number {
    return this.#terms.granted - this.#returned - this.#held
  }

  /** Gives each idle permit to whose turn it is: the primary after a shrink, a waiter here, or one elsewhere. */
  #settle(now: number): readonly LeaseCommand[] {
    const idle = this.size - this.#held
    if (idle <= 0 || (this.#queue.size === 0 && !this.#isAsked())) return NOTHING
    const commands: LeaseCommand[] = []
    const { returned, owed } = this.#terms
    const overdue = returned + owed - this.#surrendered // after "no limit" these are millions
    let permits = this.#state === 'draining' ? idle : Math.min(idle, Math.max(0, overdue))
    this.#surrendered += permits
    for (let left = idle - permits; left > 0; left -= 1) {
      if (this.#mustReturn(now)) {
        permits += 1
        this.#surrendered += 1
        continue
      }
      const id = this.#queue.shift(now)
      if (id === null) break
      this.#held += 1
      commands.push({ type: 'issue', id })
    }
    if (permits > 0) commands.push({ type: 'trim', max: this.size, permits })
    return commands
  }

  #isAsked(): boolean {
    const { returned, owed, wanted } = this.#terms
    return this.#state === 'draining' || this.#surrendered < returned + owed + wanted
  }

  #mustReturn(now: number): boolean {
    const { returned, owed, wanted, heads } = this.#terms
    const done = this.#surrendered - returned - owed
    if (done >= wanted) return false
    const ours = this.#queue.peek()
    const theirs = heads[done]
    if (ours === null) return true
    if (theirs === undefined) return false
    const served = Math.max(theirs.served, this.#queue.servedAt(theirs.key))
    return outranks({ ...theirs, served }, ours, now)
  }
}

/** What the shell has to do. `trim`: bring the sockets down to `max`, then call `trimmed(permits)`. */
export type LeaseCommand =
  | { readonly type: 'issue'; readonly id: number }
  | { readonly type: 'refuse'; readonly id: number; readonly reason: 'full' | 'draining' }
  | { readonly type: 'trim'; readonly max: number; readonly permits: number }

/** What becomes of a request for a permit; after `waiting` a command decides. */
export type LeaseAnswer = 'issued' | 'waiting' | 'full' | 'draining'

/**
 * Whether the primary has a wrong picture of the queue: it takes what it was told, less what it has
 * granted since. More waiting is always news, less only when it matters, since under load every request
 * would be a message otherwise.
 */
export function isQueueNews(told: LeaseReport, granted: number, queue: FairQueue): boolean {
  const served = granted - told.granted
  const believed = Math.max(0, told.waiting - served)
  if (queue.size > believed || believed - queue.size > Math.floor(believed / 32)) return true
  const next = queue.peek()
  return next !== null && hasMoved(told.heads.slice(served), [next])
}
