import t from 'tap'
import { startSimulator } from '../helper/run-simulator.ts'
import {
  bearer,
  call,
  generate,
  jsonOf,
  refusalOf,
  TEST_PROFILE_ARN,
  upstreamRequest
} from '../helper/simulator-request.ts'

t.test('credentials', async (t) => {
  let now = 0
  const { url } = await startSimulator(t, { tokenLifetimeS: 100, now: () => now })
  const withoutArn = { ...upstreamRequest('hi'), profileArn: undefined }
  const apiKey = { tokentype: 'API_KEY' }
  const arnHeader = { 'x-amzn-kiro-profile-arn': TEST_PROFILE_ARN }
  const cases: [name: string, body: unknown, headers: Record<string, string>, expected: object][] =
    [
      ['no bearer', upstreamRequest('hi'), { authorization: '' }, { status: 403 }],
      [
        'expired-token',
        upstreamRequest('hi'),
        bearer('expired-token'),
        { status: 403, message: 'The bearer token included in the request is invalid.' }
      ],
      [
        'suspended-token',
        upstreamRequest('hi'),
        bearer('suspended-token'),
        { status: 403, reason: 'TEMPORARILY_SUSPENDED', message: /temporarily is suspended/ }
      ],
      [
        'quota-token',
        upstreamRequest('hi'),
        bearer('quota-token'),
        { status: 402, reason: 'MONTHLY_REQUEST_COUNT', message: 'You have reached the limit.' }
      ],
      [
        'no ARN',
        withoutArn,
        bearer('x'),
        { status: 400, reason: null, message: 'profileArn is required for this request.' }
      ],
      [
        'an API key without TokenType',
        withoutArn,
        bearer('ksk_1'),
        { status: 400, message: 'profileArn is required for this request.' }
      ],
      [
        'an API key with an ARN',
        upstreamRequest('hi'),
        bearer('ksk_1', apiKey),
        { status: 403, message: 'User is not authorized to make this call.' }
      ],
      [
        'an ARN of another form',
        withArn('arn:aws:iam::1:user/x'),
        bearer('x'),
        { status: 400, reason: 'REQUEST_BODY_INVALID' }
      ],
      [
        'the ARN of a fake account',
        withArn('arn:aws:codewhisperer:us-east-1:000000000000:profile/X'),
        bearer('x'),
        { status: 400, reason: 'REQUEST_BODY_INVALID' }
      ],
      ['an API key', withoutArn, bearer('ksk_1', apiKey), { status: 200 }],
      ['an ARN in the header', withoutArn, bearer('x', arnHeader), { status: 200 }]
    ]
  for (const [name, body, headers, expected] of cases) {
    t.test(name, async (t) => {
      t.match(await refusalOf(generate(url, body, headers)), expected)
    })
  }

  t.test('issues desktop tokens that expire, each refresh token good once', async (t) => {
    const refresh = (refreshToken: string) =>
      call(url, 'POST', '/refreshToken', { body: { refreshToken } })
    const first = await jsonOf(refresh('r1'))
    t.match(first, { accessToken: /^sim-access-\d+$/, expiresIn: 100, profileArn: /^arn:/ })
    t.ok(String(first['refreshToken']).length >= 100)
    t.equal((await refresh('r1')).status, 401)
    t.equal((await refresh(String(first['refreshToken']))).status, 200)
    t.equal((await refresh('dead-refresh-token')).status, 401)
    t.equal((await call(url, 'POST', '/refreshToken', { body: {} })).status, 400)

    const token = bearer(String(first['accessToken']))
    t.equal((await generate(url, upstreamRequest('hi'), token)).status, 200)
    now += 100_000
    t.equal((await generate(url, upstreamRequest('hi'), token)).status, 403)
  })

  t.test('issues OIDC tokens, and says invalid_grant on replay', async (t) => {
    const body = {
      grantType: 'refresh_token',
      clientId: 'c',
      clientSecret: 's',
      refreshToken: 'o1'
    }
    t.match(await jsonOf(createToken(url, body)), {
      accessToken: /^sim-access-/,
      tokenType: 'Bearer'
    })
    const replayed = await createToken(url, body)
    t.equal(replayed.status, 400)
    t.match(await replayed.json(), { error: 'invalid_grant' })
    for (const missing of Object.keys(body)) {
      const refused = await createToken(url, { ...body, [missing]: undefined })
      t.match(await refused.json(), { error: 'invalid_request' }, `without ${missing}`)
    }
  })
})

function createToken(url: string, body: unknown): Promise<Response> {
  return call(url, 'POST', '/token', { body })
}

function withArn(profileArn: string): object {
  return { ...upstreamRequest('hi'), profileArn }
}
