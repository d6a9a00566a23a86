import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { sharedSums } from '../../../src/control/fleet/shared-sums.ts'
import type { PlanLook } from '../../../src/control/plan/plan-record.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')

/** The hub's clock beside the real one: sums that follow each other are told seconds apart. */
const FASTER = 50
const PATIENCE_MS = 600_000

function fasterNow(): number {
  return performance.now() * FASTER
}

function gatewayOf(t: Test, records: FakeRecords, name: string, id = 'first') {
  const { log } = recordedLog()
  const hub = new SharedRecords({ records, seal: SEAL, log, paceMs: 1, now: fasterNow })
  t.teardown(() => hub.close())
  const plan = {
    recorded: 0,
    others: null as PlanLook['others'] | null,
    setOthers: (others: PlanLook['others']) => {
      plan.others = others
    }
  }
  const touch = hub.add(sharedSums({ name, id }, plan))
  const tell = async (recorded: number): Promise<void> => {
    plan.recorded = recorded
    touch()
    await hub.settle(PATIENCE_MS)
  }
  return { plan, hub, tell }
}

function sumsOf({ others }: { readonly others: PlanLook['others'] | null }) {
  return Object.fromEntries(Object.entries(others ?? {}).map(([name, { sum }]) => [name, sum]))
}

t.test('sharedSums()', async (t) => {
  const records = new FakeRecords()
  const [a, b] = [gatewayOf(t, records, 'a'), gatewayOf(t, records, 'b')]
  const settled = async (): Promise<void> => {
    for (const { hub } of [a, b, a]) await hub.settle(PATIENCE_MS)
  }
  await settled()
  t.same(sumsOf(a.plan), { 'b/first': 0 }, 'before it has recorded anything')
  await a.tell(7e6)
  await settled()
  t.same(sumsOf(b.plan), { 'a/first': 7e6 })
  const began = b.plan.others?.['a/first']?.from
  t.ok(began)
  await delay(2)
  await a.tell(8e6)
  await settled()
  t.same(
    b.plan.others,
    { 'a/first': { sum: 8e6, from: began } },
    'since it began, not since it told'
  )
  await b.tell(3e6)
  await settled()
  t.same(sumsOf(a.plan), { 'b/first': 3e6 }, 'not itself')
  const successor = gatewayOf(t, records, 'a', 'second')
  await successor.hub.settle(PATIENCE_MS)
  t.same(successor.plan.others, a.plan.others, 'what it had recorded before is in its book')
  await settled()
  t.same(Object.keys(b.plan.others ?? {}), ['a/first', 'a/second'])
})

t.test('a record of sums', async (t) => {
  const one = { sum: 5, from: 0, at: 1 }
  const plan = { recorded: 9, setOthers: () => {} }
  const shared = sharedSums({ name: 'new', id: 'x' }, plan)
  t.same(shared.parse(JSON.stringify({ a: one })), { a: one })
  t.same(shared.parse('{}'), {})
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`g${i}`, one]))
  const wrong = [[], { a: 5 }, { a: { ...one, sum: -1 } }, { a: { ...one, sum: 0.5 } }, many]
  for (const value of [...wrong, { ['x'.repeat(129)]: one }, { a: { sum: 1, at: 1 } }])
    t.equal(shared.parse(JSON.stringify(value)), null)

  const gateways = Object.fromEntries(
    Array.from({ length: 64 }, (_, i) => [`g${i}`, { sum: 1, from: 0, at: i }])
  )
  const next = shared.next({ value: gateways, ageMs: 0 })
  t.equal(Object.keys(next ?? {}).length, 64, 'the oldest makes room')
  t.notOk('g0' in (next ?? {}))
  t.match(next, { 'new/x': { sum: 9 } })
})
