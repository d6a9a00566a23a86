import type { Test } from 'tap'

/** A permit has to be back so soon after its client has left (architecture §5). */
export const SETTLE_MS = 50

/**
 * Checks that something can be done within a time: a busy machine may spoil some tries, but not all. `act` gives the
 * milliseconds that it took.
 */
export async function inTime(t: Test, limitMs: number, act: () => Promise<number>): Promise<void> {
  let tookMs = await act()
  for (let tries = 1; tookMs > limitMs && tries < 20; tries++) tookMs = await act()
  t.ok(tookMs <= limitMs, `within ${limitMs} ms (${tookMs.toFixed(1)} ms)`)
}
