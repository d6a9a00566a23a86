import t, { type Test } from 'tap'
import { BrowserLogin } from '../../../src/credentials/login/browser-login.ts'
import { FakeClock } from '../../helper/fake-clock.ts'
import { FakeSignInServices } from '../../helper/fake-sign-in-services.ts'
import { undiciJsonCall } from '../../helper/undici-json-call.ts'

async function rig(t: Test) {
  const services = await new FakeSignInServices().listen()
  const { call, close } = undiciJsonCall()
  t.teardown(() => services.close())
  t.teardown(close)
  const clock = new FakeClock('2026-09-01T00:00:00Z')
  const hosts = { apiUrl: null, managementUrl: null, authUrl: services.url, oidcUrl: null }
  const { signal } = new AbortController()
  const upstream = { ...hosts, userAgent: 'kiro-gateway/test' }
  return { services, options: { call, clock, signal, upstream } }
}

/** What the callback holds, which must be a code. */
function codeOf(login: BrowserLogin, address: string) {
  const callback = login.readCallback(address)
  if (callback.name !== 'code') throw new Error(`no code, ${callback.name}`)
  return callback
}

t.test('BrowserLogin', (t) => {
  t.test('signs in with the code that the browser brings', async (t) => {
    for (const [provider, name] of [
      ['google', 'Google'],
      ['github', 'Github']
    ] as const) {
      const { services, options } = await rig(t)
      const login = new BrowserLogin(provider, 3128)
      const { searchParams } = new URL(login.url)
      t.equal(searchParams.get('redirect_uri'), 'http://localhost:3128')
      t.equal(searchParams.get('redirect_from'), 'kiro-gateway', 'under no other name')
      t.equal(searchParams.get('signin_methods'), provider)
      const callback = codeOf(login, services.browse(login.url, provider))
      t.same(await login.redeem(callback, options), {
        authMethod: 'social',
        provider: name,
        region: 'us-east-1',
        accessToken: 'access-token-1',
        refreshToken: 'refresh-token-1',
        expiresInS: 3600,
        profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SOCIAL'
      })
      t.match(services.calls, [
        {
          path: '/oauth/token',
          body: {
            redirect_uri: `http://localhost:3128/oauth/callback?login_option=${provider}`
          }
        }
      ])
    }
  })

  t.test('takes the address whole, as browsers show it, or from its path on', async (t) => {
    const { services } = await rig(t)
    const login = new BrowserLogin('google', 3128)
    const whole = services.browse(login.url)
    const first = codeOf(login, whole)
    for (const address of [
      `  ${whole}\n`,
      whole.replace('http://', ''),
      whole.replace('http://localhost:3128', '')
    ]) {
      t.same(codeOf(login, address), first)
    }
  })

  t.test('makes a state and a verifier of its own for each sign-in', async (t) => {
    const links = [new BrowserLogin('google', 1), new BrowserLogin('google', 1)].map(
      ({ url }) => new URL(url).searchParams
    )
    for (const name of ['state', 'code_challenge']) {
      t.equal(new Set(links.map((params) => params.get(name))).size, 2)
    }
  })

  t.test('refuses what belongs to another sign-in', async (t) => {
    const { services } = await rig(t)
    const login = new BrowserLogin('google', 3128)
    const foreign = services.browse(new BrowserLogin('google', 3128).url)
    for (const address of [
      foreign,
      services.browse(login.url).replace(/state=.*/, ''),
      'http://localhost:3128/oauth/callback?error=access_denied',
      '/favicon.ico',
      'http://',
      ''
    ]) {
      t.match(login.readCallback(address), { name: 'foreign' }, address)
    }
  })

  t.test('hears that it was denied', async (t) => {
    const login = new BrowserLogin('google', 3128)
    const state = new URL(login.url).searchParams.get('state')
    const denied = login.readCallback(`/oauth/callback?error=access_denied&state=${state}`)
    t.match(denied, {
      name: 'failed',
      error: { code: 'GW_LOGIN_DENIED', message: /access_denied/ }
    })
  })

  t.test('says what to do when another way was chosen on the page', async (t) => {
    const login = new BrowserLogin('google', 3128)
    const state = new URL(login.url).searchParams.get('state')
    const messageOf = (rest: string): string => {
      const callback = login.readCallback(`/signin/callback?state=${state}&${rest}`)
      return callback.name === 'failed' ? callback.error.message : callback.name
    }
    t.match(messageOf('login_option=builderid'), /kiro-gateway login$/)
    t.match(
      messageOf(
        'login_option=awsidc&issuer_url=https%3A%2F%2Fd-1.awsapps.com%2Fstart&idc_region=eu-west-1'
      ),
      /login --start-url https:\/\/d-1\.awsapps\.com\/start --region eu-west-1$/
    )
    t.match(messageOf('login_option=awsidc&issuer_url=$(reboot)'), /kiro-gateway login$/)
    t.match(messageOf('login_option=external_idp'), /kiro-cli/)
  })

  t.test('uses a code once, and repeats it nowhere', async (t) => {
    const { services, options } = await rig(t)
    const login = new BrowserLogin('google', 3128)
    const callback = codeOf(login, services.browse(login.url))
    services.replies.push({
      status: 400,
      body: { error: 'invalid_grant', error_description: `what is ${callback.code}?` }
    })
    const error = await login.redeem(callback, options).catch((cause: unknown) => cause)
    t.match(error, { code: 'GW_UPSTREAM_AUTH' })
    t.notMatch(String(error), callback.code)
    await t.rejects(login.redeem(callback, options), { message: 'a code can be used only once' })
    t.equal(services.calls.length, 1)
  })

  t.test('the service refuses an address that is not the very one', async (t) => {
    const { services, options } = await rig(t)
    const login = new BrowserLogin('google', 3128)
    const callback = codeOf(login, services.browse(login.url))
    const redirectUri = callback.redirectUri.replace(/\?.*/, '')
    await t.rejects(login.redeem({ ...callback, redirectUri }, options), { message: /HTTP 500/ })
  })
  t.end()
})
