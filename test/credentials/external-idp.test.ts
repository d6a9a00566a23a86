import t, { type Test } from 'tap'
import { idpTokenUrl } from '../../src/credentials/idp-endpoint.ts'
import { renewTokens } from '../../src/credentials/renew.ts'
import type { StoredCredential } from '../../src/credentials/stored-credential.ts'
import type { JsonRequest } from '../../src/upstream/call/json-exchange.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { FakeClock } from '../helper/fake-clock.ts'
import { storedCredential } from '../helper/stored-credential.ts'
import { undiciJsonCall } from '../helper/undici-json-call.ts'

const ENTRA = 'https://login.microsoftonline.com/tenant/oauth2/v2.0/token'
const idp = {
  tokenEndpoint: ENTRA,
  clientId: 'ci',
  issuerUrl: 'https://login.microsoftonline.com/tenant/v2.0',
  scopes: 'api://x/.default offline_access'
}
const stored = storedCredential({
  authType: 'external-idp',
  accessToken: 'a1',
  refreshToken: 'r1',
  idp
})
const upstream = {
  apiUrl: null,
  managementUrl: null,
  authUrl: null,
  oidcUrl: null,
  userAgent: 'ua'
}
const leaving = new AbortController().signal

function neverCalled(): never {
  throw new Error('was sent')
}

/** Where a sign-in with this endpoint would be renewed. */
function at(
  tokenEndpoint: string,
  hosts: readonly string[] = [],
  issuerUrl: string = idp.issuerUrl
): string {
  return idpTokenUrl({ ...idp, tokenEndpoint, issuerUrl }, hosts)
}

async function rig(t: Test) {
  const server = await new FakeAuthServer().listen()
  const { call, close } = undiciJsonCall()
  t.teardown(async () => {
    server.close()
    await close()
  })
  const clock = new FakeClock('2026-09-01T00:00:00Z')
  const terms = { call, clock, loginHint: 'Log in again.', leaving }
  const renew = (one: StoredCredential) =>
    renewTokens(one, { ...terms, upstream: { ...upstream, idpUrl: `${server.url}/idp` } })
  return { server, renew }
}

t.test('renewing a sign-in through an external identity provider', (t) => {
  t.test('asks as a form, without a secret, and reads snake_case', async (t) => {
    const requests: JsonRequest[] = []
    const tokens = await renewTokens(stored, {
      call: (request) => {
        requests.push(request)
        const text = '{"access_token":"a2","expires_in":"3599","token_type":"Bearer"}'
        return Promise.resolve({ status: 200, headers: {}, text })
      },
      clock: new FakeClock(0),
      upstream,
      loginHint: '',
      leaving
    })
    t.same(tokens, { accessToken: 'a2', refreshToken: null, expiresInS: 3599, profileArn: null })
    t.match(requests, [
      {
        method: 'POST',
        url: ENTRA,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'grant_type=refresh_token&refresh_token=r1&client_id=ci&scope=api%3A%2F%2Fx%2F.default%20offline_access'
      }
    ])
  })
  t.test('takes a rotated token, and sends no scope where none is known', async (t) => {
    const { server, renew } = await rig(t)
    const cli = { ...stored, idp: { ...idp, scopes: null } }
    t.match(await renew(cli), { accessToken: 'a2', refreshToken: 'r2', expiresInS: 3600 })
    t.notOk('scope' in (server.calls[0]?.body ?? {}))
    t.match(await renew({ ...cli, refreshToken: 'r2' }), { accessToken: 'a3' })
  })
  t.test('is dead when the provider says so, and only then', async (t) => {
    const { server, renew } = await rig(t)
    await t.rejects(renew({ ...stored, refreshToken: 'used' }), {
      code: 'GW_UPSTREAM_AUTH',
      message: /invalid_grant.*Log in again/
    })
    const odd = { status: 400, body: { error: 'interaction_required' } }
    server.replies.push(odd, odd, odd)
    await t.rejects(renew(stored), { code: 'GW_UPSTREAM_STATUS' })
  })
  t.test('sends nothing to an endpoint that is not allowed', async (t) => {
    const foreign = { ...stored, idp: { ...idp, tokenEndpoint: 'https://evil.example/token' } }
    const terms = { call: neverCalled, clock: new FakeClock(0), upstream, loginHint: '', leaving }
    await t.rejects(renewTokens(foreign, terms), {
      code: 'GW_IDP_NOT_ALLOWED',
      message: /evil\.example.*KIRO_IDP_HOSTS/
    })
  })
  t.end()
})

t.test('idpTokenUrl()', (t) => {
  t.test('takes known providers, the issuer itself and what is allowed', async (t) => {
    t.equal(at(ENTRA), ENTRA)
    t.ok(at('https://login.microsoftonline.us/t/token'))
    t.ok(at('https://login.partner.microsoftonline.cn:443/t/token'))
    const okta = 'https://corp.okta.com/oauth2/v1/token'
    t.ok(at(okta, [], 'https://corp.okta.com'))
    t.ok(at(okta, ['corp.okta.com']))
    t.ok(at(okta, ['.OKTA.com']))
  })
  t.test('refuses everything else', async (t) => {
    for (const [url, problem] of [
      ['nowhere', /not a URL/],
      ['http://login.microsoftonline.com/t', /does not use https/],
      ['https://user@login.microsoftonline.com/t', /user name/],
      ['https://login.microsoftonline.com:8443/t', /port/],
      ['https://10.0.0.1/t', /address/],
      ['https://[fd00::1]/t', /address/],
      ['https://0x7f.1/t', /address/],
      ['https://microsoftonline.com.evil.example/t', /not known/],
      ['https://evilmicrosoftonline.com/t', /not known/],
      ['https://okta.com/t', /not known/]
    ] as const) {
      t.throws(
        () => at(url, ['.okta.com', 'corp.okta.com'], 'http://okta.com'),
        {
          code: 'GW_IDP_NOT_ALLOWED',
          message: problem
        },
        url
      )
    }
  })
  t.end()
})
