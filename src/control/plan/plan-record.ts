import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { type AccountUsage, creditsCounted, planTotals } from '../../kiro/wire/account-usage.ts'
import { type Checked, jsonReader, mapOf, Type } from '../../shared/schema-type.ts'

/*
 * The account's own figure beside the book's, look by look. Credits are micro-credits, days are counted since the epoch in UTC.
 *
 *   look ──▶ Kiro's figure has grown by so much, the book by so much: added to the day, and to the sums since the plan was reset
 *
 * Only growth is compared, so that nothing need be known of what was used before. What is missing from one look is in the next:
 * a figure that lags, an answer that is under way.
 */

/** Any finite number. */
const Amount = Type.Number()
const MaybeAmount = Type.Union([Amount, Type.Null()])

const Look = {
  /** Epoch ms. */
  at: Amount,
  plan: Type.Union([Type.String(), Type.Null()]),
  /** Kiro's count in this period, overages included. */
  used: Amount,
  limit: Amount,
  /** Epoch ms; `null` if unknown. */
  resetsAt: MaybeAmount,
  others: mapOf(
    Type.Object({
      sum: Amount,
      /** Epoch ms since when it counts. */
      from: Amount
    })
  )
}

const GrowthShape = { used: Amount, booked: Amount }
const LookSchema = Type.Object(Look)
const GrowthSchema = Type.Object(GrowthShape)
const DayGrowthSchema = Type.Object({ ...GrowthShape, day: Amount })

const RecordSchema = Type.Object({
  ...Look,
  /** Total of this book at the last look. */
  booked: Amount,
  /** Growth since the first look at this period. */
  since: Type.Object({ ...GrowthShape, at: Amount }),
  /** Oldest first; the last MAX_DAYS. */
  days: Type.Array(DayGrowthSchema)
})

export type PlanLook = Checked<typeof LookSchema>
/** Growth of Kiro's figure, and the recorded part of it. */
export type Growth = Checked<typeof GrowthSchema>
export type DayGrowth = Checked<typeof DayGrowthSchema>
export type PlanRecord = Checked<typeof RecordSchema>

/** `null` for a damaged record, which is started anew. */
export const parsePlan = jsonReader(RecordSchema)

export interface PlanStory {
  readonly record: PlanRecord
  readonly bookDays: readonly (readonly [day: number, credits: number])[]
}

export const MAX_DAYS = 35

/** A new gateway may be heard of so much later, and clocks differ. */
const JOINING_MS = 600_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
/** A rounded figure may fall a little. */
const ROUNDING = MICROS_PER_CREDIT / 2
/** Drift is more than this part of a day */
const DRIFT_PART = 0.05
/** and more than this. */
const DRIFT_LEAST = MICROS_PER_CREDIT

/** `null` for an account whose plan is not counted in credits. */
export function toLook(
  usage: AccountUsage,
  { at, others }: Pick<PlanLook, 'at' | 'others'>
): PlanLook | null {
  const counted = creditsCounted(usage)
  if (counted === null) return null
  const { plan, resetsAt } = usage
  const limit = toMicros(planTotals(usage).limit)
  return { at, plan, used: toMicros(counted), limit, resetsAt, others }
}

function toMicros(credits: number): number {
  return Math.round(credits * MICROS_PER_CREDIT)
}

export function nextPlan(before: PlanRecord | null, look: PlanLook, booked: number): PlanRecord {
  const anew = { ...look, booked, since: { at: look.at, used: 0, booked: 0 } }
  // A clock that was set back far must not stop the record.
  if (before === null || before.at - look.at > DAY_MS) return { ...anew, days: [] }
  if (look.at < before.at) return before
  const isFallen = look.used < before.used - ROUNDING || booked < before.booked
  if (isFallen || isOtherPeriod(before, look)) return { ...anew, days: before.days }
  const growth = {
    used: Math.max(0, look.used - before.used),
    booked: booked - before.booked + growthOf(before.others, look.others, before.at)
  }
  const { since } = before
  return {
    ...look,
    booked,
    since: { at: since.at, ...sumOf(since, growth) },
    days: isOfDay(before.at, look.at)
      ? addToDay(before.days, { day: dayOf(look.at), ...growth })
      : before.days
  }
}

/** Growth of other gateways' records. A new one counts whole if it has begun since. */
export function growthOf(before: PlanLook['others'], now: PlanLook['others'], at: number): number {
  let growth = 0
  for (const [name, { sum, from }] of Object.entries(now)) {
    const known = before[name]?.sum ?? (from >= at - JOINING_MS ? 0 : sum)
    growth += Math.max(0, sum - known)
  }
  return growth
}

/** The upstream's times vary a little. */
function isOtherPeriod({ resetsAt: one }: PlanLook, { resetsAt: other }: PlanLook): boolean {
  return one !== null && other !== null && Math.abs(one - other) >= DAY_MS
}

/** False after a night without looks: its growth belongs to no day. */
function isOfDay(before: number, at: number): boolean {
  return dayOf(before) === dayOf(at) || at - before <= HOUR_MS
}

function addToDay(days: readonly DayGrowth[], growth: DayGrowth): readonly DayGrowth[] {
  const known = days.find(({ day }) => day === growth.day)
  const others = days.filter(({ day }) => day !== growth.day)
  const next = known === undefined ? growth : { day: growth.day, ...sumOf(known, growth) }
  return [...others, next].toSorted((a, b) => a.day - b.day).slice(-MAX_DAYS)
}

function sumOf(one: Growth, other: Growth): Growth {
  return { used: one.used + other.used, booked: one.booked + other.booked }
}

export function dayOf(at: number): number {
  return Math.floor(at / DAY_MS)
}

/** Usage beyond the record; 0 while Kiro's figure lags. */
export function outsideOf({ used, booked }: Growth): number {
  return Math.max(0, used - booked)
}

export function growthOn({ days }: PlanRecord, day: number): Growth {
  return days.find((one) => one.day === day) ?? { used: 0, booked: 0 }
}

/** Compares the larger of this day and the day before, since a lagging figure moves some into a new day. */
export function isDrifting(record: PlanRecord, day: number): boolean {
  const today = growthOn(record, day)
  const most = Math.max(today.used, growthOn(record, day - 1).used)
  return outsideOf(today) > Math.max(DRIFT_LEAST, most * DRIFT_PART)
}
