import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { toSnapshot } from '../../src/credentials/sign-in.ts'
import {
  oidcUrl,
  profileArnFor,
  SharedProfileArn,
  runtimeHeaders
} from '../../src/kiro/wire/hosts.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startChat } from '../helper/chat-client.ts'
import { credentialRig } from '../helper/credential-rig.ts'
import { credentialSnapshot } from '../helper/credential-snapshot.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { storedCredential } from '../helper/stored-credential.ts'

// Tokens, hosts, retries, and what must not get out.

t.setTimeout(300_000) // real processes, on a machine that may be busy

t.test(
  'one refresh for all; a 403 forces one, a suspension none; what is rotated is kept',
  async (t) => {
    const { refresher, server, dir, readFile } = await credentialRig(t, {
      file: {
        accessToken: 'a1',
        refreshToken: 'r1',
        expiresAt: '2026-09-01T01:00:00Z',
        ofTheFuture: { kept: true }
      }
    })
    await refresher.start()
    const renewed = await Promise.all(Array.from({ length: 20 }, () => refresher.refused('a1')))
    t.ok(renewed.every(({ token }) => token === 'a2'))
    t.equal(server.calls.length, 1)
    t.match(readFile(), { ofTheFuture: { kept: true } }, 'members that nobody knows stay')
    const state = join(dir, 'state')
    const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile()
    )
    t.ok(files.length > 0, 'the rotated token is kept')
    for (const { parentPath, name } of files) {
      t.equal(statSync(join(parentPath, name)).mode & 0o777, 0o600, 'for its owner alone')
    }
    refresher.suspended('a2', 'Your User ID temporarily is suspended.')
    await t.rejects(refresher.refused('a2'), { code: 'GW_UPSTREAM_SUSPENDED' })
    t.equal(server.calls.length, 1, 'no refresh')
  }
)

t.test('the region of the sign-in is not that of the API', async (t) => {
  const stored = { ...storedCredential({ ssoRegion: 'ap-southeast-1' }), accessToken: 'a1' }
  const snapshot = toSnapshot('id', stored, { profileArn: null, apiRegion: null })
  t.equal(snapshot.apiRegion, 'us-east-1')
  const overrides = { apiUrl: null, managementUrl: null, authUrl: null, oidcUrl: null }
  t.match(
    oidcUrl(stored.ssoRegion, '/token', overrides),
    'https://oidc.ap-southeast-1.amazonaws.com'
  )
})

t.test('an API key says so and has no profile; Builder ID has one by host', async (t) => {
  const options = {
    operation: 'generate' as const,
    form: 'path' as const,
    userAgent: 'ua',
    invocationId: 'i',
    attempt: 1,
    maxAttempts: 3,
    profileArn: null
  }
  const headers = runtimeHeaders({ token: 'ksk_x', tokenType: 'API_KEY' }, options)
  t.equal(headers['tokentype'], 'API_KEY')
  t.notOk('x-amzn-kiro-profile-arn' in headers)
  const key = credentialSnapshot({ authType: 'api-key', profileArn: 'arn:x' })
  t.equal(profileArnFor(key, 'runtime'), null)
  const builder = credentialSnapshot({ authType: 'builder-id' })
  t.equal(profileArnFor(builder, 'runtime'), SharedProfileArn.builderId)
  t.equal(profileArnFor(builder, 'q'), null)
})

async function setUp(t: Test) {
  const simulator = new Simulator({ gapMs: 0 })
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({
    upstreamUrl: url,
    env: { KIRO_AUTH_URL: url, LOG_LEVEL: 'debug', PROXY_API_KEY: 'client-key-of-the-test' }
  })
  t.teardown(() => gateway.destroy())
  const headers = { authorization: 'Bearer client-key-of-the-test' }
  return {
    simulator,
    gateway,
    chat: (prompt: string) => startChat(gateway.url, prompt, { headers }),
    generations: () => simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  }
}

t.test('against a whole gateway', async (t) => {
  const { simulator, gateway, chat, generations } = await setUp(t)

  t.test('an expired token: one forced refresh, then the answer', async (t) => {
    const before = generations()
    const { status, text } = await chat('sim:expired hi').answer
    t.equal(status, 200)
    t.match(text, '[DONE]')
    t.equal(generations() - before, 2)
    t.equal(simulator.stats().refreshes, 1)
  })

  t.test('nothing is asked for again after the first byte; Retry-After is honoured', async (t) => {
    for (const [prompt, status] of [
      ['sim:reset', 200],
      ['sim:exception-mid', 200]
    ] as const) {
      const before = generations()
      t.equal((await chat(prompt).answer).status, status)
      t.equal(generations() - before, 1, prompt)
    }
    const before = generations()
    t.equal((await chat('sim:flaky=1 hi').answer).status, 200)
    t.equal(generations() - before, 2, 'what failed before it began is')
    const begunAt = performance.now()
    const { headers } = await chat('sim:throttled=1 again').answer
    t.equal(headers['retry-after'], '1')
    t.ok(performance.now() - begunAt >= 1000, 'the upstream’s own time is waited for')
  })

  t.test('a client that leaves ends the call upstream', async (t) => {
    const call = chat('sim:stall sim:events=4')
    await call.firstBytes
    t.equal(simulator.stats().inFlight, 1)
    call.request.destroy()
    await call.answer
    const deadline = performance.now() + 5000
    while (simulator.stats().inFlight > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.equal(simulator.stats().inFlight, 0)
  })

  t.test('no token and no key is in the log', async (t) => {
    await gateway.logged((line) => line['msg'] === 'request completed')
    const log = JSON.stringify(gateway.lines) + gateway.stderr
    t.ok(gateway.lines.length > 5)
    for (const secret of ['test-access-token', 'test-refresh-token', 'client-key-of-the-test']) {
      t.notMatch(log, secret)
    }
  })
})
