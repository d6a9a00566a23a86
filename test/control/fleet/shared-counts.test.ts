import t, { type Test } from 'tap'
import { LearntTokens } from '../../../src/control/account/learnt-tokens.ts'
import { type CountsRecord, sharedCounts } from '../../../src/control/fleet/shared-counts.ts'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { ValkeyStore } from '../../../src/fleet/valkey-store.ts'
import { newGauge } from '../../../src/kiro/tokens/token-gauge.ts'
import { EngineProcess, TEST_ENGINE, whyNoEngine } from '../../helper/engine-process.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

function join(t: Test) {
  const tokens = new LearntTokens({ stateDir: t.testdir(), account: () => 'one', tell: () => {} })
  t.teardown(() => tokens.close())
  return { tokens, shared: sharedCounts(tokens) }
}

const known = (model: string, lessons: number) => ({ ...newGauge(model), lessons })
const found = (value: CountsRecord) => ({ value, ageMs: 0 })

t.test('of each model all know what the gateway with the most lessons does', async (t) => {
  const [one, other] = [join(t), join(t)]
  t.equal(one.shared.next(null), null, 'nothing is written before something is learnt')
  one.tokens.adopt([known('m', 5), known('n', 1)])
  other.tokens.adopt([known('m', 2), known('n', 4)])
  const first = one.shared.next(null) ?? { gauges: [] }
  const both = other.shared.next(found(first)) ?? { gauges: [] }
  one.shared.onFound(found(both))
  other.shared.onFound(found(both))
  for (const { tokens, shared } of [one, other]) {
    const lessons = tokens.all().gauges.map(({ model, lessons }) => `${model} ${lessons}`)
    t.same(lessons.toSorted(), ['m 5', 'n 4'])
    t.equal(shared.next(found(both)), null, 'and nobody writes again')
  }
})

t.test('a record is bounded, and comes to rest', async (t) => {
  const { tokens, shared } = join(t)
  tokens.adopt(Array.from({ length: 40 }, (_, at) => known(`m${at}`, 1)))
  const record = shared.next(null) ?? { gauges: [] }
  t.equal(record.gauges.length, 16)
  let writes = 0
  for (let next: CountsRecord | null = record; next !== null && writes < 10; writes++)
    next = shared.next(found(next))
  t.ok(writes < 10, `${writes} writes`)
})

t.test('what was made up is not believed', async (t) => {
  const { tokens, shared } = join(t)
  for (const text of ['', '[]', '{}', '{"gauges":7}', '{"gauges":{"length":9}}'])
    t.equal(shared.parse(text), null, text)
  const bad = [null, {}, { ...known('m', 3), lessons: -1 }, { ...known('m', 3), factors: ['1'] }]
  t.same(shared.parse(JSON.stringify({ gauges: bad })), { gauges: [] })
  const wild = { ...known('w', 1e6), factors: newGauge('w').factors.map(() => -1e8) }
  const record = shared.parse(JSON.stringify({ gauges: [wild] })) ?? { gauges: [] }
  shared.onFound(found(record))
  const [gauge] = tokens.all().gauges
  t.ok(
    gauge?.factors.every((factor) => factor >= 0 && factor <= 20),
    'factors are bounded'
  )
})

const SEAL = new FleetSeal(['s'.repeat(32)], 'test')
const LESSON = { groups: [7_000, 2_500, 500, 0, 0, 0, 0, 0], measured: 13_000, within: 10 }

/** A gateway of the fleet, as far as counts go. */
async function member(t: Test, url: string) {
  const store = await ValkeyStore.open({ url, name: 'test', seal: SEAL, replicas: 0 })
  t.teardown(() => store.close())
  await until(async () => store.isUp)
  const log = { warn: () => {}, debug: () => {} }
  const hub = new SharedRecords({ records: store.records, seal: SEAL, log, paceMs: 1 })
  t.teardown(() => hub.close())
  const tokens = new LearntTokens({ stateDir: t.testdir(), account: () => 'one', tell: () => {} })
  t.teardown(() => tokens.close())
  tokens.onChange(hub.add(sharedCounts(tokens)))
  return tokens
}

t.test('what one gateway learns all know, by a real Valkey', { skip: whyNoEngine() }, async (t) => {
  const engine = await EngineProcess.start(TEST_ENGINE)
  t.teardown(() => engine.destroy())
  const [one, other] = [await member(t, engine.url), await member(t, engine.url)]
  one.learn({ model: 'm', ...LESSON })
  await until(async () => other.all().gauges.length === 1)
  t.same(other.all(), one.all())
  const later = await member(t, engine.url)
  await until(async () => later.all().gauges.length === 1)
  t.same(later.all(), one.all(), 'also one that joins later')
})
