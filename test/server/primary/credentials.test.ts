import t from 'tap'
import type { CredentialNews, FromWorker } from '../../../src/ipc/messages.ts'
import { Credentials } from '../../../src/server/primary/account-access.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import { FakePulse } from '../../helper/fake-pulse.ts'

const old = credentialSnapshot({ token: 'old' })
const fresh = credentialSnapshot({ token: 'fresh' })
const problem = { code: 'GW_NOT_READY', message: 'sign in again' } as const
const usable = (snapshot = old) => ({ snapshot, problem: null })
const never = new AbortController().signal

function setUp(news: CredentialNews = usable(), waitTimeoutMs = 30_000) {
  const sent: FromWorker[] = []
  const pulse = new FakePulse((asked) => void sent.push(asked))
  const credentials = new Credentials({
    channel: { send: (message) => void sent.push(message) },
    news,
    pulse,
    waitTimeoutMs: () => waitTimeoutMs
  })
  return { credentials, sent, pulse }
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
    const { credentials, sent, pulse } = setUp()
    const [first, second] = [credentials.renew(old, never), credentials.renew(old, never)]
    t.same(sent, [
      { type: 'asked', requestId: 1, question: { type: 'credential.refused', token: 'old' } },
      { type: 'asked', requestId: 2, question: { type: 'credential.refused', token: 'old' } }
    ])
    credentials.onNews(usable(fresh))
    pulse.answer(2)
    t.equal(await second, fresh)
    pulse.answer(1)
    t.equal(await first, fresh)
    t.equal(credentials.current(), fresh)
  })
  t.test('reports nothing that somebody else has renewed already', async (t) => {
    const { credentials, sent } = setUp(usable(fresh))
    t.equal(await credentials.renew(old, never), fresh)
    t.same(sent, [])
  })
  t.test('fails when there is no other token', async (t) => {
    const { credentials, pulse } = setUp()
    const same = t.rejects(credentials.renew(old, never), { code: 'GW_UPSTREAM_AUTH' })
    pulse.answer(1)
    await same
    const none = t.rejects(credentials.renew(old, never), problem)
    credentials.onNews({ snapshot: null, problem })
    pulse.answer(2)
    await none
    await t.rejects(credentials.renew(old, never), problem, 'nor is it asked for then')
  })
  t.test('ends with the signal, and forgets the report', async (t) => {
    const { credentials, sent, pulse } = setUp()
    const abort = new AbortController()
    const reason = new Error('left')
    const renewal = t.rejects(credentials.renew(old, abort.signal), reason)
    abort.abort(reason)
    await renewal
    await t.rejects(credentials.renew(old, abort.signal), reason)
    t.equal(sent.length <= 2, true)
    pulse.answer(1)
    credentials.onNews(usable(fresh))
    t.equal(credentials.current(), fresh, 'late news are news')
  })
  t.end()
})

t.test('reportSuspended()', async (t) => {
  const { credentials, sent } = setUp()
  credentials.reportSuspended('old', 'suspended')
  t.same(sent, [{ type: 'credential.suspended', token: 'old', reason: 'suspended' }])
})

const over = () => credentialSnapshot({ token: 'over', expiresAt: Date.now() - 1 })
const waiting = (retryAt = 0) => ({ snapshot: null, problem, retryAt }) as const

/** How often the primary was asked. */
function wanted(sent: readonly FromWorker[]): number {
  return sent.filter((one) => one.type === 'asked' && one.question.type === 'credential.wanted')
    .length
}

t.test('ready()', (t) => {
  t.test('gives a valid token at once', async (t) => {
    const { credentials, sent } = setUp()
    t.equal(await credentials.ready(never), old)
    const later = credentialSnapshot({ expiresAt: Date.now() + 60_000 })
    t.equal(await setUp(usable(later)).credentials.ready(never), later)
    t.same(sent, [])
  })
  t.test('waits while one is being renewed, with one question for all', async (t) => {
    for (const news of [usable(over()), waiting()]) {
      const { credentials, sent, pulse } = setUp(news)
      const both = Promise.all([credentials.ready(never), credentials.ready(never)])
      await new Promise(setImmediate)
      t.equal(wanted(sent), 1)
      credentials.onNews(usable(fresh))
      pulse.answer(1)
      t.same(await both, [fresh, fresh])
    }
  })
  t.test('asks again when the primary tries again', async (t) => {
    const { credentials, sent, pulse } = setUp(waiting())
    const token = credentials.ready(never)
    await new Promise(setImmediate)
    credentials.onNews(waiting(Date.now() + 60))
    pulse.answer(1)
    while (wanted(sent) < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    credentials.onNews(usable(fresh))
    pulse.answer(2)
    t.equal(await token, fresh)
  })
  t.test('does not wait for what cannot come', async (t) => {
    const dead = { snapshot: null, problem } as const
    await t.rejects(setUp(dead).credentials.ready(never), problem)
    const late = waiting(Date.now() + 60_000)
    await t.rejects(setUp(late).credentials.ready(never), problem)
    const { credentials, pulse } = setUp(waiting())
    const token = t.rejects(credentials.ready(never), problem)
    await new Promise(setImmediate)
    credentials.onNews(dead)
    pulse.answer(1)
    await token
  })
  t.test('waits no longer than it may', async (t) => {
    const alive = setInterval(() => {}, 1000) // as sockets keep a worker
    t.teardown(() => clearInterval(alive))
    const { credentials } = setUp(usable(over()), 50)
    await t.rejects(credentials.ready(never), {
      code: 'GW_NOT_READY',
      message: /CREDENTIAL_WAIT_TIMEOUT/
    })
    await t.rejects(setUp(waiting(), 50).credentials.ready(never), problem)
  })
  t.test('ends with the signal', async (t) => {
    const { credentials } = setUp(usable(over()))
    const abort = new AbortController()
    const reason = new Error('left')
    const token = t.rejects(credentials.ready(abort.signal), reason)
    abort.abort(reason)
    await token
  })
  t.test('uses what there is while the primary is silent', async (t) => {
    const silence = new AbortController()
    const last = over()
    const credentials = new Credentials({
      channel: { send: () => {} },
      news: usable(last),
      pulse: new FakePulse(() => {}, silence.signal),
      waitTimeoutMs: () => 30_000
    })
    const token = credentials.ready(never)
    silence.abort(new Error('silent'))
    t.equal(await token, last)
    t.equal(await credentials.ready(never), last)
  })
  t.end()
})
