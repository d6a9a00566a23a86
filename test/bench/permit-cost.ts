import { WaitClock } from '../../src/admission/clock.ts'
import { Lease, type Permit } from '../../src/admission/lease.ts'
import { NO_TERMS } from '../../src/ipc/messages.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { acquirePermit } from '../../src/server/ask/call-way.ts'
import { Progress } from '../../src/server/worker/open-turns.ts'

/** Later than now, so that nobody's time runs out. */
const START = 1e9
const { signal } = new AbortController()

export function openLease(permits: number): Lease {
  const lease = new Lease({
    send: () => {},
    trimSockets: () => Promise.resolve(),
    poolTimeoutMs: 60_000,
    maxWaiting: 1000
  })
  lease.onMessage({ ...NO_TERMS, seq: 1, granted: permits, maxWaiting: 2000, budget: permits })
  return lease
}

/** Takes permits that are at hand and gives them back: the lease alone. */
export async function takeAtHand(rounds: number): Promise<void> {
  const lease = openLease(100)
  for (let i = 0; i < rounds; i += 1) {
    const permit = await lease.acquire({ key: 'a', arrivedAt: i }, signal)
    permit.release()
  }
}

/** The same as a request does it, with its clocks and metrics. */
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

/** 1000 requests of ten keys wait; each release serves one, which is replaced by a new one. */
export async function takeInTurn(rounds: number): Promise<void> {
  const lease = openLease(1)
  const free: Permit[] = []
  const ask = (arrivedAt: number): void => {
    const options = { key: `key ${arrivedAt % 10}`, arrivedAt }
    lease.acquire(options, signal).then(
      (permit) => free.push(permit),
      () => {} // the last 1000 are refused at the end
    )
  }
  for (let i = 0; i <= 1000; i += 1) ask(START + i)
  for (let i = 1001; i <= rounds + 1000; i += 1) {
    await Promise.resolve()
    free.pop()?.release()
    ask(START + i)
  }
  lease.drain()
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
