import t, { type Test } from 'tap'
import { idpTokenUrl } from '../../src/credentials/idp-endpoint.ts'
import { runtimeHeaders } from '../../src/kiro/wire/hosts.ts'
import { credentialRig, ideFile, type RigOptions } from '../helper/credential-rig.ts'

// kiro-protocol §3.11 and §3.13: sign-ins through an organisation's own provider.

const TENANT = 'https://login.microsoftonline.com/tenant'
const GRANT = {
  grant_type: 'refresh_token',
  refresh_token: 'r1',
  client_id: 'ci',
  scope: 'api://x/.default offline_access'
}
const ARN = 'arn:aws:codewhisperer:us-east-1:111122223333:profile/EXAMPLE'

/** A gateway with such a sign-in; its token is good for so many minutes. */
function rig(t: Test, minutes: number, options: RigOptions = {}) {
  const file = ideFile(minutes, {
    authMethod: 'external_idp',
    tokenEndpoint: `${TENANT}/oauth2/v2.0/token`,
    issuerUrl: `${TENANT}/v2.0`,
    clientId: 'ci',
    scopes: ['api://x/.default', 'offline_access'],
    profileArn: ARN,
    ...options.file
  })
  return credentialRig(t, { ...options, file })
}

const invalidGrant = { status: 400, body: { error: 'invalid_grant' } }

t.test('a sign-in through an external provider is renewed there', async (t) => {
  const { refresher, server, readFile } = await rig(t, 0)
  const answer = { access_token: 'a2', expires_in: '3599', token_type: 'Bearer' }
  server.replies.push({ status: 200, body: answer })
  await refresher.start()
  t.match(server.calls, [
    { path: '/idp', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: GRANT }
  ])
  t.equal(server.calls.length, 1)
  t.match(readFile(), {
    accessToken: 'a2',
    refreshToken: 'r1',
    expiresAt: '2026-09-01T00:58:59.000Z'
  })
  const snapshot = refresher.current()
  t.match(snapshot, { token: 'a2', tokenType: 'EXTERNAL_IDP', profileArn: ARN })
  if (snapshot === null) return
  const headers = runtimeHeaders(snapshot, {
    operation: 'generate',
    form: 'path',
    userAgent: 'ua',
    invocationId: 'i',
    attempt: 1,
    maxAttempts: 3,
    profileArn: snapshot.profileArn
  })
  t.match(headers, { authorization: 'Bearer a2', tokentype: 'EXTERNAL_IDP' })
  server.replies.push(invalidGrant)
  await t.rejects(refresher.refused('a2'), {
    code: 'GW_UPSTREAM_AUTH',
    message: /invalid_grant/
  })
})

t.test('an endpoint that a file names is looked at before a token goes there', async (t) => {
  const endpoints = [
    'http://login.microsoftonline.com/tenant/token',
    'https://10.0.0.1/token',
    'https://login.microsoftonline.com:8443/token',
    'https://user@login.microsoftonline.com/token',
    'https://idp.example/token'
  ]
  for (const tokenEndpoint of endpoints) {
    await t.test(tokenEndpoint, async (t) => {
      const { refresher, server, text } = await rig(t, 0, {
        file: { tokenEndpoint },
        namesEndpoint: true
      })
      await refresher.start()
      t.match(refresher.state().problem, { code: 'GW_IDP_NOT_ALLOWED', message: /KIRO_IDP_HOSTS/ })
      t.equal(server.calls.length, 0, 'nothing is sent')
      t.notMatch(text(), /"r1"/)
    })
  }
  const client = { tokenEndpoint: 'https://idp.example/token', clientId: 'ci', scopes: null }
  t.ok(idpTokenUrl({ ...client, issuerUrl: 'https://idp.example' }, []), 'the issuer itself')
  t.ok(idpTokenUrl({ ...client, issuerUrl: null }, ['.example']), 'what the operator allows')
})

t.test('a rotated refresh token is kept and used from then on', async (t) => {
  const { refresher, server, readFile } = await rig(t, 0)
  await refresher.start()
  t.match(readFile(), { accessToken: 'a2', refreshToken: 'r2' })
  t.match(await refresher.refused('a2'), { token: 'a3' })
  t.match(server.calls, [{ body: GRANT }, { body: { ...GRANT, refresh_token: 'r2' } }])
  t.match(readFile(), { accessToken: 'a3', refreshToken: 'r3' })
})

t.test('what may pass does not sign out; what is dead does', async (t) => {
  const passing = [
    { status: 400, body: { error: 'interaction_required' } },
    { status: 400, body: { error: 'invalid_request', error_description: 'unknown parameter' } },
    { status: 403, body: '<html>blocked</html>', headers: { 'content-type': 'text/html' } },
    { status: 302, body: '', headers: { location: 'https://idp.example/elsewhere' } },
    { status: 429, body: { error: 'slow_down' } },
    { status: 503, body: '' }
  ]
  for (const reply of passing) {
    await t.test(`passes: ${JSON.stringify(reply)}`, async (t) => {
      const { refresher, server, clock, changed } = await rig(t, 0)
      server.replies.push(reply, reply, reply)
      await refresher.start()
      const { name, problem } = refresher.state()
      t.equal(name, 'waiting')
      t.match(problem?.code, /^GW_UPSTREAM_(STATUS|RATE_LIMITED)$/)
      t.notMatch(problem?.message, /sign.?in|log.?in/i)
      clock.moveBy(60_000)
      await changed()
      t.match(refresher.current(), { token: 'a2' })
    })
  }
  for (const error of ['invalid_grant', 'invalid_client', 'expired_token', 'unauthorized_client']) {
    await t.test(`is dead: ${error}`, async (t) => {
      const { refresher, server, clock } = await rig(t, 0)
      server.replies.push({ status: 400, body: { error } })
      await refresher.start()
      t.match(refresher.state().problem, { code: 'GW_UPSTREAM_AUTH', message: error })
      clock.moveBy(60_000)
      t.equal(server.calls.length, 1, 'a dead token is not presented again')
    })
  }
})

t.test('while the token is good, nobody is told to sign in for what may pass', async (t) => {
  const { refresher, server, clock, states, changed, text } = await rig(t, 30)
  await refresher.start()
  server.replies.push(...Array.from({ length: 3 }, () => ({ status: 503, body: '' })))
  clock.moveTo('2026-09-01T00:20:00Z') // ten minutes before it ends it is due
  await changed()
  t.match(refresher.state(), {
    name: 'usable',
    snapshot: { token: 'a1' },
    problem: { code: 'GW_UPSTREAM_STATUS' }
  })
  t.ok(states.every(({ name }) => name === 'usable'))
  t.notMatch(text(), /[Ss]ign in again/)
})
