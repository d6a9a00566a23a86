import type { CreditPeriod } from './key.ts'

export type PeriodKind = CreditPeriod | 'minute' | 'never'

/** Times are epoch ms. */
export interface Period {
  readonly kind: PeriodKind
  /** Grows from period to period, whatever the clock does. */
  readonly number: number
  readonly startsAt: number
  /** `null`: never. */
  readonly endsAt: number | null
}

/**
 * A clock that is set back brings no old period back, since the limit could be used twice: counting goes on
 * until the same end. Only if the clock was wrong by more than a whole period does the period end as the
 * clock says now, still with its used credits.
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
const MONDAY = 4 * DAY_MS

/** UTC days have 24 hours, and a server need not know where its users live. */
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

/** A stable number; at least 1, as 0 stands for none. */
function numberOf(startsAt: number): number {
  return Math.max(1, Math.floor(startsAt / MINUTE_MS))
}
