import t, { type Test } from 'tap'
import {
  BUILDER_ID,
  type DeviceCode,
  type DeviceLoginOptions,
  loginByDeviceCode,
  readLoginRegion,
  readStartUrl
} from '../../../src/credentials/login/device-login.ts'
import type { NewSignIn } from '../../../src/credentials/own-sign-in.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import type { AuthReply } from '../../helper/fake-auth-server.ts'
import { HastyClock } from '../../helper/fake-clock.ts'
import { FakeSignInServices } from '../../helper/fake-sign-in-services.ts'
import { undiciJsonCall } from '../../helper/undici-json-call.ts'

const START = '2026-09-01T00:00:00Z'
const ORGANISATION = { startUrl: 'https://d-1234567890.awsapps.com/start', region: 'eu-west-1' }
const PAGE: AuthReply = { status: 403, body: '<html>blocked</html>' }

function refused(error: string): AuthReply {
  return { status: 400, body: { error } }
}

async function rig(t: Test, changes: Partial<DeviceLoginOptions> = {}) {
  const services = await new FakeSignInServices().listen()
  const { call, close } = undiciJsonCall()
  t.teardown(() => services.close())
  t.teardown(close)
  const clock = new HastyClock(START)
  const codes: DeviceCode[] = []
  const problems: (string | null)[] = []
  const hosts = { apiUrl: null, managementUrl: null, authUrl: null, oidcUrl: services.url }
  const login = (): Promise<NewSignIn> =>
    loginByDeviceCode({
      call,
      clock,
      upstream: { ...hosts, userAgent: 'kiro-gateway/test' },
      signal: new AbortController().signal,
      ...BUILDER_ID,
      onCode: (code) => codes.push(code),
      onProblem: (problem) => problems.push(problem?.code ?? null),
      ...changes
    })
  /** Somebody does something with the code after so many waits. */
  const after = (waits: number, act: () => void): void => {
    clock.onSleep = () => {
      if (clock.slept.length === waits) act()
    }
  }
  return { services, clock, codes, problems, login, after }
}

