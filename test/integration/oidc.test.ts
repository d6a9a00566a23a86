import t, { type Test } from 'tap'
import { CookieBrowser, type Visit } from '../helper/cookie-browser.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { type Account, CLIENT, IdentityProvider } from '../helper/identity-provider.ts'
import { ofPage, PanelClient } from '../helper/panel-client.ts'

/* Operators sign in to the panel at a real OpenID Connect provider. */

t.setTimeout(600_000) // processes, on a machine that may be very busy
t.jobs = 1

const OPERATOR = 'operator-key-of-the-panel'
const ANNA: Account = { sub: 'anna-1', email: 'anna@example.com', email_verified: true }

interface Stand {
  readonly gateway: GatewayProcess
  readonly provider: IdentityProvider
}

async function setUp(t: Test): Promise<Stand> {
  const provider = await IdentityProvider.start(t)
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2', WORKER_SPREAD: 'even' },
    envFile: {
      DASHBOARD_OIDC_ISSUER: provider.issuer,
      DASHBOARD_OIDC_CLIENT_ID: CLIENT.id,
      DASHBOARD_OIDC_CLIENT_SECRET: CLIENT.secret,
      DASHBOARD_OPERATORS: 'anna@example.com',
      DASHBOARD_OIDC_GROUPS: 'gateway-admins',
      TRUSTED_PROXIES: '127.0.0.1'
    }
  })
  t.teardown(() => gateway.destroy())
  return { gateway, provider }
}

async function signIn(
  { gateway, provider }: Stand,
  account: Account,
  browser = new CookieBrowser()
): Promise<{ readonly browser: CookieBrowser; readonly end: Visit }> {
  provider.account = account
  return { browser, end: await browser.visit(`${gateway.url}/dashboard/oidc`) }
}

async function clientOf({ gateway }: Stand, browser: CookieBrowser): Promise<PanelClient> {
  const page = new PanelClient(gateway.url, {
    ...ofPage(gateway.url),
    cookie: browser.cookies(`${gateway.url}/`)
  })
  const { csrf } = (await page.get('/dashboard/session')).json
  return page.with({ 'x-csrf-token': String(csrf) })
}

const executable = findChromium()

