import t from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import { Credentials } from '../../../src/server/plane/primary-links.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'

const old = credentialSnapshot({ token: 'old' })
const fresh = credentialSnapshot({ token: 'fresh' })
const problem = { code: 'GW_NOT_READY', message: 'sign in again' } as const
const usable = (snapshot = old) => ({ snapshot, problem: null })
const pulse = { silence: new AbortController().signal }
const never = new AbortController().signal

function setUp(news: ConstructorParameters<typeof Credentials>[1] = usable()) {
  const sent: FromWorker[] = []
  const credentials = new Credentials({ send: (message) => void sent.push(message) }, news, pulse)
  return { credentials, sent }
}

t.test('current()', async (t) => {
  const { credentials } = setUp()
  t.equal(credentials.current(), old)
  t.equal(credentials.problem, null)
  credentials.onNews({ snapshot: null, problem })
  t.throws(() => credentials.current(), problem)
  t.same(credentials.problem, problem)
  credentials.onNews(usable(fresh))
  t.equal(credentials.current(), fresh)
})

t.test('renew()', (t) => {
  t.test('reports the refused token and waits for the answer to this report', async (t) => {
    const { credentials, sent } = setUp()
    const [first, second] = [credentials.renew(old, never), credentials.renew(old, never)]
    t.same(sent, [
      { type: 'credential.refused', requestId: 1, token: 'old' },
      { type: 'credential.refused', requestId: 2, token: 'old' }
    ])
    credentials.onNews(usable(fresh))
    credentials.onRenewed(2)
    t.equal(await second, fresh)
    credentials.onRenewed(1)
    t.equal(await first, fresh)
    t.equal(credentials.current(), fresh)
  })
  t.test('reports nothing that somebody else has renewed already', async (t) => {
    const { credentials, sent } = setUp(usable(fresh))
    t.equal(await credentials.renew(old, never), fresh)
    t.same(sent, [])
  })
  t.test('fails when there is no other token', async (t) => {
    const { credentials } = setUp()
    const same = t.rejects(credentials.renew(old, never), { code: 'GW_UPSTREAM_AUTH' })
    credentials.onRenewed(1)
    await same
    const none = t.rejects(credentials.renew(old, never), problem)
    credentials.onNews({ snapshot: null, problem })
    credentials.onRenewed(2)
    await none
    await t.rejects(credentials.renew(old, never), problem, 'nor is it asked for then')
  })
  t.test('ends with the signal, and forgets the report', async (t) => {
    const { credentials, sent } = setUp()
    const abort = new AbortController()
    const reason = new Error('left')
    const renewal = t.rejects(credentials.renew(old, abort.signal), reason)
    abort.abort(reason)
    await renewal
    await t.rejects(credentials.renew(old, abort.signal), reason)
    t.equal(sent.length <= 2, true)
    credentials.onRenewed(1)
    credentials.onNews(usable(fresh))
    t.equal(credentials.current(), fresh, 'late news are news')
  })
  t.end()
})

t.test('reportSuspended()', async (t) => {
  const { credentials, sent } = setUp()
  credentials.reportSuspended('old', 'suspended')
  t.same(sent, [{ type: 'credential.suspended', token: 'old', message: 'suspended' }])
})
