/* Formats figures for sentences that the gateway writes: in English, with times in UTC. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const hundredths = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })
const thousandths = new Intl.NumberFormat('en', { maximumFractionDigits: 3 })

/** 0.042, 4.2, 420, 42,000 */
export function amount(value: number): string {
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return whole.format(value)
  if (size >= 10) return tenths.format(value)
  return size >= 1 ? hundredths.format(value) : thousandths.format(value)
}

/** Names a size like a container's limit: 512 MB are 536,870,912 bytes. */
export function memorySize(value: number): string {
  const megabytes = value / 1_048_576
  if (megabytes >= 1024) return `${hundredths.format(megabytes / 1024)} GB`
  return `${megabytes >= 10 ? whole.format(megabytes) : tenths.format(megabytes)} MB`
}

/** `value` is a share of 1. */
export function percent(value: number): string {
  const share = value * 100
  return `${share >= 10 ? whole.format(share) : tenths.format(share)} %`
}

/** 840 ms, 4.2 s, 3 min 20 s, 2 h 5 min, 3 days */
export function duration(ms: number): string {
  if (ms < 999.5) return `${whole.format(ms)} ms`
  if (ms < 59_950) return `${tenths.format(ms / 1000)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return pair(seconds, 60, ['min', 's'])
  const minutes = Math.round(seconds / 60)
  if (minutes < 48 * 60) return pair(minutes, 60, ['h', 'min'])
  return `${whole.format(minutes / 1440)} days`
}

function pair(value: number, base: number, [large, small]: readonly [string, string]): string {
  const rest = value % base
  const first = `${Math.floor(value / base)} ${large}`
  return rest === 0 ? first : `${first} ${rest} ${small}`
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium', timeZone: 'UTC' })
const date = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' })

/** Times are epoch ms. */
function timeOfDay(at: number): string {
  return `${clock.format(at)} UTC`
}

function day(at: number): string {
  return date.format(at)
}

/** `at 17:13:20 UTC`, `on 1 Dec 2026, 00:00:00 UTC` */
export function pointInTime(time: number, now: number): string {
  return day(time) === day(now) ? `at ${timeOfDay(time)}` : `on ${day(time)}, ${timeOfDay(time)}`
}

/** Names a point in time and how long it is until then. */
export function moment(time: number, now: number): string {
  const when = pointInTime(time, now)
  return time > now ? `${when} (in ${duration(time - now)})` : when
}

/** One thing or many: `plural(1, 'worker')`, `plural(2, 'worker')`. */
export function plural(count: number, thing: string): string {
  return `${whole.format(count)} ${thing}${count === 1 ? '' : 's'}`
}
