import type { CredentialNews } from '../../ipc/messages.ts'
import type { KeyCredits } from '../../ipc/usage-row.ts'
import { type CreditPeriod, MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import { type AccountUsage, planTotals } from '../../kiro/wire/account-usage.ts'
import type { FailingRequests } from '../../shared/failing.ts'
import type { JsonObject } from '../../shared/json.ts'
import type { Forecast } from '../plan/forecast.ts'
import { dayOf, growthOn, isDrifting, outsideOf, type PlanRecord } from '../plan/plan-record.ts'
import { toDay, toIso } from '../../shared/dates.ts'

export interface Alert {
  readonly type: AlertType
  /** Equal for what is told once: a limit in a period, or one stretch of trouble. */
  readonly id: string
  readonly text: string
  readonly facts: JsonObject
}

export type AlertType =
  | 'key-limit'
  | 'plan-limit'
  | 'plan-forecast'
  | 'plan-drift'
  | 'sign-in-ending'
  | 'sign-in-failing'
  | 'sign-in-dead'
  | 'account-suspended'
  | 'crash-loop'
  | 'usage-book'
  | 'requests-failing'

const STEPS = [100, 80] as const

function stepOf(used: number, limit: number): (typeof STEPS)[number] | null {
  return STEPS.find((step) => limit > 0 && used * 100 >= limit * step) ?? null
}

/** `isRefused`: a request was refused for lack of credits, however many are left. */
export function keyAlert(
  { id, name }: Pick<NamedKey, 'id' | 'name'>,
  { limit, period, used, endsAt }: KeyCredits,
  isRefused = false
): Alert | null {
  const reached = stepOf(used, limit)
  const step = isRefused && reached !== 100 ? 'refused' : reached
  if (step === null) return null
  const figures = {
    limit: limit / MICROS_PER_CREDIT,
    used: used / MICROS_PER_CREDIT,
    resets_at: toIso(endsAt)
  }
  const anew = endsAt === null ? '' : ` The limit resets at ${toIso(endsAt)}.`
  return {
    type: 'key-limit',
    id: `key/${id}/${endsAt}/${limit}/${step}`,
    text: `The key "${name}" ${STATES[step]}: ${figures.used} of ${figures.limit} credits ${PERIODS[period]}.${anew}`,
    facts: {
      key: name,
      key_id: id,
      percent: step === 'refused' ? Math.floor((used / limit) * 100) : step,
      period,
      ...figures
    }
  }
}

const STATES = {
  100: 'has used up its limit',
  80: 'has used 80 % of its limit',
  refused: 'has too few credits left for a request, which was refused'
} as const

const PERIODS: Readonly<Record<CreditPeriod, string>> = {
  day: 'of the day',
  week: 'of the week',
  month: 'of the month',
  total: 'in all'
}

export function planAlert(usage: AccountUsage): Alert | null {
  const { plan, resetsAt } = usage
  const { used, limit, unit } = planTotals(usage)
  const step = stepOf(used, limit)
  if (step === null) return null
  const state = step === 100 ? 'is used up' : 'is used to 80 %'
  return {
    type: 'plan-limit',
    id: `plan/${resetsAt}/${limit}/${step}`,
    text: `The plan of the Kiro account ${state}: ${used} of ${limit} ${unit}.`,
    facts: { plan, percent: step, used, limit, unit, resets_at: toIso(resetsAt) }
  }
}

export function forecastAlert(
  { usedUpAt, perDay }: Forecast,
  { record, lastsUntil, now }: ForecastContext
): Alert | null {
  if (usedUpAt === null || lastsUntil === 'none') return null
  const { resetsAt } = record
  const wanted = lastsUntil === 'reset' ? resetsAt : Date.parse(lastsUntil) + DAY_MS
  if (wanted === null || wanted <= now || usedUpAt >= wanted) return null
  const rate = round(perDay / MICROS_PER_CREDIT)
  const should = lastsUntil === 'reset' ? 'before it is reset on' : 'and should last until'
  const day = lastsUntil === 'reset' ? toDay(wanted) : lastsUntil
  return {
    type: 'plan-forecast',
    id: `forecast/${resetsAt}/${lastsUntil}`,
    text: `The plan of the Kiro account will be used up on ${toDay(usedUpAt)}, ${should} ${day}: the last weeks took ${rate} credits a day.`,
    facts: {
      used_up_at: toIso(usedUpAt),
      lasts_until: toIso(wanted),
      per_day: rate,
      resets_at: toIso(resetsAt)
    }
  }
}

interface ForecastContext {
  readonly record: Pick<PlanRecord, 'resetsAt'>
  readonly lastsUntil: string
  readonly now: number
}

export function driftAlert(record: PlanRecord, now: number): Alert | null {
  const day = dayOf(now)
  if (!isDrifting(record, day)) return null
  const { used, booked } = growthOn(record, day)
  const outside = round(outsideOf({ used, booked }) / MICROS_PER_CREDIT)
  return {
    type: 'plan-drift',
    id: `drift/${day}`,
    text: `${outside} credits used today did not go through this gateway, or were not metered. ${DRIFT_CAUSES}`,
    facts: {
      day: toDay(now),
      outside,
      account: round(used / MICROS_PER_CREDIT),
      gateway: round(booked / MICROS_PER_CREDIT)
    }
  }
}

export const DRIFT_CAUSES =
  'Likely causes: the Kiro IDE, kiro-cli or another gateway uses the same account; a client sends a Kiro key of this account; the gateway has signed in with another account.'

function round(credits: number): number {
  return Math.round(credits * 100) / 100
}

/** `null` while there is a token, or a first sign-in is pending. */
export function signInAlert({ problem, ...news }: CredentialNews): Alert | null {
  if (problem === null || problem.code === 'GW_LOGIN_PENDING') return null
  const { code, message } = problem
  const facts = { code, reason: message }
  if (code === 'GW_UPSTREAM_SUSPENDED') {
    return {
      type: 'account-suspended',
      id: 'suspended',
      text: `${message} Requests fail until the gateway has another sign-in. The reason is in the log.`,
      facts
    }
  }
  if (code === 'GW_NOT_READY') {
    if (!('isFailing' in news)) return null
    const text = `The gateway's sign-in has expired and cannot be renewed at the moment, so requests fail. ${message}`
    return { type: 'sign-in-failing', id: 'sign-in/failing', text, facts }
  }
  if (code === 'GW_KEY_INVALID') return null // clients bring keys of their own
  const text = `The gateway must be signed in again. ${message}`
  return { type: 'sign-in-dead', id: 'sign-in/dead', text, facts }
}

const DAY_MS = 86_400_000

const ENDING_DAYS = 7

/** For a sign-in that can be renewed only until `endsAt` (epoch ms). */
export function endingAlert(endsAt: number | null, now: number): Alert | null {
  if (endsAt === null || endsAt <= now || endsAt - now > ENDING_DAYS * DAY_MS) return null
  const day = toIso(endsAt)
  const text = `The gateway's sign-in ends on ${day}, when its client registration expires. Sign in again before that.`
  return { type: 'sign-in-ending', id: `sign-in/ending/${endsAt}`, text, facts: { ends_at: day } }
}

export const SIGN_IN_ALERTS = ['suspended', 'sign-in/failing', 'sign-in/dead'] as const

export const CRASH_LOOP: Alert = {
  type: 'crash-loop',
  id: 'crash-loop',
  text: 'A worker of the gateway repeatedly dies during start-up. The reason is in the log.',
  facts: {}
}

export const FAILING_ID = 'requests-failing'

export function failingAlert({ count, code, reason, at }: FailingRequests): Alert {
  const text = `The last ${count} requests failed: ${reason} (${code})`
  return { type: 'requests-failing', id: FAILING_ID, text, facts: { code, count, at: toIso(at) } }
}

export const BOOK_ID = 'usage-book'

export function bookAlert(text: string): Alert {
  return { type: 'usage-book', id: BOOK_ID, text, facts: {} }
}
