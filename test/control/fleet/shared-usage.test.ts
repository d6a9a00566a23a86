import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { shareUsage } from '../../../src/control/fleet/shared-usage.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { FakeRecords } from '../../helper/fake-records.ts'

const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')
const USAGE = {
  plan: 'PRO',
  resetsAt: 1_800_000_000_000,
  allowances: [{ kind: 'plan', name: 'Credits', unit: 'credits', used: 1.5, limit: 1_000 }],
  overage: { isEnabled: false, used: 0, charges: 0, currency: null, rate: null, cap: null }
} as const

function setUp() {
  const clock = { now: 0 }
  const records = new FakeRecords(() => clock.now)
  let asked = 0
  const ask = async () => {
    asked += 1
    await delay(50)
    return { ...USAGE, plan: `answer ${asked}` }
  }
  const gateways = Array.from({ length: 4 }, () => shareUsage({ records, seal: SEAL }))
  return { clock, records, gateways, ask, asked: () => asked }
}

t.test('shareUsage()', async (t) => {
  t.test('asks once for all, and once more when the answer is old', async (t) => {
    const { clock, gateways, ask, asked } = setUp()
    const answers = await Promise.all(gateways.map((one) => one(ask)))
    t.same(new Set(answers.map(({ usage }) => usage.plan)), new Set(['answer 1']))
    clock.now += 14_000
    t.match(await gateways[0]?.(ask), { usage: { plan: 'answer 1' }, ageMs: 14_000 })
    clock.now += 1_000
    t.match(await gateways[1]?.(ask), { usage: { plan: 'answer 2' }, ageMs: 0 })
    t.equal(asked(), 2)
  })

  t.test('asks for itself without Valkey', async (t) => {
    const { records, gateways, ask, asked } = setUp()
    records.failing = 'yes'
    await Promise.all(gateways.map((one) => one(ask)))
    t.equal(asked(), 4)
  })

  t.test('a failure is of whoever has asked', async (t) => {
    const { gateways, ask, asked } = setUp()
    const failing = gateways[0]?.(() => Promise.reject(new Error('refused')))
    await t.rejects(Promise.resolve(failing), { message: 'refused' })
    t.match(await gateways[1]?.(ask), { usage: { plan: 'answer 1' } })
    t.equal(asked(), 1)
  })

  t.test('whoever has died asking holds nobody up for long', async (t) => {
    const { clock, gateways, ask } = setUp()
    void gateways[0]?.(() => new Promise(() => {}))
    await delay(50)
    const answer = gateways[1]?.(ask)
    await delay(50)
    clock.now += 5_000
    t.match(await answer, { usage: { plan: 'answer 1' } })
  })

  t.test('what was made up is not believed', async (t) => {
    const { records, gateways, ask } = setUp()
    const bad: readonly unknown[] = [
      { usage: { ...USAGE, plan: 'x'.repeat(300) } },
      { usage: { ...USAGE, resetsAt: 'soon' } },
      { usage: { ...USAGE, allowances: [{ ...USAGE.allowances[0], used: null }] } },
      { usage: { ...USAGE, allowances: Array.from({ length: 101 }, () => USAGE.allowances[0]) } },
      { usage: { ...USAGE, overage: null } },
      null
    ]
    for (const [at, one] of bad.entries()) {
      records.put('usage', SEAL.seal(JSON.stringify(one), 'v1|record|usage'))
      t.match(await gateways[0]?.(ask), { usage: { plan: `answer ${at + 1}` } })
    }
    records.put('usage', JSON.stringify({ usage: USAGE }))
    t.match(await gateways[0]?.(ask), { usage: { plan: `answer ${bad.length + 1}` } })
  })
})
