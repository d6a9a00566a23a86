import t, { type Test } from 'tap'
import { renewTokens } from '../../src/credentials/renew.ts'
import type { StoredCredential } from '../../src/credentials/stored-credential.ts'
import type { JsonRequest } from '../../src/upstream/call/json-exchange.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { FakeClock } from '../helper/fake-clock.ts'
import { storedCredential } from '../helper/stored-credential.ts'
import { undiciJsonCall } from '../helper/undici-json-call.ts'

const desktop = storedCredential({ refreshToken: 'r1' })
const oidc = storedCredential({
  authType: 'idc',
  accessToken: 'a1',
  refreshToken: 'r1',
  ssoRegion: 'eu-west-1',
  client: { clientId: 'ci', clientSecret: 'cs' }
})
const hosts = { apiUrl: null, managementUrl: null, authUrl: null, oidcUrl: null }

async function setUp(t: Test) {
  const server = await new FakeAuthServer().listen()
  t.teardown(() => server.close())
  const { call, close } = undiciJsonCall()
  t.teardown(close)
  const clock = new FakeClock('2026-09-01T00:00:00Z')
  const options = {
    call,
    clock,
    upstream: { ...hosts, authUrl: server.url, oidcUrl: server.url, userAgent: 'kiro-gateway/1' },
    loginHint: 'Log in again.',
    leaving: new AbortController().signal
  }
  const renew = (stored: StoredCredential) => renewTokens(stored, options)
  return { server, clock, renew, options }
}

