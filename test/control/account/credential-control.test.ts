import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/settings.ts'
import { CredentialControl } from '../../../src/control/account/credential-control.ts'
import { createCredentialSource } from '../../../src/credentials/sources.ts'
import type { CredentialNews } from '../../../src/ipc/messages.ts'
import { Credentials } from '../../../src/server/primary/account-access.ts'
import { FakePulse } from '../../helper/fake-pulse.ts'
import { FakeAuthServer } from '../../helper/fake-auth-server.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { undiciJsonCall } from '../../helper/undici-json-call.ts'

function configOf(env: Record<string, string>): Config {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return loaded.config
}

/** A CredentialControl over a token file whose token lasts an hour, and a token service. */
async function controlRig(
  t: Test,
  env: Record<string, string> = {},
  { lifeMs = 3_600_000 } = {},
  prepare: (server: FakeAuthServer) => void = () => {}
) {
  const server = await new FakeAuthServer().listen()
  prepare(server)
  const { call, close } = undiciJsonCall()
  const expiresAt = new Date(Date.now() + lifeMs).toISOString()
  const content = { accessToken: 'a1', refreshToken: 'r1', expiresAt }
  const dir = t.testdir({ 'token.json': JSON.stringify(content) })
  const config = configOf({
    KIRO_CREDS_FILE: join(dir, 'token.json'),
    KIRO_AUTH_URL: server.url,
    KIRO_API_URL: 'http://127.0.0.1:9',
    STATE_DIR: join(dir, 'state'),
    ...env
  })
  const told: CredentialNews[] = []
  const unusable: unknown[] = []
  const workers: Credentials[] = []
  const recorded = recordedLog()
  const control = new CredentialControl({
    config,
    source: createCredentialSource(config.credentials, recorded.log),
    call,
    log: recorded.log,
    onNews: (news) => {
      told.push(news)
      for (const worker of workers) worker.onNews(news)
    },
    onUnusable: (cause) => unusable.push(cause)
  })
  t.teardown(async () => {
    await control.close()
    server.close()
    await close()
  })
  await control.start()
  const addWorker = (): Credentials => {
    const worker = workerOf(control)
    workers.push(worker)
    return worker
  }
  return { control, server, told, unusable, addWorker, text: recorded.text }
}

/** What a worker makes of CredentialControl's news and answers. */
function workerOf(control: CredentialControl): Credentials {
  const pulse = new FakePulse(({ requestId, question }) => {
    const answered =
      question.type === 'credential.refused' ? control.refused(question.token) : control.wanted()
    void answered.then(() => pulse.answer(requestId))
  })
  return new Credentials({
    channel: { send: () => {} },
    news: control.news(),
    pulse,
    waitTimeoutMs: () => 30_000
  })
}

const { signal } = new AbortController()
/** Asks for so long a pause that nobody tries again at once. */
const down = { status: 500, body: '', headers: { 'retry-after': '60' } }

t.test(
  'a refused token that cannot be renewed for now stays in use until it expires',
  async (t) => {
    const { control, server, addWorker } = await controlRig(t)
    server.replies.push(down)
    const worker = addWorker()
    const error = { code: 'GW_UPSTREAM_AUTH' }
    await t.rejects(worker.renew(worker.current(), signal), error, 'whose token was refused')
    t.equal(server.calls.length, 1)
    t.equal(worker.current().token, 'a1', 'others go on')
    t.equal(worker.problem, null)
    t.match(control.news(), { snapshot: { token: 'a1' }, problem: null }, 'and new workers get it')
    await t.rejects(worker.renew(worker.current(), signal), error)
    t.equal(server.calls.length, 1, 'the service is spared')
  }
)

t.test('a refused token that can never be renewed is barred', async (t) => {
  const { control, server, addWorker } = await controlRig(t)
  server.replies.push({ status: 401, body: { message: 'Bad credentials' } })
  const worker = addWorker()
  await t.rejects(worker.renew(worker.current(), signal), { code: 'GW_UPSTREAM_AUTH' })
  t.throws(() => worker.current(), { code: 'GW_UPSTREAM_AUTH' })
  t.match(control.news(), { snapshot: null, problem: { code: 'GW_UPSTREAM_AUTH' } })
})

