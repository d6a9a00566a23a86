import { type GatewayError, operatorError } from '../shared/errors.ts'
import {
  CREDIT_PERIODS,
  type CreditLimit,
  MAX_CREDITS,
  MICROS_PER_CREDIT,
  type NamedKey
} from './key.ts'

/*
 * Limits of a key as people write them. Functions here throw GW_CONFIG_INVALID, which says what is possible
 * and repeats only a short part of the input.
 */

export const MAX_KEY_NAME_CHARS = 64
const MAX_MODELS = 64
const MAX_PATTERN_CHARS = 128
const MAX_RATE = 1_000_000
const MAX_STREAMS = 65_535
const MAX_GRACE_MS = 30 * 86_400_000

export const NO_LIMIT = 'none'

/**
 * Normalizes a name, so that it resembles no other. Names stand in tables, metrics and messages: they mean
 * nothing to paths or terminals.
 */
export function toKeyName(text: string): string {
  const name = text.length > 4 * MAX_KEY_NAME_CHARS ? text : composed(text)
  if (RESERVED.has(name.toLowerCase())) {
    throw operatorError(`"${name}" is reserved: reports use it for keys without a name.`)
  }
  if (LOOK_ALIKES.filter((script) => script.test(name)).length > 1) {
    throw operatorError(`${quoted(text)} mixes letters of different scripts that look alike.`)
  }
  if (name.length <= MAX_KEY_NAME_CHARS && NAME.test(name)) return name
  throw operatorError(
    `${quoted(text)} cannot be the name of a key: 1 to ${MAX_KEY_NAME_CHARS} letters and digits, with . _ - + @ and spaces between them.`
  )
}

const RESERVED: ReadonlySet<string> = new Set(['operator', 'kiro', 'anyone'])

const NAME = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}._+@ -]*[\p{L}\p{M}\p{N}])?$/u

/** A name with letters of two of these can resemble another. */
const LOOK_ALIKES = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u] as const

function composed(text: string): string {
  return text.normalize('NFKC').replaceAll(/ +/g, ' ').trim()
}

export function isSameName(one: string, other: string): boolean {
  return one.toUpperCase() === other.toUpperCase() // of which ß and ς have but one form
}

export function isMeant({ id, name }: Pick<NamedKey, 'id' | 'name'>, text: string): boolean {
  return id === text || isSameName(name, composed(text))
}

/** `200/month`, `12.5/day`, `500/total`. */
export function toCredits(text: string): CreditLimit {
  const [, amount = '', period = ''] =
    /^([0-9]{1,9}(?:\.[0-9]{1,9})?)\/([a-z]+)$/.exec(text.trim()) ?? []
  if (amount === '') throw badCredits(text)
  return checkCredits({ limit: Number(amount), period }, text)
}

/** Micro-credits of `12.5`. */
export function toUsed(text: string): number {
  const isNumber = /^[0-9]{1,9}(?:\.[0-9]{1,6})?$/.test(text.trim())
  const credits = Number(text)
  if (isNumber && credits <= MAX_CREDITS) return Math.round(credits * MICROS_PER_CREDIT)
  throw operatorError(`${quoted(text)} is not an amount of credits such as 12.5.`)
}

/** Checks credits of a file, which may hold what no command would write. `text` is used in the message. */
export function checkCredits(
  { limit, period }: { readonly limit: unknown; readonly period: unknown },
  text: string
): CreditLimit {
  const known = CREDIT_PERIODS.find((one) => one === period)
  const isLimit = typeof limit === 'number' && limit > 0 && limit <= MAX_CREDITS // false for NaN
  if (known === undefined || !isLimit || !isWholeMicros(limit)) throw badCredits(text)
  return { limit, period: known }
}

function isWholeMicros(credits: number): boolean {
  const micros = Math.round(credits * MICROS_PER_CREDIT)
  return micros > 0 && micros / MICROS_PER_CREDIT === credits
}