t.test('loginByDeviceCode()', (t) => {
  t.test('says of a service that is late what helps there', async (t) => {
    for (const code of ['GW_UPSTREAM_HEADERS_TIMEOUT', 'GW_UPSTREAM_IDLE_TIMEOUT'] as const) {
      const { services, login } = await rig(t, {
        call: () => Promise.reject(new GatewayError(code))
      })
      await t.rejects(login(), {
        code,
        message: `The sign-in service at ${new URL(services.url).host} did not answer in full within 15 seconds. Try again, or check the network and proxy settings (KIRO_OIDC_URL, VPN_PROXY_URL).`
      })
    }
  })

  t.test(
    'names a host that cannot be reached, and blames no setting that is not set',
    async (t) => {
      const unresolved = new GatewayError('GW_UPSTREAM_DNS', 'dns', {
        message: 'The upstream could not be resolved (ENOTFOUND). Check KIRO_OIDC_URL.'
      })
      const call = () => Promise.reject(unresolved)
      const none = { apiUrl: null, managementUrl: null, authUrl: null, oidcUrl: null }
      const usual = await rig(t, { call, upstream: { ...none, userAgent: 'kiro-gateway/test' } })
      await t.rejects(usual.login(), {
        code: 'GW_UPSTREAM_DNS',
        message:
          'The sign-in service at oidc.us-east-1.amazonaws.com could not be resolved. Check that this machine is online, and its name servers (DNS_SERVERS).'
      })
      const own = await rig(t, { call })
      await t.rejects(own.login(), { message: /online, .*\(DNS_SERVERS\) and KIRO_OIDC_URL\.$/ })
      const refused = await rig(t, {
        call: () =>
          Promise.reject(
            new GatewayError('GW_UPSTREAM_CONNECT', 'refused', {
              message: 'The upstream refused the connection (ECONNREFUSED, while connecting). Hint.'
            })
          )
      })
      await t.rejects(refused.login(), {
        message: /^The sign-in service at 127\.0\.0\.1:\d+ refused the connection/
      })
    }
  )
  t.test('registers under its own name and signs in with Builder ID', async (t) => {
    const { services, clock, codes, login, after } = await rig(t)
    after(3, () => (services.device = 'confirmed'))
    const signIn = await login()
    t.same(signIn, {
      authMethod: 'builder-id',
      provider: 'BuilderId',
      ...BUILDER_ID,
      client: {
        clientId: 'client-1',
        clientSecret: 'client-secret-1',
        secretExpiresAt: 1_800_000_000_000
      },
      accessToken: 'access-token-1',
      refreshToken: 'refresh-token-1',
      expiresInS: 3600,
      profileArn: null
    })
    t.same(codes, [
      {
        userCode: 'CODE-1',
        url: 'https://device.example.com/?user_code=CODE-1',
        verificationUrl: 'https://device.example.com/',
        expiresAt: Date.parse(START) + 600_000
      }
    ])
    t.same(clock.slept, [1000, 1000, 1000])
    const [register, authorize, ...polls] = services.calls
    t.match(register, {
      path: '/client/register',
      headers: { 'user-agent': 'kiro-gateway/test' },
      body: {
        clientName: 'kiro-gateway',
        scopes: [
          'codewhisperer:completions',
          'codewhisperer:analysis',
          'codewhisperer:conversations'
        ],
        issuerUrl: 'https://view.awsapps.com/start'
      }
    })
    t.match(authorize, { path: '/device_authorization', body: { clientId: 'client-1' } })
    t.same(
      polls.map(({ path }) => path),
      ['/token', '/token', '/token']
    )
  })

  t.test('signs in with an organisation', async (t) => {
    const { services, login, after } = await rig(t, ORGANISATION)
    after(1, () => (services.device = 'confirmed'))
    t.match(await login(), { authMethod: 'IdC', provider: 'Enterprise', ...ORGANISATION })
    t.equal(services.callsTo('/device_authorization')[0]?.body['startUrl'], ORGANISATION.startUrl)
  })

  t.test('asks more slowly when it is told to', async (t) => {
    const { services, clock, login, after } = await rig(t)
    after(4, () => (services.device = 'confirmed'))
    const running = login()
    clock.onSleep = ((before) => () => {
      if (clock.slept.length === 1) services.replies.push(refused('slow_down'))
      if (clock.slept.length === 2) services.replies.push(refused('SlowDownException'))
      before()
    })(clock.onSleep)
    await running
    t.same(clock.slept, [1000, 6000, 11_000, 11_000])
  })

  t.test('goes on when the service fails for a while, and says so once', async (t) => {
    const { services, clock, problems, login } = await rig(t)
    const failures: Readonly<Record<number, AuthReply>> = {
      1: { status: 503, body: { message: 'later' } },
      2: { status: 503, body: { message: 'later' } },
      3: PAGE,
      4: { status: 200, body: 'no JSON' },
      5: { status: 429, body: {}, headers: { 'retry-after': '40' } },
      6: { status: 200, body: { tokenType: 'Bearer' } }
    }
    clock.onSleep = () => {
      const failure = failures[clock.slept.length]
      if (failure !== undefined) services.replies.push(failure)
      if (clock.slept.length === 8) services.device = 'confirmed'
    }
    t.match(await login(), { accessToken: 'access-token-1' })
    const down = 'GW_UPSTREAM_STATUS'
    t.same(problems, [down, down, down, 'GW_UPSTREAM_RATE_LIMITED', down, null])
    t.same(clock.slept, [1000, 1000, 1000, 1000, 1000, 40_000, 1000, 1000])
  })

  t.test('ends when somebody denies it, or nobody confirms it', async (t) => {
    for (const [device, code] of [
      ['denied', 'GW_LOGIN_DENIED'],
      ['expired', 'GW_LOGIN_EXPIRED']
    ] as const) {
      const { services, login, after } = await rig(t)
      after(2, () => (services.device = device))
      await t.rejects(login(), { code })
      t.equal(services.callsTo('/token').length, 2)
    }
  })

  t.test('does not ask beyond the life of the code', async (t) => {
    const { services, clock, login } = await rig(t)
    services.expiresIn = 30
    services.interval = 7
    await t.rejects(login(), { code: 'GW_LOGIN_EXPIRED', message: /was not confirmed in time/ })
    t.same(clock.slept, [7000, 7000, 7000, 7000])
  })

  t.test('says why asking failed when that is all that happened', async (t) => {
    const { services, clock, login } = await rig(t)
    services.expiresIn = 3
    clock.onSleep = () => services.replies.push(PAGE)
    await t.rejects(login(), { code: 'GW_LOGIN_EXPIRED', message: /firewall, CDN or proxy/ })
  })

  t.test('ends at once where the service refuses us', async (t) => {
    const { services, login, after } = await rig(t)
    after(1, () =>
      services.replies.push({
        status: 400,
        body: { error: 'invalid_client', error_description: 'not client-secret-1 or device-code-1' }
      })
    )
    const error = await login().catch((cause: unknown) => cause)
    t.match(error, { code: 'GW_UPSTREAM_AUTH', message: /HTTP 400, invalid_client/ })
    t.notMatch(String(Reflect.get(Object(error), 'message')), /client-secret-1|device-code-1/)
    t.equal(services.callsTo('/token').length, 1)
  })

  t.test('names start URL and region where an organisation is refused', async (t) => {
    const { login } = await rig(t, { ...ORGANISATION, startUrl: 'https://wrong.awsapps.com/start' })
    await t.rejects(login(), { message: /wrong\.awsapps\.com.*eu-west-1/ })
  })

  t.test('fails before there is a code where the service cannot be used', async (t) => {
    for (const reply of [
      { status: 500, body: { message: 'no' } },
      PAGE,
      { status: 200, body: {} },
      { status: 200, body: { clientId: 'with\nline', clientSecret: 's' } }
    ]) {
      const { services, codes, login } = await rig(t)
      services.replies.push(reply)
      await t.rejects(login(), { code: 'GW_UPSTREAM_STATUS' })
      t.same(codes, [])
    }
  })

  t.test('sends nobody to a page that is not https', async (t) => {
    const { services, codes, login } = await rig(t)
    const registered = { clientId: 'client-1', clientSecret: 'client-secret-1' }
    const device = { deviceCode: 'd', userCode: 'u', verificationUri: 'http://evil.example.com' }
    services.replies.push({ status: 200, body: registered }, { status: 200, body: device })
    await t.rejects(login(), { message: /verificationUri/ })
    t.same(codes, [])
  })

  t.test('ends with its signal', async (t) => {
    const leaving = new AbortController()
    const { services, login, after } = await rig(t, { signal: leaving.signal })
    after(2, () => leaving.abort(new Error('enough')))
    await t.rejects(login(), { message: 'enough' })
    t.equal(services.callsTo('/token').length, 1)
  })
  t.end()
})

t.test('readStartUrl() takes what people copy from the browser', async (t) => {
  for (const text of [
    'https://d-1.awsapps.com/start',
    ' https://d-1.awsapps.com/start/#/?tab=accounts',
    'https://D-1.awsapps.com/start/?x=1'
  ]) {
    t.equal(readStartUrl(text, '--start-url'), 'https://d-1.awsapps.com/start')
  }
  for (const text of ['', 'd-1.awsapps.com/start', 'http://d-1.awsapps.com', 'https://a:b@c/']) {
    t.throws(() => readStartUrl(text, '--start-url'), { code: 'GW_CONFIG_INVALID' }, text)
  }
})

t.test('readLoginRegion() takes regions only', async (t) => {
  t.equal(readLoginRegion('us-gov-west-1', '--region'), 'us-gov-west-1')
  for (const text of ['', 'evil.example.com/', 'us_east_1']) {
    t.throws(() => readLoginRegion(text, '--region'), { message: /^--region/ })
  }
})
