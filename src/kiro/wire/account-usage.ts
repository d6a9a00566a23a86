import {
  asJsonObject,
  type JsonObject,
  objectsIn,
  shortTextMember,
  textMember
} from '../../shared/json.ts'
import { type Checked, Type } from '../../shared/schema-type.ts'

const MAX_ALLOWANCES = 100
const MAX_TEXT_CHARS = 200

const Text = Type.String({ maxLength: MAX_TEXT_CHARS })
const MaybeText = Type.Union([Text, Type.Null()])
const MaybeNumber = Type.Union([Type.Number(), Type.Null()])

const AllowanceSchema = Type.Object({
  kind: Type.Enum(['plan', 'free_trial', 'bonus']),
  name: Text,
  unit: Text,
  used: Type.Number(),
  limit: Type.Number()
})

/** Usage and limits (kiro-protocol §9.8), without anything that identifies the account. */
export const AccountUsageSchema = Type.Object({
  plan: MaybeText,
  /** Epoch ms. */
  resetsAt: MaybeNumber,
  allowances: Type.Array(AllowanceSchema, { maxItems: MAX_ALLOWANCES }),
  overage: Type.Object({
    isEnabled: Type.Boolean(),
    used: Type.Number(),
    charges: Type.Number(),
    currency: MaybeText,
    /** Price of a credit beyond the limit; `null` if unknown. */
    rate: MaybeNumber,
    /** Credits beyond the limit at which requests are refused; `null` if unknown. */
    cap: MaybeNumber
  })
})

export type Allowance = Checked<typeof AllowanceSchema>
export type AccountUsage = Checked<typeof AccountUsageSchema>

function totalOf(allowances: readonly Allowance[], member: 'used' | 'limit'): number {
  return allowances.reduce((sum, allowance) => sum + allowance[member], 0)
}

export function planTotals({ allowances }: Pick<AccountUsage, 'allowances'>) {
  return {
    used: totalOf(allowances, 'used'),
    limit: totalOf(allowances, 'limit'),
    unit: allowances[0]?.unit ?? 'credits'
  }
}

/** Includes overages, whether or not the upstream does; `null` if it does not count in credits. */
export function creditsCounted({ allowances, overage }: AccountUsage): number | null {
  const credits = allowances.filter(({ unit }) => unit.startsWith('credit'))
  if (credits.length === 0 || credits.length < allowances.length) return null
  const used = credits.reduce((sum, one) => sum + one.used, 0)
  const within = credits.reduce((sum, one) => sum + Math.min(one.used, one.limit), 0)
  return Math.max(used, within + overage.used)
}

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

function amountOf(object: JsonObject, name: string): number {
  return toAmount(object[`${name}WithPrecision`] ?? object[name])
}

function knownAmounts(object: JsonObject, name: string): readonly number[] {
  const value = object[`${name}WithPrecision`] ?? object[name]
  return typeof value === 'number' ? [toAmount(value)] : []
}

const MAX_AMOUNT = 1e12

function toAmount(value: unknown): number {
  return Math.min(MAX_AMOUNT, Math.max(0, numberOf(value)))
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

/** The upstream sends seconds with a fraction. */
function epochMs(value: unknown): number | null {
  const ms = Math.round(numberOf(value) * 1000)
  return ms > 0 && ms <= LAST_DATE_MS ? ms : null
}

const LAST_DATE_MS = 8.64e15

function memberOf(object: JsonObject, name: string): JsonObject {
  return asJsonObject(object[name]) ?? {}
}