t.test('signs in, operates, is written down, and signs out', async (t) => {
  const stand = await setUp(t)
  const { gateway, provider } = stand
  const nobody = new PanelClient(gateway.url, ofPage(gateway.url))
  t.match((await nobody.get('/dashboard/session')).json, {
    isSignedIn: false,
    canSignIn: true,
    ways: ['key', 'oidc'],
    signOutUrl: null
  })

  const down = await signIn(stand, ANNA)
  t.equal(down.end.url, `${gateway.url}/?sign-in=unavailable`, 'the provider is down')
  t.match(await gateway.logged(({ msg }) => msg === 'a sign-in by OIDC has failed'), {
    step: 'begin',
    reason: 'unavailable'
  })

  const url = gateway.url.replace('127.0.0.1', 'localhost') // another site than the provider
  provider.open(gateway.url, url, 'https://gateway.example.com')
  const { browser, end } = await signIn(stand, ANNA)
  t.equal(end.url, `${gateway.url}/`, 'it is asked again at once')
  t.equal(end.status, 200)
  t.notOk(provider.asked.includes('/token') && end.url.includes('code='))
  const page = await clientOf(stand, browser)
  t.match((await page.get('/dashboard/session')).json, {
    isSignedIn: true,
    role: 'operator',
    name: 'anna@example.com',
    via: 'oidc',
    mayChange: true,
    signOutUrl: 'dashboard/oidc/sign-out'
  })
  t.equal((await page.without('x-csrf-token').post('/admin/v1/keys', { name: 'a' })).status, 403)
  t.equal((await page.post('/admin/v1/keys', { name: 'ben' })).status, 201)
  t.match((await page.get('/admin/v1/audit')).json.entries[0], {
    action: 'key.add',
    who: 'anna@example.com',
    via: 'oidc',
    from: '127.0.0.1'
  })
  t.equal(
    (await page.get('/docs')).status,
    200,
    'the description is open to those who are signed in'
  )

  const { browser: left } = await signIn(stand, ANNA)
  const leaving = await clientOf(stand, left)
  t.equal((await leaving.delete('/dashboard/session')).status, 204)
  t.equal((await leaving.get('/admin/v1/state')).status, 401, 'its cookie is good for nothing')

  const before = provider.asked.length
  await signIn(stand, ANNA)
  t.notOk(
    provider.asked.slice(before).includes('/.well-known/openid-configuration'),
    'what the provider offers is asked for once'
  )

  t.equal((await page.get('/dashboard/oidc/sign-out')).status, 303)
  const out = await page.get('/dashboard/oidc/sign-out')
  t.match(String(out.headers['location']), `${provider.issuer}/session/end?`)
  t.match(String(out.headers['location']), encodeURIComponent(`${gateway.url}/`))

  await t.test('behind a proxy with TLS everything is https', async (t) => {
    provider.account = ANNA
    const proxied = { host: 'gateway.example.com', 'x-forwarded-proto': 'https' }
    const browser = new CookieBrowser(proxied)
    const begun = await browser.step(`${gateway.url}/dashboard/oidc`)
    const sent = new URL(String(begun.headers.location))
    const redirect = 'https://gateway.example.com/dashboard/oidc/callback'
    t.equal(sent.searchParams.get('redirect_uri'), redirect)
    t.match(String(begun.headers['set-cookie']), /; Secure/)
    const { url: back } = await new CookieBrowser().visit(sent.href, redirect)
    const { search } = new URL(back)
    const end = await browser.step(`${gateway.url}/dashboard/oidc/callback${search}`)
    t.equal(end.headers.location, '/')
    for (const cookie of end.headers['set-cookie'] ?? [])
      t.match(cookie, /^__Host-kiro_gateway_\w+=.*; Path=\/; .*; Secure$/)

    const below = new CookieBrowser({ ...proxied, 'x-forwarded-prefix': '/kiro/' })
    const { headers } = await below.step(`${gateway.url}/dashboard/oidc`)
    const there = new URL(String(headers.location)).searchParams.get('redirect_uri')
    t.equal(there, 'https://gateway.example.com/kiro/dashboard/oidc/callback')
    const stale = await below.step(`${gateway.url}/dashboard/oidc/callback?code=a&state=b`)
    t.equal(stale.headers.location, '/kiro/?sign-in=stale', 'back below the path of the proxy')
    const odd = new CookieBrowser({ ...proxied, 'x-forwarded-prefix': '//evil.example' })
    const { headers: told } = await odd.step(`${gateway.url}/dashboard/oidc/callback`)
    t.equal(told.location, '/?sign-in=stale')
  })

  await t.test('in a browser', { skip: executable === null ? NO_CHROMIUM : false }, async (t) => {
    if (executable === null) return
    const browser = await Browser.start({ executable })
    t.teardown(() => browser.close())
    const { page } = browser
    const link = page.getByRole('link', { name: 'Sign in with your organisation' })
    const alert = page.getByRole('alert')

    provider.account = { sub: 'eve', email: 'eve@example.com', email_verified: true }
    await page.goto(url)
    await link.click()
    await alert.waitFor()
    t.match(await alert.textContent(), 'Your account may not operate this gateway.')

    await page.context().clearCookies() // the provider would take the same account again
    provider.account = ANNA
    await link.click()
    await page.getByRole('link', { name: 'Requests', exact: true }).waitFor()
    t.notMatch(page.url(), 'sign-in', 'the address says nothing of it')
    await page.reload()
    await page.getByRole('link', { name: 'Requests', exact: true }).waitFor()

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(`${provider.issuer}/session/end?**`)
    await page.goto(url)
    await link.waitFor()
  })

  await t.test('one network has a few answers of the provider looked at together', async (t) => {
    const callback = `${gateway.url}/dashboard/oidc/callback`
    const ends = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const browser = new CookieBrowser()
        const { url } = await browser.visit(`${gateway.url}/dashboard/oidc`, callback)
        const guessed = new URL(url)
        guessed.searchParams.set('code', 'guessed')
        return (await browser.step(guessed.href)).headers.location
      })
    )
    const often = ends.filter((location) => location === '/?sign-in=often').length
    t.ok(often >= 1, `${often} of 24 were refused at once`)
    const { end } = await signIn(stand, ANNA)
    t.equal(end.url, `${gateway.url}/`, 'and the next one is served')
  })

  await t.test('who may not, and what does not fit, is told on the page', async (t) => {
    const page = `${gateway.url}/?sign-in=`
    const stranger = await signIn(stand, { ...ANNA, sub: 'eve', email: 'eve@example.com' })
    t.equal(stranger.end.url, `${page}not-allowed`)
    t.equal(stranger.browser.cookies(`${gateway.url}/`), '', 'without a session')
    const unverified = await signIn(stand, { ...ANNA, sub: 'eve', email_verified: false })
    t.equal(unverified.end.url, `${page}unverified`)
    const member = await signIn(stand, { sub: 'ben', groups: ['gateway-admins'] })
    t.equal(member.end.url, `${gateway.url}/`, 'a group is enough')

    provider.isRefusing = true
    t.equal((await signIn(stand, ANNA)).end.url, `${page}denied`)
    provider.isRefusing = false

    const callback = `${gateway.url}/dashboard/oidc/callback`
    const browser = new CookieBrowser()
    provider.account = ANNA
    const { url: back } = await browser.visit(`${gateway.url}/dashboard/oidc`, callback)
    const foreign = await new CookieBrowser().visit(back)
    t.equal(foreign.url, `${page}stale`, 'a code that another browser has been given')
    const query = new URL(back).searchParams
    const forged = new URL(back)
    forged.searchParams.set('state', 'forged')
    const other = new CookieBrowser()
    await other.visit(`${gateway.url}/dashboard/oidc`, callback)
    t.equal((await other.visit(forged.href)).url, `${page}stale`, 'a state that was not begun')
    t.equal((await browser.visit(back)).url, `${gateway.url}/`)
    t.equal((await browser.visit(back)).url, `${page}stale`, 'a second time')
    t.ok(query.has('code'))

    const wrong = new CookieBrowser()
    const begun = await wrong.visit(`${gateway.url}/dashboard/oidc`, callback)
    const guessed = new URL(begun.url)
    guessed.searchParams.set('code', 'guessed')
    t.equal((await wrong.visit(guessed.href)).url, `${page}stale`, 'a code that is not good')

    const away = await new CookieBrowser().step(
      `${gateway.url}/dashboard/oidc?return=https://evil.example&redirect_uri=https://evil.example`
    )
    const sent = new URL(String(away.headers.location))
    t.equal(sent.origin, provider.issuer)
    t.equal(sent.searchParams.get('redirect_uri'), callback)
    t.equal(sent.searchParams.get('code_challenge_method'), 'S256')
    t.notMatch(sent.href, 'evil')

    provider.shut()
    const late = new CookieBrowser()
    t.equal((await late.visit(begun.url)).url, `${page}stale`)
  })

  await gateway.reload({
    DASHBOARD_OIDC_ISSUER: provider.issuer,
    DASHBOARD_OIDC_CLIENT_ID: CLIENT.id,
    DASHBOARD_OIDC_CLIENT_SECRET: CLIENT.secret,
    DASHBOARD_OPERATORS: 'ben@example.com'
  })
  t.equal(
    (await page.get('/admin/v1/state')).status,
    401,
    'who is not allowed any more is signed out at once'
  )
  const log = JSON.stringify(gateway.lines)
  t.notMatch(log, CLIENT.secret)
  t.notMatch(log, /code=/)
})

t.test('without a provider there is nothing', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: OPERATOR, WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const nobody = new PanelClient(gateway.url)
  for (const path of ['', '/callback?code=a&state=b', '/sign-out'])
    t.equal((await nobody.get(`/dashboard/oidc${path}`)).status, 404, path)
})
