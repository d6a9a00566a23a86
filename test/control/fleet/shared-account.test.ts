import t, { type Test } from 'tap'
import { VerdictMemory } from '../../../src/control/account/verdict-memory.ts'
import { SharedAccount } from '../../../src/control/fleet/shared-account.ts'
import { SharedRecords } from '../../../src/control/fleet/shared-records.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import type { AccountRefusal, CredentialNews } from '../../../src/ipc/messages.ts'
import type { Bar } from '../../../src/kiro/wire/fault-table.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')
const DAY_MS = 86_400_000
const RESET_MS = 5 * DAY_MS
let ids = 0

/** A gateway whose clock may be wrong by days. */
function join(t: Test, records: FakeRecords, { skewMs = 0, token = 'token' } = {}) {
  ids += 1
  const wallNow = (): number => Date.now() + skewMs
  const sign: { news: CredentialNews } = {
    news: { snapshot: credentialSnapshot({ token }), problem: null }
  }
  const said: string[] = []
  const usage = {
    plan: null,
    resetsAt: wallNow() + RESET_MS,
    allowances: [],
    overage: { isEnabled: false, used: 0, charges: 0, currency: null, rate: null, cap: null }
  }
  const log = { warn: () => {}, debug: () => {} }
  const verdicts: VerdictMemory = new VerdictMemory({
    usage: () => Promise.resolve({ usage, problem: null }),
    log,
    onNews: (status) => shared.onStatus(status, verdicts.suspicions),
    now: wallNow
  })
  const hub = new SharedRecords({ records, seal: SEAL, log, paceMs: 1 })
  t.teardown(() => hub.close())
  const shared: SharedAccount = new SharedAccount({
    id: `m${ids}`,
    hub,
    wallNow,
    account: {
      adopt: (status, suspicions) => verdicts.adopt(status, suspicions),
      forWorker: () => ({
        news: sign.news,
        accountStatus: verdicts.status,
        catalogue: { models: [], isLive: false }
      }),
      revive: () => void said.push('revive'),
      suspend: (of) => {
        said.push(`suspend ${of}`)
        sign.news = {
          snapshot: null,
          problem: { code: 'GW_UPSTREAM_SUSPENDED', message: 'It is suspended.' }
        }
      }
    }
  })
  /** Ms for which the account is barred. */
  const barred = (bar: Bar): number => {
    const found = verdicts.status.bars.find((one) => one.bar === bar)
    return found === undefined ? 0 : Math.max(0, found.until - wallNow())
  }
  const forgive = (): void => {
    verdicts.forgive()
    shared.onForgiven()
  }
  return { verdicts, shared, sign, said, barred, wallNow, forgive, hub }
}

function refusal(bar: Bar, retryAfterS: number | null = null): AccountRefusal {
  return { bar, code: 'GW_UPSTREAM_QUOTA', reason: `said of ${bar}`, retryAfterS }
}

t.test('SharedAccount', async (t) => {
  t.test('what one has heard holds for all, by their own clocks', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records, { skewMs: DAY_MS })]
    await a.verdicts.refused(refusal('monthly'))
    await until(() => b.barred('monthly') > 4 * DAY_MS)
    t.ok(Math.abs(b.barred('monthly') - RESET_MS) < 60_000)
    const late = join(t, records, { skewMs: -DAY_MS })
    await until(() => late.barred('monthly') > 4 * DAY_MS)
    t.ok(Math.abs(late.barred('monthly') - RESET_MS) < 60_000)
    t.notMatch(records.commands.join('\n'), 'said of', 'the words of the refusal stay here')
  })

  t.test('a pause holds a little longer elsewhere, never shorter', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records, { skewMs: DAY_MS })]
    await a.verdicts.refused(refusal('user-rate', 10))
    const ofA = Number(a.verdicts.status.pausedUntil)
    await until(() => b.verdicts.status.pausedUntil !== null)
    const longer = Number(b.verdicts.status.pausedUntil) - DAY_MS - ofA
    t.ok(longer > -50 && longer < 1_500, `${longer} ms longer`)
  })

  t.test('what one has found to be over is over for all', async (t) => {
    const records = new FakeRecords()
    const [a, b, c] = [join(t, records), join(t, records), join(t, records)]
    await a.verdicts.refused(refusal('monthly'))
    await until(() => b.barred('monthly') > 0 && c.barred('monthly') > 0)
    b.forgive()
    await until(() => a.barred('monthly') === 0 && c.barred('monthly') === 0)
    await c.verdicts.refused(refusal('monthly'))
    await until(() => a.barred('monthly') > 0 && b.barred('monthly') > 0)
  })

  t.test('suspicions are counted together', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    await a.verdicts.refused(refusal('suspicion'))
    await until(() => b.barred('suspicion') > 0)
    t.equal(b.verdicts.suspicions, 1)
    t.not(b.verdicts.status.suspectedAt, null)
  })

  t.test('it is told again where Valkey has forgotten it', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    await a.verdicts.refused(refusal('daily'))
    await until(() => b.barred('daily') > 0)
    a.hub.close()
    records.forget()
    const c = join(t, records)
    await until(() => c.barred('daily') > 0)
  })

  t.test('a suspension is one of a sign-in', async (t) => {
    const records = new FakeRecords()
    const [a, b, other] = [
      join(t, records),
      join(t, records),
      join(t, records, { token: 'another' })
    ]
    a.shared.onSuspended('token')
    await until(() => b.said.length > 0)
    t.same(b.said, ['suspend token'])
    const { snapshot } = other.sign.news
    t.not(snapshot, null)
    other.shared.onAnswered()
    other.shared.onSignIn({ snapshot: credentialSnapshot({ token: 'token' }), problem: null })
    t.same(other.said, ['suspend token'], 'that it comes to have')
  })

  t.test('whoever starts asks once, and says that it is over', async (t) => {
    const records = new FakeRecords()
    const [a, b] = [join(t, records), join(t, records)]
    a.shared.onSuspended('token')
    await until(() => b.said.length > 0)
    const c = join(t, records)
    await until(() => records.commands.filter((one) => one.startsWith('read')).length >= 4)
    c.shared.onSignIn(c.sign.news)
    t.same(c.said, [])
    await until(() => {
      c.shared.onAnswered()
      return b.said.includes('revive')
    })
  })
})
