import type { Test } from 'tap'
import { Starvation } from '../soak/starvation.ts'

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

/**
 * Returns a function that measures how long something takes, in ms, without the time in which a busy machine gave one
 * of these processes no core.
 */
export function ownTimeOf(
  t: { teardown(close: () => unknown): void },
  pids: readonly number[]
): (act: () => Promise<unknown>) => Promise<number> {
  const starvation = new Starvation([process.pid, ...pids])
  t.teardown(() => starvation.close())
  return async (act) => {
    const [since, starvedMs] = [performance.now(), starvation.totalMs()]
    await act()
    return performance.now() - since - (starvation.totalMs() - starvedMs)
  }
}
