/**
 * Milliseconds of the machine's monotonic clock: never steps, and is the same in all processes of this
 * machine, which neither `Date.now()` nor `performance.now()` is. Arrival times are taken from it, so that
 * the oldest waiter of the whole cluster can be found.
 */
export function monotonicNow(): number {
  return ORIGIN + performance.now()
}

/** What the machine's clock showed when this process's `performance.now()` was 0. */
const ORIGIN = machineTime() - performance.now()

function machineTime(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
