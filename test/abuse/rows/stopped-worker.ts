import type { AbuseRow } from '../row.ts'

const StallSeconds = 5
/** About half of the bystanders' streams, and what small requests the worker has accepted. */
const Lost = 22

/** New connections wait for it until it has missed a second beat: then the other worker takes them. */
const UnnoticedMs = 2_500

/** A worker that hangs is noticed, killed and replaced; it takes its own streams with it and nobody else's. */
export const row: AbuseRow = {
  name: 'stopped-worker',
  what: `a worker gets SIGSTOP, WORKER_STALL_TIMEOUT=${StallSeconds}`,
  settings: { WORKER_STALL_TIMEOUT: String(StallSeconds) },
  must: {
    deaths: 1,
    brokenStreams: Lost,
    smallAboveIdleMs: UnnoticedMs,
    healthWorstMs: UnnoticedMs
  },
  async attack({ gateway }) {
    const [victim] = gateway.workerPids()
    if (victim === undefined) throw new Error('there is no worker')
    const from = gateway.lines.length
    const startedAt = performance.now()
    const passed = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
    process.kill(victim, 'SIGSTOP')
    await gateway.logged(({ msg }) => msg === 'worker died', from)
    const killed = passed()
    await gateway.logged(({ state }) => state === 'ready', from)
    return `killed after ${killed}, the next one serves after ${passed()}`
  }
}
