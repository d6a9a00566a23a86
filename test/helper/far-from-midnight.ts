import { setTimeout as delay } from 'node:timers/promises'

const DAY_MS = 86_400_000
/** Longest time that a test needs whose figures are those of one day. */
const NEEDED_MS = 120_000

/** Resolves when a day in UTC has begun that does not end within two minutes. */
export async function farFromMidnight(): Promise<void> {
  const leftMs = DAY_MS - (Date.now() % DAY_MS)
  if (leftMs < NEEDED_MS) await delay(leftMs + 1_000)
}