t.test('an API key stays in use after a refusal: nothing could replace it', async (t) => {
  const { addWorker } = await controlRig(t, { KIRO_API_KEY: 'ksk_a' })
  const worker = addWorker()
  await t.rejects(worker.renew(worker.current(), signal), { code: 'GW_UPSTREAM_AUTH' })
  t.equal(worker.current().token, 'ksk_a')
})

t.test('a refused token is replaced by a renewed one', async (t) => {
  const { told, addWorker } = await controlRig(t)
  const worker = addWorker()
  t.match(await worker.renew(worker.current(), signal), { token: 'a2' })
  t.match(told.at(-1), { snapshot: { token: 'a2' } })
})

t.test('nobody is refused while a token that is over is being renewed', async (t) => {
  const { server, addWorker } = await controlRig(t, {}, { lifeMs: -1 }, (server) => {
    server.beforeReply = () => new Promise((resolve) => setTimeout(resolve, 1200))
  })
  const workers = [addWorker(), addWorker()]
  const tokens = await Promise.all(workers.flatMap((w) => [w.ready(signal), w.ready(signal)]))
  t.same(new Set(tokens.map(({ token }) => token)), new Set(['a2']))
  t.equal(server.calls.length, 1)
})

t.test('a service that is down for a moment is waited for, and told as such', async (t) => {
  const { server, control, addWorker } = await controlRig(t, {}, { lifeMs: -1 }, (server) => {
    server.replies.push({ status: 429, body: '', headers: { 'retry-after': '11' } })
  })
  t.match(control.news(), {
    snapshot: null,
    problem: {
      code: 'GW_NOT_READY',
      message: /cannot be renewed at the moment.*HTTP 429/,
      failure: 'not-ready'
    },
    retryAt: Number
  })
  t.notMatch(JSON.stringify(control.news()), /[Ll]og in/)
  t.equal(server.calls.length, 1)
  const abort = new AbortController()
  const waiting = addWorker().ready(abort.signal)
  abort.abort(new Error('left'))
  await t.rejects(waiting, { message: 'left' })
})

t.test('a region that cannot be reached is told apart from other trouble', async (t) => {
  const expiresAt = new Date(Date.now() - 1).toISOString()
  const content = { accessToken: 'a1', refreshToken: 'r1', expiresAt }
  const dir = t.testdir({ 'token.json': JSON.stringify(content) })
  const config = configOf({
    KIRO_CREDS_FILE: join(dir, 'token.json'),
    STATE_DIR: join(dir, 'state')
  })
  const { log } = recordedLog()
  const told = Promise.withResolvers<CredentialNews>()
  const control = new CredentialControl({
    config,
    source: createCredentialSource(config.credentials, log),
    call: () => Promise.reject(new GatewayError('GW_UPSTREAM_DNS')),
    log,
    onNews: (news) => {
      if (news.problem?.failure !== undefined) told.resolve(news)
    },
    onUnusable: () => {}
  })
  await control.start()
  const problem = { code: 'GW_NOT_READY', failure: 'region-unreachable' }
  t.match(await told.promise, { problem })
  await control.close()
})

t.test('there may be no sign-in at all', async (t) => {
  const control = new CredentialControl({
    config: configOf({ KIRO_CREDS: 'none', KIRO_KEY_PASSTHROUGH: 'true' }),
    source: null,
    call: () => Promise.reject(new Error('was called')),
    log: recordedLog().log,
    onNews: () => {},
    onUnusable: () => {}
  })
  await control.start()
  await control.wanted()
  t.equal(control.isExpected, false)
  t.match(control.news(), { snapshot: null, problem: { code: 'GW_KEY_INVALID', message: /ksk_/ } })
  await control.close()
})
