import { dayOf, outsideOf, type PlanStory } from './plan-record.ts'

export interface Forecast {
  /** Micro-credits of a usual day. */
  readonly perDay: number
  /** Epoch ms; `null`: not before the plan resets, or not within a year. */
  readonly usedUpAt: number | null
}

const DAY_MS = 86_400_000
const WEEK = 7
const HISTORY_DAYS = 4 * WEEK
const LONGEST_DAYS = 366

/**
 * Uses the median of each day of the week in the last four weeks, so that neither a weekend nor one busy
 * day misleads. `null` before there is a whole day.
 */
export function forecastOf(story: PlanStory, now: number): Forecast | null {
  const history = historyOf(story, now)
  if (history.length === 0) return null
  const rates = Array.from({ length: WEEK }, (_, weekday) =>
    history.length < WEEK
      ? meanOf(history)
      : medianOf(history.filter(({ day }) => day % WEEK === weekday))
  )
  const perDay = rates.reduce((sum, rate) => sum + rate, 0) / WEEK
  return { perDay, usedUpAt: usedUpAt({ rates, record: story.record, now }) }
}

interface PastDay {
  readonly day: number
  readonly credits: number
}

/** Whole days up to yesterday, oldest first, unused days included. */
function historyOf({ record, bookDays }: PlanStory, now: number): readonly PastDay[] {
  const counted = new Map(record.days.map(({ day, used }) => [day, used]))
  const booked = new Map(bookDays)
  const known = [...counted.keys(), ...booked.keys()]
  if (known.length === 0) return []
  const today = dayOf(now)
  // The first day was probably not whole.
  const from = Math.max(today - HISTORY_DAYS, Math.min(...known) + 1)
  const outside = outsideOf(record.since) / Math.max(1, (now - record.since.at) / DAY_MS)
  return Array.from({ length: Math.max(0, today - from) }, (_, at) => {
    const day = from + at
    const recorded = booked.get(day) ?? 0
    return { day, credits: Math.max(counted.get(day) ?? outside + recorded, recorded) }
  })
}

function meanOf(days: readonly PastDay[]): number {
  return days.reduce((sum, { credits }) => sum + credits, 0) / days.length
}

function medianOf(days: readonly PastDay[]): number {
  const credits = days.map((one) => one.credits).toSorted((a, b) => a - b)
  const middle = Math.floor(credits.length / 2)
  const upper = credits[middle] ?? 0
  return credits.length % 2 === 1 ? upper : (upper + (credits[middle - 1] ?? 0)) / 2
}

interface Course {
  readonly rates: readonly number[]
  readonly record: PlanStory['record']
  readonly now: number
}

function usedUpAt({ rates, record, now }: Course): number | null {
  const { limit, used, resetsAt } = record
  if (limit <= 0) return null
  const isReset = resetsAt !== null && resetsAt <= now
  const until = isReset ? null : resetsAt
  let left = limit - (isReset ? 0 : used)
  if (left <= 0) return now
  let at = now
  for (let days = 0; days < LONGEST_DAYS; days++) {
    const day = dayOf(at)
    const midnight = (day + 1) * DAY_MS
    const rate = rates[day % WEEK] ?? 0
    const course = rate * ((midnight - at) / DAY_MS)
    if (course >= left) {
      const end = at + (left / rate) * DAY_MS
      return until !== null && end >= until ? null : end
    }
    left -= course
    at = midnight
    if (until !== null && at >= until) return null
  }
  return null
}
