/* Formats figures for people; `data-value` stays exact. Unknown figures are `null` and read as a dash. */

export const UNKNOWN = '–'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const hundredths = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })
const thousandths = new Intl.NumberFormat('en', { maximumFractionDigits: 3 })
const money = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/**
 * Formats a number with suitable digits: 0.042, 4.2, 420, 42,000.
 * @param {number | null} value
 */
export function amount(value) {
  if (value === null) return UNKNOWN
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return whole.format(value)
  if (size >= 10) return tenths.format(value)
  return size >= 1 ? hundredths.format(value) : thousandths.format(value)
}

/**
 * Formats credits that are left: 1,000.5, 4.99. They never read as whole once a part is used.
 * @param {number | null | undefined} value
 */
export function balance(value) {
  if (value === null || value === undefined) return UNKNOWN
  if (value < 1) return amount(value)
  const rounded = Math.round(value * 100) / 100
  const isTooMuch = Number.isInteger(rounded) && rounded > value
  return hundredths.format(isTooMuch ? Math.floor(value * 100) / 100 : rounded)
}

/**
 * 950, 12.3K, 4.56M
 * @param {number | null} value
 */
export function short(value) {
  if (value === null) return UNKNOWN
  return Math.abs(value) < 1000 ? amount(value) : compact.format(value)
}

const compactColumn = new Intl.NumberFormat('en', {
  notation: 'compact',
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3
})

/** Formats figures that stand below one another, so that their digits line up. */
export const column = {
  /** 950, 20.0K, 1.00M @param {number} value */
  tokens(value) {
    return value < 1000 ? whole.format(value) : compactColumn.format(value)
  },
  /** 0.130, 12.500 @param {number} value */
  requestCredits(value) {
    return value.toFixed(3)
  },
  /** 6.40, 355.00, <0.01 @param {number | null | undefined} value */
  credits(value) {
    if (value === null || value === undefined) return UNKNOWN
    return value > 0 && value < 0.005 ? '<0.01' : money.format(value)
  },
  /** 840 ms, 18.0 s, 3 min 20 s @param {number} ms */
  duration(ms) {
    return ms >= 999.5 && ms < 59_950 ? `${(ms / 1000).toFixed(1)} s` : duration(ms)
  }
}

/**
 * As the container's limit is named: 512 MB are 536,870,912 bytes.
 * @param {number | null} value
 */
export function bytes(value) {
  if (value === null) return UNKNOWN
  if (value < 1024) return `${whole.format(value)} B`
  if (value < 1048576 / 10) return `${amount(Number((value / 1024).toFixed(1)))} KB`
  const megabytes = value / 1048576
  if (megabytes >= 1024) return `${hundredths.format(megabytes / 1024)} GB`
  return `${megabytes >= 10 ? whole.format(megabytes) : tenths.format(megabytes)} MB`
}

/** @param {number | null} value a share of 1 */
export function percent(value) {
  if (value === null) return UNKNOWN
  const share = value * 100
  return `${share >= 10 ? whole.format(share) : tenths.format(share)} %`
}

/**
 * 0.4 ms, 840 ms, 4.2 s, 3 min 20 s, 2 h 5 min, 3 days
 * @param {number | null} ms
 */
export function duration(ms) {
  if (ms === null) return UNKNOWN
  if (ms < 10) return `${tenths.format(ms)} ms`
  if (ms < 999.5) return `${whole.format(ms)} ms`
  if (ms < 59_950) return `${tenths.format(ms / 1000)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return pair(seconds, 60, 'min', 's')
  const minutes = Math.round(seconds / 60)
  if (minutes < 48 * 60) return pair(minutes, 60, 'h', 'min')
  return `${whole.format(minutes / 1440)} days`
}

/**
 * @param {number} value
 * @param {number} base
 * @param {string} large
 * @param {string} small
 */
function pair(value, base, large, small) {
  const rest = value % base
  const first = `${Math.floor(value / base)} ${large}`
  return rest === 0 ? first : `${first} ${rest} ${small}`
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const minuteClock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const utcDay = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' })
const utcDayShort = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  timeZone: 'UTC'
})
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' })

/** @param {number | null} at epoch ms */
export function timeOfDay(at) {
  return at === null ? UNKNOWN : clock.format(at)
}

/** @param {number} at epoch ms */
export function minuteOfDay(at) {
  return minuteClock.format(at)
}

/** @param {number | null} at epoch ms */
export function date(at) {
  return at === null ? UNKNOWN : dayOnly.format(at)
}

/** `1 Dec 2026, 02:08` @param {number} at epoch ms */
export function shortTime(at) {
  return dayAndTime.format(at)
}

/** A day of the books, which are kept in UTC. @param {number} at epoch ms */
export function day(at) {
  return utcDay.format(at)
}

/** @param {string} iso `2026-11-30` */
export function shortDay(iso) {
  return utcDayShort.format(Date.parse(iso))
}

/**
 * `at 5:13:20 PM`, `on Dec 1, 2026, 12:00 AM`
 * @param {number} time epoch ms, like the next
 * @param {number} now
 */
function pointInTime(time, now) {
  const isToday = new Date(time).toDateString() === new Date(now).toDateString()
  return isToday ? `at ${clock.format(time)}` : `on ${dayAndTime.format(time)}`
}

/**
 * The same with what is left until then.
 * @param {number} time epoch ms, like the next
 * @param {number} now
 */
export function moment(time, now) {
  const when = pointInTime(time, now)
  return time > now ? `${when} (in ${duration(time - now)})` : when
}

/**
 * Writes the times of a sentence, which are in UTC, in the reader's zone.
 * @param {string} sentence
 * @param {readonly import('../feed.ts').NamedTime[]} times
 * @param {number} now epoch ms
 */
export function inLocalTime(sentence, times, now) {
  return times.reduce(
    (text, { text: inUtc, at }) => text.replaceAll(inUtc, () => pointInTime(at, now)),
    sentence
  )
}

/** @param {number | null} at epoch ms; for titles */
export function fullTime(at) {
  return at === null ? '' : full.format(at)
}

/**
 * One thing or many: `plural(1, 'worker')`, `plural(2, 'worker')`.
 * @param {number} count
 * @param {string} thing
 */
export function plural(count, thing) {
  return `${whole.format(count)} ${thing}${count === 1 ? '' : 's'}`
}

/**
 * Returns the last day, in UTC, on which a key works: 2026-12-31 if it expires at 2027-01-01T00:00Z. Empty if never.
 * @param {string | null | undefined} expiresAt
 */
export function lastDay(expiresAt) {
  if (expiresAt === null || expiresAt === undefined) return ''
  return new Date(Date.parse(expiresAt) - 1).toISOString().slice(0, 10)
}
