import { type AccountUsage, planTotals } from '../../kiro/wire/account-usage.ts'

/** Delay of Kiro's figure behind its metering. */
const LAG_MS = 900_000
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

interface Metered {
  readonly minute: number
  credits: number
}

/**
 * The upstream's last figure and the credits metered since. It lags: a lower reading counts only as far as
 * the last quarter of an hour does not explain it. After a change of token it is another account's, and
 * counts.
 */
export class PlanGauge {
  #usage: AccountUsage | null = null
  /** Credits, like the next. */
  #used = 0
  #sinceLook = 0
  #isDoubted = true
  /** Oldest first. Bounded by the minutes of LAG_MS. */
  readonly #metered: Metered[] = []

  get usage(): AccountUsage | null {
    return this.#usage
  }

  get used(): number {
    return this.#used
  }

  get sinceLook(): number {
    return this.#sinceLook
  }

  get isDoubted(): boolean {
    return this.#isDoubted
  }

  /** A new token may be of another account. */
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

  /** True while Kiro goes on at an extra price: the plan is used up and overage enabled. Unknown after a reset. */
  isBeyondPlan(now: number): boolean {
    if (this.#usage === null) return false
    const { resetsAt, overage } = this.#usage
    const { limit } = planTotals(this.#usage)
    const isOver = resetsAt !== null && resetsAt <= now
    return overage.isEnabled && limit > 0 && this.#used >= limit && !isOver
  }

  /** From 0 to 1; 1 if unknown. */
  get left(): number {
    if (this.#usage === null) return 1
    const { limit } = planTotals(this.#usage)
    return limit > 0 ? Math.max(0, 1 - this.#used / limit) : 1
  }

  #lately(now: number): number {
    const from = Math.floor((now - LAG_MS) / MINUTE_MS)
    const until = Math.floor(now / MINUTE_MS)
    // A clock that went back leaves minutes in the future.
    const kept = this.#metered.filter(({ minute }) => minute >= from && minute <= until)
    this.#metered.splice(0, this.#metered.length, ...kept)
    return kept.reduce((sum, { credits }) => sum + credits, 0)
  }
}

/** The upstream's times vary a little. */
function isSameReset(
  { resetsAt: one }: Pick<AccountUsage, 'resetsAt'>,
  { resetsAt: other }: Pick<AccountUsage, 'resetsAt'>
): boolean {
  if (one === null || other === null) return one === other
  return Math.abs(one - other) < DAY_MS
}