function badCredits(text: string): GatewayError {
  return operatorError(
    `${quoted(text)} is not a credit limit: give a number above 0 and up to ${MAX_CREDITS} with at most six decimals, followed by /${CREDIT_PERIODS.join(', /')}, as in 200/month.`
  )
}

export function creditsText({ limit, period }: CreditLimit): string {
  return `${limit}/${period}`
}

export function toRequestsPerMinute(value: unknown): number {
  return toCount(value, 'requests per minute', MAX_RATE)
}

export function toMaxStreams(value: unknown): number {
  return toCount(value, 'streams', MAX_STREAMS)
}

function toCount(value: unknown, what: string, max: number): number {
  const isDigits = typeof value === 'string' && /^[0-9]{1,9}$/.test(value.trim())
  const count = isDigits ? Number(value) : value
  const isCount = typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= max
  if (isCount) return count
  throw operatorError(
    `${quoted(String(value))} is not a number of ${what}: give a whole number from 1 to ${max}.`
  )
}

/** `claude-sonnet-*,auto`. */
export function toModels(text: string): readonly string[] {
  return checkModels(text.split(',').map((one) => one.trim()))
}

export function checkModels(patterns: readonly unknown[]): readonly string[] {
  if (patterns.length === 0 || patterns.length > MAX_MODELS) {
    throw operatorError(`A list of models has 1 to ${MAX_MODELS} names or patterns.`)
  }
  const unique = new Set<string>()
  for (const pattern of patterns) {
    if (typeof pattern !== 'string' || !PATTERN.test(pattern)) {
      throw operatorError(
        `${quoted(String(pattern))} is not a model: give names without spaces, separated by commas; * stands for any text.`
      )
    }
    unique.add(pattern)
  }
  return [...unique]
}

const PATTERN = new RegExp(`^[\\x21-\\x2b\\x2d-\\x7e]{1,${MAX_PATTERN_CHARS}}$`)

/** Epoch ms. `2027-01-31` lasts until the end of that day in UTC, or has a time; `90d` counts from `now`. */
export function toExpiry(text: string, now: number): number {
  const word = text.trim()
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(word)
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/.test(
    word
  )
  const at = isDay ? Date.parse(word) + DAY_MS : isTime ? Date.parse(word) : now + spanOf(word)
  const isDate = !Number.isNaN(at) && at <= LAST_MS && (!isDay || isOfCalendar(word))
  if (!isDate) {
    throw operatorError(
      `${quoted(text)} is not a date: give a day such as 2027-01-31, a time such as 2027-01-31T18:00Z, or a duration such as 90d.`
    )
  }
  if (at <= now) throw operatorError(`${quoted(text)} is already past.`)
  return at
}

/** `Date.parse()` takes the 30th of February for the 2nd of March. */
function isOfCalendar(day: string): boolean {
  return new Date(day).toISOString().startsWith(day)
}

/** Milliseconds of `24h`, `30m`, `7d`, `0`. */
export function toGraceMs(text: string): number {
  const ms = text.trim() === '0' ? 0 : spanOf(text.trim())
  if (ms >= 0 && ms <= MAX_GRACE_MS) return ms // false for NaN
  throw operatorError(
    `${quoted(text)} is not a grace period: give 0, or up to 30d, such as 24h or 45m.`
  )
}

/** Milliseconds; NaN for anything but a duration. */
export function spanOf(text: string): number {
  const [, count = '', unit = ''] = /^([0-9]{1,6})([mhdw])$/.exec(text) ?? []
  return count === '' ? Number.NaN : Number(count) * (UNIT_MS[unit] ?? Number.NaN)
}

const DAY_MS = 86_400_000
const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: DAY_MS,
  w: 7 * DAY_MS
}
/** End of the year 9999: later years have no four digits. */
const LAST_MS = Date.UTC(10_000, 0) - 1

const MAX_QUOTED_CHARS = 40

function quoted(text: string): string {
  return JSON.stringify(
    text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}…` : text
  )
}
