import type { CreditPeriod } from './key.ts'

/** After which an allowance starts anew: those of credits, and the minute in which requests are counted. */
export type PeriodKind = CreditPeriod | 'minute' | 'never'

/** A stretch of time in which something is counted. Times are milliseconds since the epoch. */
export interface Period {
  readonly kind: PeriodKind
  /** Grows from one to the next, whatever the clock does. */
  readonly number: number
  readonly startsAt: number
  /** `null` for never. */
  readonly endsAt: number | null
}

/**
 * The period that follows from the one before it and the clock: the same while that lasts.
 *
 * A clock that is set back brings no old period back: what was used is counted on until the same end, or else the limit
 * could be used twice. Only when it turns out to have been wrong by more than a whole period does the period end as the
 * clock now says, still with all that was used in it.
 */
export function periodAt(kind: PeriodKind, before: Period | null, now: number): Period {
  const [startsAt, endsAt] = spanOf(kind, now)
  if (before === null) return { kind, number: numberOf(startsAt), startsAt, endsAt }
  if (before.kind !== kind) {
    return { kind, number: Math.max(before.number + 1, numberOf(startsAt)), startsAt, endsAt }
  }
  if (before.endsAt === null) return before
  if (now >= before.endsAt) {
    return { kind, number: Math.max(before.number + 1, numberOf(startsAt)), startsAt, endsAt }
  }
  const wasWrong = endsAt !== null && endsAt < before.startsAt
  return wasWrong ? { kind, number: before.number, startsAt, endsAt } : before
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** The first Monday of the epoch. */
const MONDAY = 4 * DAY_MS

/** In UTC: a day has 24 hours there, and a server need not know where its users live. */
function spanOf(kind: PeriodKind, now: number): readonly [startsAt: number, endsAt: number | null] {
  switch (kind) {
    case 'never':
    case 'total':
      return [0, null]
    case 'minute':
      return evenly(now, MINUTE_MS, 0)
    case 'day':
      return evenly(now, DAY_MS, 0)
    case 'week':
      return evenly(now, 7 * DAY_MS, MONDAY)
    case 'month': {
      const at = new Date(now)
      const [year, month] = [at.getUTCFullYear(), at.getUTCMonth()]
      return [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1)]
    }
  }
}

function evenly(now: number, lengthMs: number, from: number): readonly [number, number] {
  const startsAt = Math.floor((now - from) / lengthMs) * lengthMs + from
  return [startsAt, startsAt + lengthMs]
}

/** Number of a period, which does not depend on memory. At least 1: 0 stands for none. */
function numberOf(startsAt: number): number {
  return Math.max(1, Math.floor(startsAt / MINUTE_MS))
}
