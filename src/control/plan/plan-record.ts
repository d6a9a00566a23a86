import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { type AccountUsage, creditsCounted, planTotals } from '../../kiro/wire/account-usage.ts'
import { isJsonObject, parseJsonObject } from '../../shared/json.ts'

/*
 * The account's own figure beside the book's, look by look. Credits are micro-credits, days are counted since the epoch in UTC.
 *
 *   look ──▶ Kiro's figure has grown by so much, the book by so much: added to the day, and to the sums since the plan was reset
 *
 * Only growth is compared, so that nothing need be known of what was used before. What is missing from one look is in the next:
 * a figure that lags, an answer that is under way.
 */

/** Figures of one look at the account. */
export interface PlanLook {
  /** Epoch ms. */
  readonly at: number
  readonly plan: string | null
  /** Everything that Kiro has counted in this period, overages included. */
  readonly used: number
  readonly limit: number
  /** Epoch ms; `null` where it is not told. */
  readonly resetsAt: number | null
  /** Sums of processes of other gateways of a fleet, by their names. */
  readonly others: Readonly<Record<string, OtherSum>>
}

/** Sum of a process of another gateway, and since when it counts. */
export interface OtherSum {
  readonly sum: number
  /** Epoch ms. */
  readonly from: number
}

/** Growth of Kiro's figure, and the recorded part of it. */
export interface Growth {
  readonly used: number
  readonly booked: number
}

export interface DayGrowth extends Growth {
  readonly day: number
}

/** Record of one account. */
export interface PlanRecord extends PlanLook {
  /** Total of this book at the last look. */
  readonly booked: number
  /** Since the first look at this period. */
  readonly since: Growth & { readonly at: number }
  /** The oldest first; the last MAX_DAYS of them. */
  readonly days: readonly DayGrowth[]
}

/** The book's record of the plan. */
export interface PlanStory {
  readonly record: PlanRecord
  /** Credits that are recorded of each day, of the last weeks. */
  readonly bookDays: readonly (readonly [day: number, credits: number])[]
}

export const MAX_DAYS = 35

/** A gateway that has begun may be told of so much later, and clocks of machines differ. */
const JOINING_MS = 600_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
/** A figure that is rounded may fall by a little. */
const ROUNDING = MICROS_PER_CREDIT / 2
/** More of a day than this part of it was used elsewhere, */
const DRIFT_PART = 0.05
/** and more than this. */
const DRIFT_LEAST = MICROS_PER_CREDIT

/** Returns `null` for an account whose plan is not counted in credits. */
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

/** Adds a look. `booked`: what this book has recorded in all. */
export function nextPlan(before: PlanRecord | null, look: PlanLook, booked: number): PlanRecord {
  const anew = { ...look, booked, since: { at: look.at, used: 0, booked: 0 } }
  // A clock that was set back far must not keep the record from going on.
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

/** Returns what other gateways have recorded since. Of one that was not known then, all if it has begun since. */
export function growthOf(before: PlanLook['others'], now: PlanLook['others'], at: number): number {
  let growth = 0
  for (const [name, { sum, from }] of Object.entries(now)) {
    const known = before[name]?.sum ?? (from >= at - JOINING_MS ? 0 : sum)
    growth += Math.max(0, sum - known)
  }
  return growth
}

/** The upstream may tell the same time a little differently. */
function isOtherPeriod({ resetsAt: one }: PlanLook, { resetsAt: other }: PlanLook): boolean {
  return one !== null && other !== null && Math.abs(one - other) >= DAY_MS
}

/** Returns whether growth since `before` belongs to one day: after a night without looks it belongs to none. */
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

/** Returns what the account has used beyond what is recorded. Kiro's figure may lag: then nothing. */
export function outsideOf({ used, booked }: Growth): number {
  return Math.max(0, used - booked)
}

/** Returns what has grown on a day. */
export function growthOn({ days }: PlanRecord, day: number): Growth {
  return days.find((one) => one.day === day) ?? { used: 0, booked: 0 }
}

/**
 * Returns whether more of a day was used elsewhere than can be passed over. Compared with the day before where that was the larger, since
 * a figure that lags brings a little of it into a day that has just begun.
 */
export function isDrifting(record: PlanRecord, day: number): boolean {
  const today = growthOn(record, day)
  const most = Math.max(today.used, growthOn(record, day - 1).used)
  return outsideOf(today) > Math.max(DRIFT_LEAST, most * DRIFT_PART)
}

/** Reads what is kept of a record; `null` for one that is damaged, which is begun anew. */
export function parsePlan(text: string): PlanRecord | null {
  const found = parseJsonObject(text)
  if (found === null || !isGrowth(found['since']) || !Array.isArray(found['days'])) return null
  const { at, used, limit, booked, others, resetsAt } = found
  if (![at, used, limit, booked].every(Number.isFinite) || !isJsonObject(others)) return null
  if (resetsAt !== null && !Number.isFinite(resetsAt)) return null
  if (!found['days'].every(isGrowth) || !Object.values(others).every(isOtherSum)) return null
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as it was written
  return found as unknown as PlanRecord
}

function isOtherSum(value: unknown): boolean {
  return isJsonObject(value) && Number.isFinite(value['sum']) && Number.isFinite(value['from'])
}

function isGrowth(value: unknown): boolean {
  return isJsonObject(value) && Number.isFinite(value['used']) && Number.isFinite(value['booked'])
}
