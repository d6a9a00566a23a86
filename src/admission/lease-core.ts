import { type LeaseReport, type LeaseGrant, NO_REPORT, NO_GRANT } from '../ipc/messages.ts'
import { hasMoved, HEADS_TOLD, outranks } from '../ipc/service-order.ts'
import { FairQueue } from './fair-queue.ts'
import { type LeaseAnswer, type LeaseCommand, Pause, type PauseTimes, Starts } from './gate.ts'

export type { LeaseCommand } from './gate.ts'

const NOTHING: readonly LeaseCommand[] = []

/** With fewer idle permits, or less than this part of the budget, more are fetched. */
const LOW_PERMITS = 8
const LOW_PART = 5
const KEPT_PERMITS = 2

/**
 * This worker's part of the budget, without sockets, timers and promises.
 *
 * ```
 *              grant.granted                 trim: size goes down first …
 *   primary ───────────────────▶ idle ──────────────────────────────▶ closing
 *      ▲                         │  ▲                                    │ … then the sockets,
 *      │                  issue  ▼  │ release                            │ then the primary has it back
 *      └──── report.returned ── held ◀──── waiting                       ▼
 *      └───────────────────────────────────────────────────────────── trimmed
 * ```
 * Invariants: held ≤ size ≤ granted and not yet returned; no request waits while a permit is idle, unless it lacks a
 * start or a pause is on (`gate.ts`).
 */
export class LeaseCore {
  /** Bounded by `maxWaiting` of the grant. */
  readonly #queue = new FairQueue()
  readonly #starts = new Starts()
  #pause: Pause | null = null
  #grant: LeaseGrant
  #told: LeaseReport = NO_REPORT
  #state: 'open' | 'draining' = 'open'
  #held = 0
  /** Total permits taken out of the lease; `#returned`: those whose sockets are gone. */
  #surrendered = 0
  #returned = 0

  constructor(options: { readonly maxWaiting: number }) {
    this.#grant = { ...NO_GRANT, maxWaiting: options.maxWaiting }
  }

  get grant(): LeaseGrant {
    return this.#grant
  }

  /** Permits in flight or idle; sockets must stay within it. */
  get size(): number {
    return this.#grant.granted - this.#surrendered
  }

  get held(): number {
    return this.#held
  }

  get waiting(): number {
    return this.#queue.size
  }

