import type { JsonObject } from '../shared/json.ts'
import { printable } from './terminal-rows.ts'

/** The members of a JSON line of the log. */
export type Fields = JsonObject

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

/** Returns text that is safe to print; empty for `undefined` and `null`. */
export function textOf(value: unknown): string {
  return value === undefined || value === null ? '' : printable(value)
}

const SHORT_ID_CHARS = 12

/** Returns the beginning of a request's id, by which its lines are found in the JSON log. */
export function shortId(value: unknown): string {
  return textOf(value).slice(0, SHORT_ID_CHARS)
}

/** Local time, or nothing. */
export function clockOf(time: unknown): string {
  const at = new Date(String(time))
  if (Number.isNaN(at.getTime())) return ''.padEnd(8)
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(':')
}

const DAY_MS = 86_400_000

/** Returns local time, with its date if the other time is a day away. */
export function momentOf(time: string, other: unknown): string {
  const at = new Date(time)
  const clock = clockOf(time)
  if (Number.isNaN(at.getTime()) || Math.abs(at.getTime() - Date.parse(String(other))) < DAY_MS)
    return clock
  return `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ${clock}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
