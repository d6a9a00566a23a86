import type { ReachedLimit, Standing } from '../../shared/standing.ts'

/*
 * Limits as Claude Code reads them. The contract is served by the reference server in its npm package
 * (`claude gateway`, `GET /protocol`, "Usage-limit headers").
 */

const PREFIX = 'anthropic-ratelimit-unified'

/** The client shows its notice once above each of these. */
const THRESHOLDS = [0.95, 0.75] as const

/** While requests are allowed: 1 would say that they are not. */
const MOST_ALLOWED = 0.99

/** Two decimals, below 1. */
export function shownUtilization({ utilization }: Pick<Standing, 'utilization'>): number {
  return Math.min(MOST_ALLOWED, Math.round(utilization * 100) / 100)
}

export function surpassedThreshold({
  utilization
}: Pick<Standing, 'utilization'>): (typeof THRESHOLDS)[number] | null {
  return THRESHOLDS.find((threshold) => utilization > threshold) ?? null
}

/** Headers of an answer that the limit allowed. */
export function toStandingHeaders(standing: Standing): Readonly<Record<string, string>> {
  const threshold = surpassedThreshold(standing)
  const status = threshold === null ? 'allowed' : 'allowed_warning'
  return {
    [`${PREFIX}-status`]: status,
    // The claim that names no window: others make the client calculate with rolling hours.
    [`${PREFIX}-representative-claim`]: 'overage',
    [`${PREFIX}-overage-status`]: status,
    [`${PREFIX}-overage-utilization`]: String(shownUtilization(standing)),
    ...(threshold !== null && { [`${PREFIX}-overage-surpassed-threshold`]: String(threshold) }),
    ...toResetHeaders(standing)
  }
}

/** The client has no word for a limit that never resets. */
const PERIODS = { day: 'daily', week: 'weekly', month: 'monthly', total: null } as const

/** The client's name of a period. */
export function periodWord(period: ReachedLimit['period']): string | null {
  return PERIODS[period]
}

/** Without a claim and an overage status, with which the client would replace the message by its own. */
export function toLimitHeaders(limit: ReachedLimit): Readonly<Record<string, string>> {
  const period = periodWord(limit.period)
  return {
    [`${PREFIX}-status`]: 'rejected',
    [`${PREFIX}-overage-utilization`]: '1',
    [`${PREFIX}-overage-surpassed-threshold`]: '1',
    ...(period !== null && { [`${PREFIX}-overage-period`]: period }),
    [`${PREFIX}-overage-disabled-reason`]: 'org_spend_cap_reached',
    ...toResetHeaders(limit)
  }
}

function toResetHeaders({
  resetsAt
}: Pick<Standing, 'resetsAt'>): Readonly<Record<string, string>> {
  if (resetsAt === null) return {}
  const seconds = String(Math.floor(resetsAt / 1000))
  return { [`${PREFIX}-reset`]: seconds, [`${PREFIX}-overage-reset`]: seconds }
}

/** Amounts of a limit, in credits. */
export interface UsedAmounts extends Pick<ReachedLimit, 'limit' | 'period' | 'resetsAt'> {
  readonly used: number
}

/**
 * Code without a currency sign: the client prints it before an amount, as in "CRD 4.10". Dollars are what it takes
 * without one.
 */
const CREDITS = 'CRD'

/** Hundredths of a credit, for a client that calculates in cents; `null` without a limit. */
export function toUsageAnswer(amounts: UsedAmounts | null): object {
  if (amounts === null) return { limits: [] }
  const { limit, used, period, resetsAt } = amounts
  const isReached = used >= limit
  const utilization = used / limit
  const percent = Math.round((isReached ? utilization : shownUtilization({ utilization })) * 100)
  const threshold = surpassedThreshold({ utilization })
  return {
    extra_usage: {
      is_enabled: true,
      monthly_limit: inHundredths(limit),
      used_credits: Math.floor(inHundredths(used)),
      utilization: percent,
      currency: CREDITS
    },
    limits: [
      {
        kind: 'spend',
        group: periodWord(period) ?? 'total',
        percent,
        resets_at: resetsAt === null ? null : new Date(resetsAt).toISOString(),
        severity: SEVERITIES[threshold ?? 0],
        is_active: true
      }
    ]
  }
}

const SEVERITIES = { 0: 'normal', 0.75: 'warning', 0.95: 'critical' } as const

/** Without the noise of floating point: amounts have six decimals. */
function inHundredths(credits: number): number {
  return Math.round(credits * 1_000_000) / 10_000
}

const SPANS = { day: 'a day', week: 'a week', month: 'a month', total: 'in all' } as const

/** The one sentence that the client prints as it is. */
export function toLimitMessage({ key, limit, period, left, resetsAt }: ReachedLimit): string {
  const whole = `${limit} credits ${SPANS[period]}`
  const what =
    left > 0
      ? `The ${shownRest(left)} credits left of the ${whole} for "${key}" may not suffice for this request`
      : `The ${whole} for "${key}" are used up`
  const reset =
    resetsAt === null ? 'the limit does not reset' : `the limit resets ${resetWords(resetsAt)}`
  return `${what} · ${reset} · ask the operator of this gateway for more credits`
}

/** Two decimals, rounded down; more of an amount that would seem to be nothing. */
function shownRest(credits: number): string {
  const shown = Math.floor(credits * 100) / 100
  return String(shown > 0 ? shown : credits)
}

/** `Dec 2, 00:00 UTC`, as limits reset in UTC. */
function resetWords(resetsAt: number): string {
  const at = new Date(resetsAt)
  const day = at.toLocaleDateString('en-US', { month: 'short', day: 'numeric', timeZone: 'UTC' })
  return `${day}, ${at.toISOString().slice(11, 16)} UTC`
}
