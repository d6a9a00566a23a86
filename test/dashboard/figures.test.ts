import t from 'tap'
import { Failures, faultOf } from '../../src/dashboard/failures.ts'
import { Latencies } from '../../src/dashboard/latencies.ts'

const MINUTE = 60_000

t.test('latencies: the median and the slowest twentieth of the last five minutes', async (t) => {
  const latencies = new Latencies()
  t.same(latencies.at(0), { firstMs: null, totalMs: null })
  for (let count = 1; count <= 100; count++) latencies.add(count * 10, count, count * 2)
  const { firstMs, totalMs } = latencies.at(2_000)
  t.same(firstMs, { p50: 50, p95: 95 })
  t.same(totalMs, { p50: 100, p95: 190 })
  latencies.add(6 * MINUTE, 7, 8)
  t.same(latencies.at(6 * MINUTE).firstMs, { p50: 7, p95: 7 }, 'those before are too old')
  latencies.add(6 * MINUTE, 9, 9)
  t.same(latencies.at(6 * MINUTE).firstMs, { p50: 7, p95: 9 }, 'both of this minute')
  t.equal(latencies.at(12 * MINUTE).firstMs, null)
})

t.test('latencies: of more than there is room for, the newest', async (t) => {
  const latencies = new Latencies()
  for (let count = 0; count < 50_000; count++)
    latencies.add(count / 1000, count < 48_000 ? 1 : 5, 9)
  t.same(latencies.at(50), {
    firstMs: { p50: 5, p95: 5 },
    totalMs: { p50: 9, p95: 9 }
  })
})

t.test('failures: by code, of the last hour and in all', async (t) => {
  const failures = new Failures(0)
  const counts = new Map<string, number>()
  for (let minute = 0; minute <= 180; minute++) {
    if (minute < 60) counts.set('GW_POOL_TIMEOUT', minute + 1)
    if (minute === 170) counts.set('GW_DRAINING', 3)
    failures.note(minute * MINUTE, counts)
  }
  t.same(failures.toJson(counts), [
    { code: 'GW_DRAINING', fault: 'gateway', total: 3, lastHour: 3 },
    { code: 'GW_POOL_TIMEOUT', fault: 'gateway', total: 60, lastHour: 0 }
  ])
})

t.test('failures: a young gateway counts from its start', async (t) => {
  const failures = new Failures(0)
  const counts = new Map([['GW_INTERNAL', 2]])
  failures.note(1_000, counts)
  t.same(failures.toJson(counts), [
    { code: 'GW_INTERNAL', fault: 'gateway', total: 2, lastHour: 2 }
  ])
})

t.test('failures: whose fault it is', async (t) => {
  for (const [code, fault] of [
    ['GW_UPSTREAM_CONNECT', 'upstream'],
    ['GW_POOL_TIMEOUT', 'gateway'],
    ['GW_BODY_INVALID', 'client'],
    ['GW_CLIENT_CLOSED', 'client'],
    ['GW_CONTEXT_OVERFLOW', 'client'],
    ['GW_OF_ANOTHER_VERSION', 'gateway'],
    ['constructor', 'gateway']
  ] as const) {
    t.equal(faultOf(code), fault, code)
  }
  t.equal(faultOf('GW_UPSTREAM_AUTH'), 'upstream')
  t.equal(
    faultOf('GW_UPSTREAM_AUTH', 'client'),
    'client',
    'of a Kiro key that the client has brought'
  )
  t.equal(faultOf('GW_UPSTREAM_RESET', 'client'), 'upstream')
})
