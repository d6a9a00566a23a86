import t from 'tap'
import { isFinalRefusal, renewalFailure } from '../../src/credentials/renewal-failure.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const NOW = Date.parse('2026-09-01T00:00:00Z')
const sent = storedCredential({ refreshToken: 'r1' })
const html = '<html><body>Request blocked</body></html>'

function failure(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return renewalFailure({ status, headers, text }, { sent, loginHint: 'Sign in again.', now: NOW })
}

t.test('the classes of §3.13', async (t) => {
  for (const [status, body] of [
    [400, { error: 'invalid_grant' }],
    [400, { __type: 'com.amazon#InvalidGrantException' }],
    [400, { code: 'ExpiredTokenException', message: 'x' }],
    [401, { message: 'Bad credentials' }],
    [401, ''],
    [401, { error: 'invalid_client' }],
    [403, { error: 'access_denied' }],
    [403, { __type: 'UnauthorizedClientException' }],
    [400, { error: 'INVALID_TOKEN' }],
    [400, { error: 'invalid_request', error_description: 'Invalid refresh token provided' }],
    [400, { error: 'invalid_request', error_description: 'The grant is over' }]
  ] as const) {
    const error = failure(status, body)
    t.equal(error.code, 'GW_UPSTREAM_AUTH', `${status} ${JSON.stringify(body)}`)
    t.ok(isFinalRefusal(error))
    t.match(error.message, /no longer valid.*Sign in again\./)
  }
  for (const [status, body] of [
    [400, { error: 'invalid_request', error_description: 'Missing member' }],
    [400, { error: 'invalid_request' }],
    [400, { error: 'authorization_pending' }],
    [400, 'Bad Request'],
    [401, html],
    [403, html],
    [403, ''],
    [404, 'nope'],
    [408, ''],
    [500, html],
    [503, { error: 'temporarily_unavailable' }],
    [500, { error: 'server_error' }],
    [200, '']
  ] as const) {
    const error = failure(status, body)
    t.equal(error.code, 'GW_UPSTREAM_STATUS', `${status} ${JSON.stringify(body)}`)
    t.notOk(isFinalRefusal(error))
    t.notMatch(error.message, /Sign in again/)
  }
  for (const [status, body] of [
    [429, ''],
    [400, { error: 'slow_down' }]
  ] as const) {
    t.match(failure(status, body, { 'retry-after': '77' }), {
      code: 'GW_UPSTREAM_RATE_LIMITED',
      retryAfterS: 77
    })
  }
  t.equal(failure(423, '').code, 'GW_UPSTREAM_SUSPENDED')
})

t.test('a registration that has run out is named, one that has not is not', async (t) => {
  const said = { error: 'invalid_client' }
  const response = { status: 401, headers: {}, text: JSON.stringify(said) }
  const client = { clientId: 'ci', clientSecret: 'cs' }
  for (const [expiresAt, code] of [
    [NOW - 1, 'GW_REGISTRATION_EXPIRED'],
    [NOW + 1, 'GW_UPSTREAM_AUTH'],
    [undefined, 'GW_UPSTREAM_AUTH']
  ] as const) {
    const known = expiresAt === undefined ? client : { ...client, expiresAt }
    const error = renewalFailure(response, {
      sent: { ...sent, authType: 'idc', client: known },
      loginHint: 'Sign in again.',
      now: NOW
    })
    t.equal(error.code, code)
    t.ok(isFinalRefusal(error))
    if (code === 'GW_REGISTRATION_EXPIRED') {
      t.match(error.message, /registration.*expired on 2026-08-31; your password is still valid/)
    }
  }
})
