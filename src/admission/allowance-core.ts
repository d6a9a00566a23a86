import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceStatus,
  type AllowanceGrant,
  isUsedUp,
  noReport,
  noGrant
} from '../ipc/allowance.ts'

const NOTHING: readonly AllowanceCommand[] = []

const PACE_MS = 50

/** Most that is kept for the next request, in costs of the last answer: a request at an unknown price reserves far more. */
const COSTS_KEPT = 4

/**
 * This worker's part of one limit of a named key, without promises and messages.
 *
 * ```
 *              grant.granted            take               settle: what it cost …
 *   primary ───────────────────▶ spare ──────▶ reserved ───────────────────────▶ used
 *      ▲                         │  ▲                │
 *      └──── report.returned ────┘  └────────────────┘ … and what is left of it
 * ```
 * Invariants: used + reserved + returned ≤ granted, except for overdrawn reservations; no request waits while the spare
 * suffices. A new period resets all totals; older reservations are settled in their own period.
 */
export class AllowanceCore {
  readonly name: AllowanceName
  #grant: AllowanceGrant
  #told: AllowanceReport
  #used = 0
  #reserved = 0
  #returned = 0
  #waitingFor = 0
  /** Credits that requests take within PACE_MS, at least those of one. */
  #usual = 0
  #usualAt = -Infinity
  /** Likely reservation of the next request. */
  #usualOne = 0
  /** Smallest spare since the last `trim()`: no request has needed it. */
  #leastSpare = 0
  #isLeaving = false
  /** Bounded by the requests that are under way, like the next. */
  readonly #held = new Map<number, Holding>()
  /** By arrival. Bounded by the requests that are under way. */
  readonly #waiting = new Map<number, Waiter>()

  constructor(name: AllowanceName) {
    this.name = name
    this.#grant = noGrant(name)
    this.#told = noReport(name, 0)
  }

  get grant(): AllowanceGrant {
    return this.#grant
  }

  get waiting(): number {
    return this.#waiting.size
  }

