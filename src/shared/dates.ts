/** Writes epoch milliseconds as in `2026-11-30T12:00:00.000Z`. */
export function toIso(at: number): string
export function toIso(at: number | null): string | null
export function toIso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

/** Writes the day of epoch milliseconds, in UTC, as in `2026-11-30`. */
export function toDay(at: number): string {
  return toIso(at).slice(0, 10)
}
