import { WaitClock } from '../../src/admission/clock.ts'
import { Lease } from '../../src/admission/lease.ts'
import { NO_GRANT } from '../../src/ipc/messages.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { acquirePermit } from '../../src/server/ask/call-way.ts'
import { Progress } from '../../src/server/worker/open-turns.ts'

const { signal } = new AbortController()

function openLease(permits: number): Lease {
  const lease = new Lease({
    send: () => {},
    trimSockets: () => Promise.resolve(),
    poolTimeoutMs: 60_000,
    maxWaiting: 1000
  })
  lease.onMessage({ ...NO_GRANT, seq: 1, granted: permits, maxWaiting: 2000, budget: permits })
  return lease
}

/** Takes permits that are at hand as a request does, with its clocks and metrics, and gives them back. */
export async function takeAsRequest(rounds: number): Promise<void> {
  const account = { problemOf: () => null }
  const plane = { lease: openLease(100), metrics: new Metrics(), account }
  for (let i = 0; i < rounds; i += 1) {
    const waiter = { key: 'a', arrivedAt: i }
    const wait = {
      waiter,
      stream: null,
      waited: new WaitClock(i),
      progress: new Progress(),
      signal
    }
    const permit = await acquirePermit(plane, wait)
    permit.release()
  }
}

/** CPU time of this process for one of them, garbage collection included; in microseconds. */
export async function cpuMicroseconds(run: (rounds: number) => Promise<void>): Promise<number> {
  const rounds = 200_000
  await run(rounds / 10)
  const before = process.cpuUsage()
  await run(rounds)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / rounds
}