  get status(): AllowanceStatus {
    const { status } = this.#grant
    const used = status.used + this.#used
    return { ...status, used, reserved: status.reserved + this.#reserved }
  }

  get period(): number {
    return this.#grant.period
  }

  get content(): { readonly used: number; readonly reserved: number } {
    return { used: this.#used, reserved: this.#reserved }
  }

  /** Takes a part, which must be settled. After `waiting` a `give` or `refuse` command follows, unless it leaves. */
  take(id: number, amount: number, at: number): 'taken' | 'waiting' {
    this.#notePace(amount, at)
    if (this.#waiting.size === 0 && amount <= this.#spare) {
      this.#hold(id, amount)
      this.#noteSpare()
      return 'taken'
    }
    this.#waiting.set(id, { amount, at, toldIn: null })
    this.#waitingFor += amount
    return 'waiting'
  }

  leave(id: number): readonly AllowanceCommand[] {
    if (!this.#forget(id)) return NOTHING
    this.#usualOne = 0
    return this.#settle()
  }

  settle(id: number, cost: number): readonly AllowanceCommand[] {
    const held = this.#held.get(id)
    if (held === undefined) throw new Error(`${this.name} holds nothing for request ${id}`)
    this.#held.delete(id)
    if (held.period !== this.#grant.period) return NOTHING
    this.#reserved -= held.amount
    this.#used += cost
    this.#usualOne = Math.min(this.#usualOne, cost * COSTS_KEPT)
    return this.#settle()
  }

  giveBack(): void {
    this.#usual = 0
    this.#isLeaving = true
    this.#returned += Math.max(0, this.#spare)
  }

  /**
   * Returns what was spare all the time since the last call, beyond what the next requests usually take. True if the primary
   * must be told.
   */
  trim(at: number): boolean {
    this.#usual = Math.max(this.#usualOne, this.#fadedUsual(at))
    this.#usualAt = Math.max(at, this.#usualAt)
    // Returning less than half would cost a busy key messages again and again.
    const isMuch = this.#waiting.size === 0 && this.#leastSpare > this.#usual * 2
    if (isMuch) this.#returned += this.#leastSpare - this.#usual
    this.#leastSpare = this.#spare
    return isMuch || this.#told.usual > this.#usual * 2
  }

  /** Ignores overtaken grants. */
  onGrant(grant: AllowanceGrant): readonly AllowanceCommand[] {
    if (grant.seq <= this.#grant.seq) return NOTHING
    if (grant.period !== this.#grant.period) this.#begin()
    this.#grant = grant
    return this.#settle()
  }

  get isReportDue(): boolean {
    const told = this.#told
    const { seq, asked, ahead, recalled } = this.#grant
    const spare = this.#spare
    if (asked > told.seen || this.#returned !== told.returned) return true
    if (this.#waiting.size > 0 && this.#grant.period !== told.period) return true
    if (this.#oldestAt !== told.oldestAt || this.#wanted !== told.wanted) return true
    if (recalled > 0 && spare !== told.spare) return true
    if (spare < Math.min(0, told.spare)) return true
    return spare * 4 < ahead && told.seen < seq
  }

  get isStale(): boolean {
    const { used, reserved } = this.#told
    return used !== this.#used || reserved !== this.#reserved
  }

  /** Must be sent. */
  takeReport(): AllowanceReport {
    const seq = this.#told.seq + 1
    for (const waiter of this.#waiting.values()) waiter.toldIn ??= seq
    this.#told = {
      name: this.name,
      seq,
      seen: this.#grant.seq,
      period: this.#grant.period,
      used: this.#used,
      reserved: this.#reserved,
      returned: this.#returned,
      spare: this.#spare,
      wanted: this.#wanted,
      oldestAt: this.#oldestAt,
      usual: this.#usual,
      isLast: this.#isLeaving
    }
    return this.#told
  }

  #notePace(amount: number, at: number): void {
    this.#usual = amount + this.#fadedUsual(at)
    this.#usualAt = Math.max(at, this.#usualAt)
    this.#usualOne = amount
  }

  #fadedUsual(at: number): number {
    const passedMs = Math.max(0, at - this.#usualAt)
    return Math.floor(this.#usual * 2 ** (-passedMs / PACE_MS))
  }

  #noteSpare(): void {
    this.#leastSpare = Math.min(this.#leastSpare, this.#spare)
  }

  get #spare(): number {
    return this.#grant.granted - this.#used - this.#reserved - this.#returned
  }

  get #wanted(): number {
    return this.#waiting.size === 0 ? 0 : Math.max(0, this.#waitingFor - this.#spare)
  }

  get #oldestAt(): number | null {
    return this.#first?.[1].at ?? null
  }

  get #first(): readonly [number, Waiter] | null {
    for (const waiter of this.#waiting) return waiter
    return null
  }

  #hold(id: number, amount: number): void {
    this.#held.set(id, { amount, period: this.#grant.period })
    this.#reserved += amount
  }

  #forget(id: number): boolean {
    this.#waitingFor -= this.#waiting.get(id)?.amount ?? 0
    return this.#waiting.delete(id)
  }

  #begin(): void {
    this.#used = 0
    this.#reserved = 0
    this.#returned = 0
    for (const waiter of this.#waiting.values()) waiter.toldIn = null
  }

  #settle(): readonly AllowanceCommand[] {
    const commands = this.#serve()
    this.#noteSpare()
    return commands
  }

  #serve(): readonly AllowanceCommand[] {
    const commands: AllowanceCommand[] = []
    for (;;) {
      const first = this.#first
      const spare = this.#spare
      const isEnough = first !== null && first[1].amount <= spare
      if (spare > 0 && this.#owed > 0 && !(isEnough && this.#goesFirst(first[1]))) {
        this.#returned += Math.min(spare, this.#owed)
        continue
      }
      if (first === null) return commands
      const [id, { amount, toldIn }] = first
      const isRefused =
        !isEnough && isUsedUp(this.name) && (toldIn ?? Infinity) <= this.#grant.final
      if (!isEnough && !isRefused) return commands
      this.#forget(id)
      if (isEnough) this.#hold(id, amount)
      else this.#usualOne = 0 // the next one like it is refused, too, and what is left is of use to others
      commands.push({ type: isEnough ? 'give' : 'refuse', id })
    }
  }

  get #owed(): number {
    return this.#grant.returned + this.#grant.recalled - this.#returned
  }

  #goesFirst({ at }: Waiter): boolean {
    const { recalledFor } = this.#grant
    return recalledFor !== null && at <= recalledFor
  }
}

interface Holding {
  readonly amount: number
  readonly period: number
}

interface Waiter {
  readonly amount: number
  readonly at: number
  toldIn: number | null
}

export interface AllowanceCommand {
  readonly type: 'give' | 'refuse'
  readonly id: number
}
