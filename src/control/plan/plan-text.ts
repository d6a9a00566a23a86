import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { forecastOf } from './forecast.ts'
import { dayOf, growthOn, outsideOf, type PlanStory } from './plan-record.ts'
import { toDay } from '../../shared/dates.ts'

/** Words the plan's state, what of it was used elsewhere, and how long it lasts. */
export function planSentences(story: PlanStory, now: number): readonly string[] {
  const { record } = story
  const { plan, used, limit, resetsAt, at, since } = record
  const reset = resetsAt === null ? '' : `, resets on ${toDay(resetsAt)}`
  const time = `${new Date(at).toISOString().slice(0, 16)}Z`
  const today = outsideOf(growthOn(record, dayOf(now)))
  const sinceThen = outsideOf(since)
  return [
    `Plan ${plan ?? 'unknown'}: ${toText(used)} of ${toText(limit)} credits used, as Kiro said at ${time}${reset}.`,
    ...(today < LEAST ? [] : [`${toText(today)} credits used today ${ELSEWHERE}`]),
    ...(sinceThen <= today || sinceThen < LEAST
      ? []
      : [`${toText(sinceThen)} credits used since ${toDay(since.at)} ${ELSEWHERE}`]),
    ...forecastText(story, now)
  ]
}

const ELSEWHERE = 'did not go through this gateway, or were not metered.'

/** Micro-credits; less is rounding. */
const LEAST = MICROS_PER_CREDIT / 100

function forecastText(story: PlanStory, now: number): readonly string[] {
  const forecast = forecastOf(story, now)
  if (forecast === null) return []
  const { perDay, usedUpAt } = forecast
  const rate = `At the rate of the last weeks, ${toText(perDay)} credits a day,`
  if (usedUpAt === null) return [`${rate} the plan lasts until it is reset.`]
  if (usedUpAt <= now) return ['The plan is used up.']
  return [`${rate} the plan lasts until ${toDay(usedUpAt)}.`]
}

function toText(micros: number): string {
  return String(Math.round((micros / MICROS_PER_CREDIT) * 100) / 100)
}
