import { setTimeout as delay } from 'node:timers/promises'

/** Longest time that a test needs whose figures are those of one day. */
const NEEDED_MS = 120_000

/** Resolves when a day in UTC has begun that does not end within two minutes. */
export async function farFromMidnight(): Promise<void> {
  const now = new Date()
  const leftMs = new Date(now).setUTCHours(24, 0, 0, 0) - now.getTime()
  if (leftMs < NEEDED_MS) await delay(leftMs + 1_000)
}
