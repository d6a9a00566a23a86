import { Lease } from '../../src/admission/lease.ts'
import type { Permit } from '../../src/admission/permit.ts'
import { NO_TERMS } from '../../src/ipc/lease-messages.ts'

/*
 * What a permit costs: at hand (the usual case), and while 1000 requests wait and each release serves one
 * that is replaced by a new one.   node test/bench/lease.bench.ts
 */

const ROUNDS = 200_000
/** Later than now, so that nobody's time runs out. */
const START = 1e9
const { signal } = new AbortController()

function openLease(permits: number): Lease {
  const lease = new Lease({
    send: () => {},
    trimSockets: () => Promise.resolve(),
    poolTimeoutMs: 60_000,
    maxWaiting: 1000
  })
  lease.onMessage({ ...NO_TERMS, seq: 1, granted: permits, maxWaiting: 2000, budget: permits })
  return lease
}

async function atHand(rounds: number): Promise<void> {
  const lease = openLease(100)
  for (let i = 0; i < rounds; i += 1) {
    const permit = await lease.acquire({ key: 'a', arrivedAt: i }, signal)
    permit.release()
  }
}

async function withWaiters(rounds: number): Promise<void> {
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

for (const [name, run] of [
  ['permit at hand', atHand],
  ['1000 waiting', withWaiters]
] as const) {
  await run(ROUNDS / 10)
  const started = performance.now()
  await run(ROUNDS)
  const ns = ((performance.now() - started) / ROUNDS) * 1e6
  process.stdout.write(`${name.padEnd(16)} ${ns.toFixed(0)} ns per acquire and release\n`)
}
