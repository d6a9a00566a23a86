import { setTimeout as delay } from 'node:timers/promises'

/** Longest time that most tests need whose figures are those of one day. */
const NEEDED_MS = 120_000

/** Resolves when a day in UTC has begun that does not end within `neededMs`, by default two minutes. */
export async function farFromMidnight(neededMs = NEEDED_MS): Promise<void> {
  const now = new Date()
  const leftMs = new Date(now).setUTCHours(24, 0, 0, 0) - now.getTime()
  if (leftMs < neededMs) await delay(leftMs + 1_000)
}