  get waitsFor(): 'permit' | 'start' | 'pause' {
    if (this.#pause !== null) return 'pause'
    return this.isPaced && this.#held < this.size ? 'start' : 'permit'
  }

  get isPaused(): boolean {
    return this.#pause !== null
  }

  /** Requests that lack only a start or the end of a pause. */
  get gated(): number {
    return this.#queue.size - this.#lacking
  }

  /** Permits that requests lack and only requests in flight can give. */
  get missing(): number {
    if (this.#pause !== null || this.#held < this.size) return 0
    const { returned, owed, wanted } = this.#grant
    return this.#lacking + Math.max(0, returned + owed + wanted - this.#surrendered)
  }

  get oldest(): { readonly id: number; readonly at: number } | null {
    return this.#queue.oldest
  }

  /** After `waiting` an `issue` or `refuse` command names the id, unless `abort` came first. */
  acquire(id: number, key: string, at: number): LeaseAnswer {
    if (this.#state === 'draining') return 'draining'
    if (this.#held < this.size && !this.#isGated) {
      this.#held += 1
      return 'issued'
    }
    if (this.isFull) return 'full'
    this.#queue.push(id, key, at)
    return 'waiting'
  }

  get isFull(): boolean {
    const mustWait = this.#held >= this.size || this.#isGated
    return mustWait && this.#queue.size >= this.#grant.maxWaiting
  }

  /** Waiter that must make room for a request of `key`, if its own key has many more. */
  evictionFor(key: string): number | null {
    return this.#queue.evictionFor(key)
  }

  abort(id: number): boolean {
    return this.#queue.remove(id)
  }

  /** `isUnsent`: a request with a start was never sent. */
  release(now: number, isUnsent = false): readonly LeaseCommand[] {
    if (this.#held === 0) throw new Error('a permit was released that is not held')
    this.#held -= 1
    if (isUnsent) this.#starts.unsent()
    return this.#settle(now)
  }

  get isPaced(): boolean {
    return this.#grant.pace !== null
  }

  sent(hasStart: boolean): void {
    this.#starts.sent(hasStart)
  }

  pause(times: PauseTimes, now: number): void {
    if (this.#state === 'draining') return // no request waits any more
    if (this.#pause === null) this.#pause = new Pause(times)
    else this.#pause.extend(times, now)
  }

  /** When to call `wake()`; `null` for never. */
  get wakeAt(): number | null {
    return this.#pause?.wakeAt(this.#queue.size) ?? null
  }

  wake(now: number): readonly LeaseCommand[] {
    return this.#settle(now)
  }

  /** Ignores overtaken grants. */
  onGrant(grant: LeaseGrant, now: number): readonly LeaseCommand[] {
    if (grant.seq <= this.#grant.seq) return NOTHING
    this.#grant = grant
    this.#starts.onGrant(grant.pace)
    for (const head of grant.heads) this.#queue.noteServed(head.key, head.served)
    const commands = [...this.#settle(now)]
    while (this.#queue.size > grant.maxWaiting) {
      const id = this.#queue.popExcess()
      if (id === null) break
      commands.push({ type: 'refuse', id, reason: 'full' })
    }
    return commands
  }

  trimmed(permits: number): void {
    this.#returned += permits
  }

  drain(now: number): readonly LeaseCommand[] {
    this.#state = 'draining'
    this.#pause = null
    const commands: LeaseCommand[] = []
    for (let waiter = this.#queue.oldest; waiter !== null; waiter = this.#queue.oldest) {
      this.#queue.remove(waiter.id)
      commands.push({ type: 'refuse', id: waiter.id, reason: 'draining' })
    }
    return [...commands, ...this.#settle(now)]
  }

  get isReportDue(): boolean {
    const told = this.#told
    if (this.#returned !== told.returned || this.#grant.asked > told.seen) return true
    if ((this.#state === 'draining') !== told.draining) return true
    if (this.#spare !== told.spare && this.#isAsked()) return true
    return this.#isPaceNews() || this.#isQueueNews() || this.#isAheadNews()
  }

  takeReport(): LeaseReport {
    const heads = this.#queue.heads(HEADS_TOLD)
    this.#told = {
      type: 'lease.report',
      seq: this.#told.seq + 1,
      seen: this.#grant.seq,
      granted: this.#grant.granted,
      returned: this.#returned,
      spare: this.#spare,
      waiting: this.#lacking,
      ahead: this.#ahead,
      gated: this.gated,
      heads,
      pace: this.isPaced ? this.#starts.report(this.#ready, this.#queue, heads) : null,
      draining: this.#state === 'draining'
    }
    return this.#told
  }

  get #spare(): number {
    return this.#grant.granted - this.#returned - this.#held
  }

  get #low(): number {
    return Math.min(LOW_PERMITS, Math.floor((this.#grant.budget ?? 0) / LOW_PART))
  }

  get #ahead(): number {
    const isOver = this.#state === 'draining' || this.#held === 0
    if (isOver || this.#isGated || this.#isAsked()) return 0
    const idle = this.size - this.#held
    return idle < this.#low ? 2 * this.#low - idle : 0
  }

  #isAheadNews(): boolean {
    const told = this.#told
    const granted = Math.max(0, this.#grant.granted - told.granted - told.waiting)
    if (told.ahead <= granted) return this.#ahead > 0
    return this.#state === 'draining' || this.size - this.#held >= 4 * this.#low
  }

  get #isGated(): boolean {
    return this.#pause !== null || this.isPaced
  }

  /** Requests without a permit, as far as they may start within a minute. */
  get #lacking(): number {
    const idle = this.size - this.#held
    return Math.max(0, Math.min(this.#queue.size, this.#grant.pace?.limit ?? Infinity) - idle)
  }

  get #ready(): number {
    const ready = Math.min(this.#queue.size, this.size - this.#held)
    if (this.#pause === null) return ready
    return this.#pause.isOpen ? Math.min(1, ready) : 0
  }

  #isPaceNews(): boolean {
    const { pace } = this.#told
    if (pace === null || !this.isPaced) return this.isPaced !== (pace !== null)
    const started = this.#starts.granted - pace.granted
    return this.#starts.isNews(pace) || isFarFrom(this.#ready, pace.ready - started)
  }

  /** True if the primary's picture is wrong. Less waiting is news only when it matters, or every request would be. */
  #isQueueNews(): boolean {
    const told = this.#told
    if (this.#queue.size + told.waiting + told.gated === 0) return false // no request waits, as is known
    const served = this.#grant.granted - told.granted
    if (isFarFrom(this.#lacking, told.waiting - served)) return true
    const started = told.pace === null ? 0 : this.#starts.granted - told.pace.granted
    const { gated } = this
    if (isFarFrom(gated, told.gated - started)) return true
    const next = this.#queue.peek()
    return next !== null && hasMoved(told.heads.slice(gated > 0 ? started : served), [next])
  }

  /** Gives idle permits to those next in turn: the primary after a shrink, a waiter here, or one elsewhere. */
  #settle(now: number): readonly LeaseCommand[] {
    if (this.#pause?.isOn(now) === false) this.#pause = null
    const commands = this.#deal(now)
    if (this.isPaced) this.#starts.giveBack()
    return commands
  }

  #deal(now: number): readonly LeaseCommand[] {
    const idle = this.size - this.#held
    const isAsked = this.#isAsked() || this.#grant.ahead > 0
    if (idle <= 0 || (this.#queue.size === 0 && !isAsked)) return NOTHING
    const commands: LeaseCommand[] = []
    const { returned, owed } = this.#grant
    const overdue = returned + owed - this.#surrendered // after "no limit" these are millions
    let permits = this.#state === 'draining' ? idle : Math.min(idle, Math.max(0, overdue))
    this.#surrendered += permits
    for (let left = idle - permits; left > 0; left -= 1) {
      // Permits beyond what all waiters here could use are not kept.
      const isSpare = this.#isGated && left > this.#queue.size
      if (this.#mustReturn(now, isSpare)) {
        permits += 1
        this.#surrendered += 1
        continue
      }
      const issue = this.#issueNext(now)
      if (issue === null) break
      this.#held += 1
      commands.push(issue)
    }
    const lent = this.#lendable()
    this.#surrendered += lent
    permits += lent
    if (permits > 0) commands.push({ type: 'trim', max: this.size, permits })
    return commands
  }

  #lendable(): number {
    const { returned, owed, wanted, ahead } = this.#grant
    if (ahead === 0 || this.#queue.size > 0) return 0
    const left = ahead - Math.max(0, this.#surrendered - returned - owed - wanted)
    const kept = this.#held === 0 ? KEPT_PERMITS : Math.max(1, this.#low)
    return Math.max(0, Math.min(left, this.size - this.#held - kept))
  }

  #issueNext(now: number): LeaseCommand | null {
    if (this.#queue.size === 0 || this.#pause?.isOpen === false) return null
    const hasStart = this.isPaced
    const start = hasStart ? this.#starts.take() : null
    if (hasStart && start === null) return null
    const id = this.#queue.shift(now, start?.key)
    if (id === null) return null
    this.#pause?.pass(this.#queue.size, now)
    return { type: 'issue', id, hasStart }
  }

  #isAsked(): boolean {
    const { returned, owed, wanted } = this.#grant
    return this.#state === 'draining' || this.#surrendered < returned + owed + wanted
  }

  #mustReturn(now: number, isSpare: boolean): boolean {
    const { returned, owed, wanted, heads } = this.#grant
    const done = this.#surrendered - returned - owed
    if (done >= wanted) return false
    const ours = isSpare ? null : this.#queue.peek()
    const theirs = heads[done]
    if (ours === null) return true
    if (theirs === undefined) return false
    const served = Math.max(theirs.served, this.#queue.servedAt(theirs.key))
    return outranks({ ...theirs, served }, ours, now)
  }
}

function isFarFrom(count: number, believed: number): boolean {
  const least = Math.max(0, believed)
  return count > least || least - count > Math.floor(least / 32)
}
