import {
  asJsonObject,
  type JsonObject,
  objectsIn,
  shortTextMember,
  textMember
} from '../../shared/json.ts'

/** One allowance of an account. */
export interface Allowance {
  /** Source of the used amount: the plan itself, a trial, or a gift. */
  readonly kind: 'plan' | 'free_trial' | 'bonus'
  readonly name: string
  /** As the upstream counts: `credits`, `invocations`, … */
  readonly unit: string
  readonly used: number
  readonly limit: number
}

/** Usage and limits of an account (kiro-protocol §9.8); nothing that identifies the account. */
export interface AccountUsage {
  readonly plan: string | null
  /** Milliseconds since the epoch. */
  readonly resetsAt: number | null
  /** Only those that count now: a trial that is over is left out. */
  readonly allowances: readonly Allowance[]
  readonly overage: {
    /** Requests go on beyond the limit, and cost extra. */
    readonly isEnabled: boolean
    readonly used: number
    readonly charges: number
    readonly currency: string | null
    /** Price of one credit beyond the limit; `null` where it is not told, like the next. */
    readonly rate: number | null
    /** Credits beyond the limit after which requests are refused. */
    readonly cap: number | null
  }
}

/** Sums over all allowances. */
export function sumOfAllowances(
  allowances: readonly Allowance[],
  member: 'used' | 'limit'
): number {
  return allowances.reduce((sum, allowance) => sum + allowance[member], 0)
}

/** Everything that an account has used and may use, of whichever kind. */
export interface PlanTotals {
  readonly used: number
  readonly limit: number
  readonly unit: string
}

export function planTotals({ allowances }: Pick<AccountUsage, 'allowances'>): PlanTotals {
  return {
    used: sumOfAllowances(allowances, 'used'),
    limit: sumOfAllowances(allowances, 'limit'),
    unit: allowances[0]?.unit ?? 'credits'
  }
}

/**
 * Returns the credits that the account has been counted, overages included, whether the upstream counts those among the used ones
 * or beside them; `null` where it does not count in credits.
 */
export function creditsCounted({ allowances, overage }: AccountUsage): number | null {
  const credits = allowances.filter(({ unit }) => unit.startsWith('credit'))
  if (credits.length === 0 || credits.length < allowances.length) return null
  const used = credits.reduce((sum, one) => sum + one.used, 0)
  const within = credits.reduce((sum, one) => sum + Math.min(one.used, one.limit), 0)
  return Math.max(used, within + overage.used)
}

/** More are left out: an account has a few. */
const MAX_ALLOWANCES = 100
const MAX_TEXT_CHARS = 200

/** Reads the upstream's answer. Any member may be missing. */
export function parseAccountUsage(answer: JsonObject): AccountUsage {
  const breakdowns = objectsIn(answer['usageBreakdownList'] ?? answer['usageBreakdown'])
  const sumOf = (read: (breakdown: JsonObject) => number): number =>
    breakdowns.reduce((sum, breakdown) => sum + read(breakdown), 0)
  const currencies = breakdowns.map((one) => shortText(one, 'currency'))
  const caps = breakdowns.flatMap((one) => knownAmounts(one, 'overageCap'))
  return {
    plan: shortText(memberOf(answer, 'subscriptionInfo'), 'subscriptionTitle'),
    resetsAt: epochMs(answer['nextDateReset']),
    allowances: breakdowns.slice(0, MAX_ALLOWANCES).flatMap(allowancesOf).slice(0, MAX_ALLOWANCES),
    overage: {
      isEnabled:
        textMember(memberOf(answer, 'overageConfiguration'), 'overageStatus') === 'ENABLED',
      used: sumOf((one) => amountOf(one, 'currentOverages')),
      charges: sumOf((one) => toAmount(one['overageCharges'])),
      currency: currencies.find((currency) => currency !== null) ?? null,
      rate: breakdowns.flatMap((one) => knownAmounts(one, 'overageRate'))[0] ?? null,
      cap: caps.length === 0 ? null : caps.reduce((sum, cap) => sum + cap, 0)
    }
  }
}

function allowancesOf(breakdown: JsonObject): readonly Allowance[] {
  const resource = shortText(breakdown, 'resourceType') ?? 'unknown'
  const unit = (shortText(breakdown, 'unit') ?? resource).toLowerCase()
  const trial = memberOf(breakdown, 'freeTrialInfo')
  const trials = textMember(trial, 'freeTrialStatus') === 'ACTIVE' ? [trial] : []
  const bonuses = objectsIn(breakdown['bonuses']).filter(
    (bonus) => textMember(bonus, 'status') === 'ACTIVE'
  )
  const read = (kind: Allowance['kind'], from: JsonObject): Allowance => ({
    kind,
    name: shortText(from, 'displayName') ?? resource,
    unit,
    used: amountOf(from, 'currentUsage'),
    limit: amountOf(from, 'usageLimit')
  })
  return [
    read('plan', breakdown),
    ...trials.map((one) => read('free_trial', one)),
    ...bonuses.map((one) => read('bonus', one))
  ]
}

function shortText(object: JsonObject, name: string): string | null {
  return shortTextMember(object, name, MAX_TEXT_CHARS)
}

/** The exact amount where the upstream tells it beside the rounded one. */
function amountOf(object: JsonObject, name: string): number {
  return toAmount(object[`${name}WithPrecision`] ?? object[name])
}

/** None where it is not told. */
function knownAmounts(object: JsonObject, name: string): readonly number[] {
  const value = object[`${name}WithPrecision`] ?? object[name]
  return typeof value === 'number' ? [toAmount(value)] : []
}

/** More than any account has: figures that cannot be would make sums of them no numbers at all. */
const MAX_AMOUNT = 1e12

function toAmount(value: unknown): number {
  return Math.min(MAX_AMOUNT, Math.max(0, numberOf(value)))
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

/** The upstream tells seconds, with a fraction. */
function epochMs(value: unknown): number | null {
  const ms = Math.round(numberOf(value) * 1000)
  return ms > 0 && ms <= LAST_DATE_MS ? ms : null
}

/** Beyond it JavaScript has no dates. */
const LAST_DATE_MS = 8.64e15

function memberOf(object: JsonObject, name: string): JsonObject {
  return asJsonObject(object[name]) ?? {}
}
