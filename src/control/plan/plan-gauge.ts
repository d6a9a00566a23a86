import { type AccountUsage, planTotals } from '../../kiro/wire/account-usage.ts'

/** Kiro's own figure may lag behind what it has metered by so long. */
const LAG_MS = 900_000
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Credits that were metered here in one minute, counted since the epoch. */
interface Metered {
  readonly minute: number
  credits: number
}

/**
 * Usage of the plan between two readings of the upstream: its last figure, and the credits metered here since.
 *
 * A reading may be lower than that, since the upstream's figure lags. Then the higher figure stands, as far as the
 * credits of the last quarter of an hour explain it: what was counted too much here is forgotten by then. After a
 * change of token, a reading lower than the one before is of another account, and stands as it is.
 */
export class PlanGauge {
  #usage: AccountUsage | null = null
  /** Credits, like the next. */
  #used = 0
  #sinceLook = 0
  #isDoubted = true
  /** The oldest first. Bounded by the minutes of LAG_MS. */
  readonly #metered: Metered[] = []

  /** Last answer of the upstream. */
  get usage(): AccountUsage | null {
    return this.#usage
  }

  /** Credits; of the last look and since. */
  get used(): number {
    return this.#used
  }

  /** Credits metered since the last look. */
  get sinceLook(): number {
    return this.#sinceLook
  }

  /** Nothing is known yet of the account of the token in use. */
  get isDoubted(): boolean {
    return this.#isDoubted
  }

  /** There is another token. Its account may be another, too. */
  onToken(): void {
    this.#isDoubted = true
  }

  onUsage(usage: AccountUsage, now: number): void {
    const { used } = planTotals(usage)
    const before = this.#usage
    const isOther = before !== null && this.#isDoubted && used < planTotals(before).used
    const isSamePlan = before !== null && isSameReset(before, usage) && !isOther
    this.#isDoubted = false
    if (isOther) this.#metered.length = 0
    const lately = this.#lately(now)
    this.#used = isSamePlan ? Math.max(used, Math.min(this.#used, used + lately)) : used
    this.#usage = usage
    this.#sinceLook = 0
  }

  onMetered(credits: number, now: number): void {
    if (credits <= 0) return
    this.#used += credits
    this.#sinceLook += credits
    const minute = Math.floor(now / MINUTE_MS)
    const last = this.#metered.at(-1)
    if (last?.minute === minute) last.credits += credits
    else this.#metered.push({ minute, credits })
    this.#lately(now)
  }

  /** True while Kiro goes on at an extra price: the plan is used up and its overage is enabled. Unknown once it has been reset. */
  isBeyondPlan(now: number): boolean {
    if (this.#usage === null) return false
    const { resetsAt, overage } = this.#usage
    const { limit } = planTotals(this.#usage)
    const isOver = resetsAt !== null && resetsAt <= now
    return overage.isEnabled && limit > 0 && this.#used >= limit && !isOver
  }

  /** Part of the plan that is left, from 0 to 1; 1 where that is not known. */
  get left(): number {
    if (this.#usage === null) return 1
    const { limit } = planTotals(this.#usage)
    return limit > 0 ? Math.max(0, 1 - this.#used / limit) : 1
  }

  #lately(now: number): number {
    const from = Math.floor((now - LAG_MS) / MINUTE_MS)
    const until = Math.floor(now / MINUTE_MS)
    // A clock that went back leaves minutes that are yet to come.
    const kept = this.#metered.filter(({ minute }) => minute >= from && minute <= until)
    this.#metered.splice(0, this.#metered.length, ...kept)
    return kept.reduce((sum, { credits }) => sum + credits, 0)
  }
}

/** The upstream may tell the same time a little differently. */
function isSameReset(
  { resetsAt: one }: Pick<AccountUsage, 'resetsAt'>,
  { resetsAt: other }: Pick<AccountUsage, 'resetsAt'>
): boolean {
  if (one === null || other === null) return one === other
  return Math.abs(one - other) < DAY_MS
}
