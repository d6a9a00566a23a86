import t from 'tap'
import { parseMetrics } from '../chaos/metrics-text.ts'
import { complaintsOf, type Sample, slopeOf, unbalanced } from './judge.ts'

const MIB = 2 ** 20
const HOUR_MS = 3_600_000

/** Two samples a minute of a process that has come to rest, with a scatter of half a megabyte and `change` of each. */
function record(minutes: number, change: (sample: Sample, hours: number) => Partial<Sample>) {
  const samples = Array.from({ length: minutes * 2 }, (_, index): Sample => {
    const atMs = (index + 1) * 30_000
    const scatter = ((index * 7919) % 100) / 200
    const sample = {
      atMs,
      liveBytes: (20 + scatter) * MIB,
      anonymousBytes: (80 + 10 * scatter) * MIB,
      timers: 30 + (index % 9),
      sockets: 20 + (index % 5),
      listeners: 12,
      requests: (index + 1) * 60,
      threads: 11,
      stallCpuMs: 10,
      machineMs: 3,
      stallMs: 15
    }
    return { ...sample, ...change(sample, atMs / HOUR_MS) }
  })
  return { name: 'worker 1', samples }
}

/** A thread with a heap of its own, in the last third, two thirds of the time. */
const busy = ({ anonymousBytes }: Sample, hours: number): Partial<Sample> => {
  const isThere = hours > 0.6 && Math.floor(hours * 120) % 3 > 0
  return { threads: isThere ? 12 : 11, anonymousBytes: anonymousBytes + (isThere ? 22 * MIB : 0) }
}

function growing(mbPerHour: number) {
  return record(60, ({ liveBytes }, hours) => ({ liveBytes: liveBytes + mbPerHour * hours * MIB }))
}

t.test('a process that keeps what it has', async (t) => {
  t.same(complaintsOf(record(60, () => ({}))), [])
  t.same(complaintsOf(record(5, () => ({}))), [], 'in five minutes')
  t.same(complaintsOf({ name: 'worker 2', samples: [] }), [], 'nothing was seen of it')
})

t.test('what it takes at its start is not held against it', async (t) => {
  const warmed = record(60, ({ liveBytes }, hours) => ({
    liveBytes: liveBytes - Math.max(0, 10 - 70 * hours) * MIB,
    stallMs: hours < 0.1 ? 900 : 15
  }))
  t.same(complaintsOf(warmed), [])
})

t.test('the warm-up of a worker begins with its first work', async (t) => {
  const late = record(60, ({ liveBytes, anonymousBytes, requests }, hours) => {
    const isIdle = hours < 0.4
    return {
      requests: isIdle ? 0 : requests,
      liveBytes: liveBytes - (isIdle ? 8 * MIB : 0),
      anonymousBytes: anonymousBytes - (isIdle ? 20 * MIB : 0)
    }
  })
  t.same(complaintsOf(late), [])
  const primary = record(60, ({ liveBytes }, hours) => ({
    requests: 0,
    liveBytes: liveBytes + 3 * hours * MIB
  }))
  t.equal(complaintsOf(primary).length, 1, 'one that is never asked is warm after its start')
})

t.test('threads that come and go', async (t) => {
  t.same(complaintsOf(record(60, busy)), [])
  const swelling = record(60, (sample, hours) => {
    const { anonymousBytes = 0, threads = 0 } = busy(sample, hours)
    return { threads, anonymousBytes: anonymousBytes + 8 * hours * MIB }
  })
  t.match(complaintsOf(swelling), [/^worker 1: memory grow by \d/], 'and what else grows')
})

t.test('objects that grow by 3 MB/h, not by 1', async (t) => {
  t.same(complaintsOf(growing(1)), [])
  t.match(complaintsOf(growing(3)), [
    /^worker 1: objects that are in use grow by [23]\.\d ± 0\.\d MB\/h$/
  ])
  t.ok(Math.abs(slopeOf(growing(3).samples, 'liveBytes').mbPerHour - 3) < 0.3)
})

t.test('memory that grows outside of what V8 knows', async (t) => {
  const swelling = record(60, ({ anonymousBytes }, hours) => ({
    anonymousBytes: anonymousBytes + 8 * hours * MIB
  }))
  t.match(complaintsOf(swelling), [/^worker 1: memory grow by [789]\.\d/])
})

for (const what of ['timers', 'sockets', 'listeners'] as const) {
  t.test(`${what} that are left behind`, async (t) => {
    const leaving = record(30, (sample, hours) => ({
      [what]: sample[what] + Math.round(600 * hours)
    }))
    t.match(complaintsOf(leaving), [new RegExp(`^worker 1: ${what} grow, from \\d+ to \\d+$`)])
  })
}

function stalledOnce(machineMs: number, stallCpuMs = 240) {
  return record(30, (_, hours) =>
    Math.round(hours * 120) === 50 ? { stallMs: 251, stallCpuMs, machineMs } : {}
  )
}

t.test('a loop that stood still once', async (t) => {
  t.same(complaintsOf(stalledOnce(3)), [
    'worker 1: stood still for 251 ms, of which it worked for 240 ms'
  ])
  t.same(complaintsOf(stalledOnce(180)), [], 'so did the machine')
  t.equal(complaintsOf(stalledOnce(180, 251)).length, 1, 'but it worked all the time')
})

/** Metrics of a gateway that is at rest after 30 requests, with some lines changed. */
function ledger(changes: Readonly<Record<string, number>> = {}, open = 4) {
  const figures: Readonly<Record<string, number>> = {
    'requests_total{route="/v1/messages"}': 20,
    'requests_total{route="/v1/responses"}': 9,
    'requests_total{route="/metrics"}': 5,
    upstream_connection_budget: 300,
    pool_permits_leased: 300,
    upstream_connections: 4,
    ...changes
  }
  const lines = Object.entries(figures).map(([name, value]) => `kiro_gateway_${name} ${value}`)
  return {
    scrape: parseMetrics(`${lines.join('\n')}\n`),
    upstream: { inFlight: 0, connections: { open, max: 280 } },
    asked: { sent: 30, withoutHead: 1 }
  }
}

t.test('what is not back once everything is answered', async (t) => {
  t.same(unbalanced(ledger()), [])
  const cases = [
    [{ 'requests_total{route="/v1/messages"}': 19 }, 'requests counted: 28, not 29'],
    [{ requests_lost_total: 1 }, 'requests lost: 1, not 0'],
    [{ requests_in_flight: 2 }, 'requests in flight: 2, not 0'],
    [{ pool_permits_in_use: 3 }, 'permits in use: 3, not 0'],
    [{ pool_permits_leased: 299 }, 'permits leased: 299, not 300'],
    [{ pool_waiters: 1 }, 'requests that wait for a permit: 1, not 0'],
    [{ admitted_bytes: 9 }, 'bytes admitted: 9, not 0'],
    [{ worker_restarts_total: 1 }, 'restarts: 1, not 0']
  ] as const
  for (const [changes, said] of cases) t.same(unbalanced(ledger(changes)), [said])
  t.same(unbalanced(ledger({}, 5)), ['connections, as the upstream counts them: 5, not 4'])
  const { upstream, ...rest } = ledger()
  t.same(unbalanced({ ...rest, upstream: { ...upstream, inFlight: 1 } }), [
    'requests that the upstream answers: 1, not 0'
  ])
  const few = { upstream_connection_budget: 200, pool_permits_leased: 200 }
  t.same(unbalanced(ledger(few)), ['280 connections, of 200'])
})
