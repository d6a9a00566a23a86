import t, { type Test } from 'tap'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { sharedSessions } from '../../../src/control/fleet/shared-sessions.ts'
import { PanelSessions } from '../../../src/control/panel-sessions.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

const HOUR_MS = 3_600_000
const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')

function join(t: Test, records: FakeRecords): PanelSessions {
  const sessions = new PanelSessions(() => {})
  const log = { warn: () => {}, debug: () => {} }
  const hub = new SharedRecords({ records, seal: SEAL, log, paceMs: 1 })
  t.teardown(() => hub.close())
  sessions.share(hub.add(sharedSessions(sessions)))
  return sessions
}

function knows({ ended }: PanelSessions, id: string): boolean {
  return ended.some((one) => one.id === id)
}

/** A session that expires in as many hours. */
function session(id: string, hours = 1) {
  return { id, expiresAt: Date.now() + hours * HOUR_MS }
}

t.test(
  'a session that ends at one gateway ends at all, also at one that comes later',
  async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    a.end(session('one'))
    await until(() => knows(b, 'one'))
    b.end(session('two'))
    await until(() => knows(a, 'two'))
    const c = join(t, records)
    await until(() => knows(c, 'one') && knows(c, 'two'))
    const { value } = await records.read('sessions')
    t.notMatch(value, /one|two/, 'sealed')
  }
)

t.test(
  'what ends while Valkey is away is told when it is back, also one that has lost all',
  async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    a.end(session('before'))
    await until(() => knows(b, 'before'))
    records.failing = 'yes'
    a.end(session('meanwhile'))
    t.ok(knows(a, 'meanwhile'), 'it has ended here')
    records.failing = 'no'
    records.forget()
    await until(() => knows(b, 'meanwhile'))
    const c = join(t, records)
    await until(() => knows(c, 'before') && knows(c, 'meanwhile'))
    t.pass('everybody knows both')
  }
)

t.test('the record is bounded, comes to rest, and has none that has expired', async (t) => {
  const sessions = new PanelSessions(() => {})
  const shared = sharedSessions(sessions)
  t.equal(shared.next(null), null)
  sessions.end(session('expired', -1))
  t.equal(shared.next(null), null)
  for (let at = 0; at < 3_000; at += 1) sessions.end(session(`s${at}`, 1 + at / 1_000))
  const value = shared.next(null)
  t.equal(value?.ended.length, 2_000)
  t.equal(value?.ended[0]?.id, 's2999', 'those that are good for longest')
  if (value !== null) t.equal(shared.next({ value, ageMs: 0 }), null, 'and nobody writes again')
  t.ok(shared.parse(JSON.stringify(value)))
  for (const text of ['', '{}', '{"ended":[{"id":7,"expiresAt":1}]}', '{"ended":[null]}'])
    t.equal(shared.parse(text), null, text)
})