t.test('renewTokens()', (t) => {
  t.test('asks the OIDC service exactly as it wants to be asked', async (t) => {
    const requests: JsonRequest[] = []
    const tokens = await renewTokens(oidc, {
      call: (request) => {
        requests.push(request)
        const text =
          '{"accessToken":"a2","refreshToken":"r2","expiresIn":3600,"tokenType":"Bearer"}'
        return Promise.resolve({ status: 200, headers: {}, text })
      },
      clock: new FakeClock(0),
      upstream: { ...hosts, userAgent: 'ua' },
      loginHint: '',
      leaving: new AbortController().signal
    })
    t.same(tokens, {
      accessToken: 'a2',
      refreshToken: 'r2',
      expiresInS: 3600,
      profileArn: null
    })
    t.equal(requests.length, 1)
    t.match(requests[0], {
      method: 'POST',
      url: 'https://oidc.eu-west-1.amazonaws.com/token',
      headers: { 'content-type': 'application/json' },
      body: '{"grantType":"refresh_token","clientId":"ci","clientSecret":"cs","refreshToken":"r1"}'
    })
  })
  t.test('asks the desktop service for a desktop sign-in', async (t) => {
    const { server, renew } = await setUp(t)
    server.extra = { profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/NEW' }
    t.same(await renew(desktop), {
      accessToken: 'a2',
      refreshToken: 'r2',
      expiresInS: 3600,
      profileArn: server.extra['profileArn']
    })
    t.match(server.calls, [
      {
        path: '/refreshToken',
        body: { refreshToken: 'r1' },
        headers: { 'user-agent': 'kiro-gateway/1' }
      }
    ])
  })
  t.test('assumes an hour and the old refresh token where the answer is silent', async (t) => {
    const { server, renew } = await setUp(t)
    for (const expiresIn of [undefined, 0, -1, 'x']) {
      server.replies.push({ status: 200, body: { accessToken: 'a2', expiresIn } })
      t.match(await renew(desktop), { refreshToken: null, expiresInS: 3600 })
    }
  })
  t.test('tries three times where the failure may pass', async (t) => {
    const { server, clock, renew } = await setUp(t)
    server.replies.push(
      { status: 503, body: '' },
      { status: 429, body: { error: 'slow_down' }, headers: { 'retry-after': '4' } }
    )
    t.match(await renew(oidc), { accessToken: 'a2' })
    t.same(clock.slept, [1000, 4000])
  })
  t.test('gives up after three, with the reason', async (t) => {
    const { server, renew } = await setUp(t)
    const html = {
      status: 403,
      body: '<html>blocked</html>',
      headers: { 'content-type': 'text/html' }
    }
    server.replies.push(html, html, html)
    await t.rejects(renew(desktop), {
      code: 'GW_UPSTREAM_STATUS',
      message: 'The token service answered HTTP 403: a CDN or firewall may block this machine.'
    })
    t.equal(server.calls.length, 3)
  })
  t.test('does not keep requests waiting for minutes', async (t) => {
    const { server, clock, renew } = await setUp(t)
    server.replies.push({ status: 429, body: '', headers: { 'retry-after': '120' } })
    await t.rejects(renew(desktop), { code: 'GW_UPSTREAM_RATE_LIMITED', retryAfterS: 120 })
    t.same(clock.slept, [])
  })
  t.test('asks once for what is final, and says what to do', async (t) => {
    const { server, renew } = await setUp(t)
    const used = storedCredential({ ...oidc, refreshToken: 'r0-used' })
    const error = await t.rejects(renew(used), { code: 'GW_UPSTREAM_AUTH' })
    t.match(
      String(error),
      /HTTP 400, invalid_grant, Invalid refresh token provided.*Log in again\./
    )
    await t.rejects(renew(storedCredential({ refreshToken: 'r0-used' })), {
      code: 'GW_UPSTREAM_AUTH',
      message: /HTTP 401, Bad credentials/
    })
    t.equal(server.calls.length, 2)
  })
  t.test('notices a suspended account', async (t) => {
    const { server, renew } = await setUp(t)
    server.replies.push({
      status: 403,
      body: { message: 'Your User ID temporarily is suspended.' }
    })
    server.replies.push({ status: 423, body: '' })
    await t.rejects(renew(desktop), { code: 'GW_UPSTREAM_SUSPENDED' })
    await t.rejects(renew(desktop), { code: 'GW_UPSTREAM_SUSPENDED' })
  })
  t.test('does not take a wrong host for a dead sign-in', async (t) => {
    const { server, renew } = await setUp(t)
    const reply = { status: 404, body: 'nope' }
    server.replies.push(reply, reply, reply)
    await t.rejects(renew(oidc), { code: 'GW_UPSTREAM_STATUS', message: /KIRO_OIDC_URL/ })
  })
  t.test('does not take an answer without a usable token for success', async (t) => {
    const { server, renew } = await setUp(t)
    for (const body of [{}, '', '[]', { accessToken: '' }, { accessToken: 'a\nb' }]) {
      const reply = { status: 200, body }
      server.replies.push(reply, reply, reply)
      await t.rejects(renew(desktop), {
        code: 'GW_UPSTREAM_STATUS',
        message: /without an access token/
      })
    }
  })
  t.test('names the setting when nobody answers, and the host to the log alone', async (t) => {
    const { server, renew } = await setUp(t)
    server.close()
    const error = await t.rejects(renew(oidc), { code: 'GW_UPSTREAM_CONNECT' })
    t.match(String(error), /refused the connection.*KIRO_OIDC_URL/)
    t.notMatch(String(error), server.url)
    t.match(error, { detail: new RegExp(server.url) })
  })
  t.test('never repeats what it sent', async (t) => {
    const { server, renew } = await setUp(t)
    const secret = storedCredential({
      ...oidc,
      refreshToken: 'refresh-secret',
      client: { clientId: 'id-secret', clientSecret: 'client-secret' }
    })
    const echo = 'bad refresh-secret for id-secret with client-secret'
    for (const status of [400, 423]) {
      server.replies.push({ status, body: { error: echo, error_description: echo } })
      const error = await renew(secret).catch((error: unknown) => error)
      t.notMatch(`${String(error)} ${JSON.stringify(error)}`, /(refresh|id|client)-secret/)
    }
  })
  t.test('does not ask at all if the sign-in cannot be renewed', async (t) => {
    const { server, renew } = await setUp(t)
    const cases = [
      storedCredential({ refreshToken: 'r1', renewalProblem: 'the companion is missing' }),
      storedCredential({ accessToken: 'a1' }),
      storedCredential({ authType: 'idc', refreshToken: 'r1' })
    ]
    for (const stored of cases) await t.rejects(renew(stored), { code: 'GW_UPSTREAM_AUTH' })
    t.equal(server.calls.length, 0)
  })
  t.test('stops when it is told to', async (t) => {
    const { options, server } = await setUp(t)
    server.replies.push({ status: 503, body: '' })
    const abort = new AbortController()
    server.beforeReply = () => abort.abort(new Error('enough'))
    await t.rejects(renewTokens(desktop, { ...options, leaving: abort.signal }))
    t.equal(server.calls.length, 1)
  })

  t.test(
    'sends nothing more once the gateway is leaving, but waits for what was sent',
    async (t) => {
      const { server, options } = await setUp(t)
      const leaving = new AbortController()
      server.beforeReply = () => leaving.abort(new Error('leaving'))
      const terms = { ...options, leaving: leaving.signal }
      await t.resolves(renewTokens(desktop, terms))
      server.replies.push({ status: 503, body: '' })
      await t.rejects(renewTokens(desktop, terms), {
        code: 'GW_UPSTREAM_STATUS'
      })
      t.equal(server.calls.length, 2)
    }
  )
  t.end()
})
