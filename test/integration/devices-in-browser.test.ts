import type { Page } from 'playwright-core'
import t from 'tap'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { DeviceClient, statusWith, tokensOf } from '../helper/device-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { type Hand, keyboardOf, POINTER } from '../helper/hand.ts'
import { CLIENT, IdentityProvider } from '../helper/identity-provider.ts'
import { isNightly } from '../helper/nightly.ts'
import { PanelClient } from '../helper/panel-client.ts'

/*
 * A device signs in by a code, and a person decides about it in a real browser, with a real gateway: on the page /device and
 * in the panel. Everything is found by its label or by what it says.
 */

t.setTimeout(600_000) // browsers and processes, on a machine that may be very busy
t.jobs = 1

const KEY = 'the-key-of-the-operator'
const executable = findChromium()
const skip = executable === null ? NO_CHROMIUM : false

interface Way {
  readonly name: string
  readonly width: number
  readonly colorScheme: 'light' | 'dark'
  readonly hand: (browser: Browser) => Hand
}

const BY_NIGHT: readonly Way[] = [
  { name: 'at a desk', width: 1280, colorScheme: 'light', hand: () => POINTER },
  { name: 'on a phone', width: 390, colorScheme: 'dark', hand: () => POINTER }
]
/** By day the one in which most can go wrong. */
const WAYS: readonly Way[] = [
  ...(isNightly ? BY_NIGHT : []),
  {
    name: 'with the keyboard alone, on the smallest screen',
    width: 320,
    colorScheme: 'light',
    hand: ({ page }) => keyboardOf(page)
  }
]

async function fits(page: Page, width: number): Promise<boolean> {
  return (await page.evaluate<number>('document.documentElement.scrollWidth')) <= width
}

for (const { name, width, colorScheme, hand: handOf } of WAYS) {
  t.test(name, { skip }, async (t) => {
    if (executable === null) return
    const gateway = await startGateway({ env: { PROXY_API_KEY: KEY, WORKERS: '2' } })
    t.teardown(() => gateway.destroy())
    const operator = PanelClient.withKey(gateway.url, KEY)
    t.equal((await operator.post('/admin/v1/keys', { name: 'anna' })).status, 201)
    const browser = await Browser.start({ executable, width, height: 800, colorScheme })
    t.teardown(() => browser.close())
    const { page } = browser
    const hand = handOf(browser)
    const client = new DeviceClient(gateway.url)
    const named = { client_id: 'test-client', host_name: 'laptop-7' }

    await t.test('on /device: sign in, see who asks, approve for a key', async (t) => {
      const { json: asked } = await client.ask(named)
      await page.goto(asked.verification_uri)
      t.same(await findBarriers(page), [])
      await hand.fill(page.getByLabel('Code'), asked.user_code.toLowerCase().replace('-', ''))
      await hand.press(page.getByRole('button', { name: 'Continue' }))
      await page.getByText('Sign in to see who asks').waitFor()
      t.same(await findBarriers(page), [])
      t.ok(await fits(page, width))
      await hand.fill(page.getByLabel('Key'), KEY)
      await hand.press(page.getByRole('button', { name: 'Sign in' }))
      await page.getByText('laptop-7').waitFor()
      await page.getByText('127.0.0.1 (as this browser’s)').waitFor()
      t.same(await findBarriers(page), [])
      t.ok(await fits(page, width))
      await hand.choose(page.getByLabel('Key', { exact: true }), 'anna')
      await hand.press(page.getByRole('button', { name: 'Approve', exact: true }))
      await page.getByRole('heading', { name: 'Approved' }).waitFor()
      t.same(await findBarriers(page), [])
      const { access } = tokensOf(
        await client.poll(asked.device_code, { client_id: 'test-client' })
      )
      t.equal(await statusWith(gateway.url, access), 200)
    })

    await t.test(
      'on /device: the link has the code, a new key is made, or the device is denied',
      async (t) => {
        const { json: asked } = await client.ask(named)
        await page.goto(asked.verification_uri_complete)
        t.equal(await page.getByLabel('Code').inputValue(), asked.user_code)
        await hand.press(page.getByRole('button', { name: 'Continue' }))
        const form = page.getByRole('region', { name: 'With a new key' })
        await hand.fill(form.getByLabel('Name'), 'anna')
        await hand.press(form.getByRole('button', { name: 'Approve with a new key' }))
        await page.getByText('A key "anna" already exists').waitFor()
        t.same(await findBarriers(page), [])
        await hand.fill(form.getByLabel('Name'), 'ben')
        await hand.fill(form.getByLabel('Credits'), '20')
        await hand.choose(form.getByLabel('Per'), 'day')
        await hand.press(form.getByRole('button', { name: 'Approve with a new key' }))
        await page.getByRole('heading', { name: 'Approved' }).waitFor()
        const { keys } = (await operator.get('/admin/v1/keys')).json
        t.match(keys.find((key: { name: string }) => key.name === 'ben')?.credits, {
          limit: 20,
          period: 'day'
        })
        const { json: denied } = await client.ask(named)
        await page.goto(denied.verification_uri_complete)
        await hand.press(page.getByRole('button', { name: 'Continue' }))
        await hand.press(page.getByRole('button', { name: 'Deny' }))
        await page.getByRole('heading', { name: 'Denied' }).waitFor()
        t.equal(
          (await client.poll(denied.device_code, { client_id: 'test-client' })).json.error,
          'access_denied'
        )
      }
    )

    await t.test('in the panel: approve, deny and sign out', async (t) => {
      const [one, two] = [(await client.ask(named)).json, (await client.ask(named)).json]
      await page.goto(`${gateway.url}/#/keys`)
      const waiting = page.getByRole('region', { name: 'Waiting sign-ins', exact: true })
      await waiting.getByRole('row', { name: new RegExp(one.user_code) }).waitFor()
      t.same(await findBarriers(page), [])
      await hand.press(waiting.getByRole('button', { name: `Approve … ${one.user_code}` }))
      const form = page.getByRole('form', { name: `Approve ${one.user_code}` })
      await hand.choose(form.getByLabel('Key', { exact: true }), 'anna')
      t.same(await findBarriers(page), [])
      t.ok(await fits(page, width))
      await hand.press(form.getByRole('button', { name: 'Approve' }))
      await waiting.getByText(`${one.user_code} is approved for the key anna`).waitFor()
      await hand.press(waiting.getByRole('button', { name: `Deny ${two.user_code}` }))
      await waiting.getByText('No device waits').waitFor()
      const { access } = tokensOf(await client.poll(one.device_code, { client_id: 'test-client' }))
      t.equal(await statusWith(gateway.url, access), 200)
      t.equal(
        (await client.poll(two.device_code, { client_id: 'test-client' })).json.error,
        'access_denied'
      )

      await hand.press(page.getByRole('link', { name: 'anna' }))
      const devices = page.getByRole('region', { name: 'Signed-in devices', exact: true })
      await devices
        .getByRole('row', { name: /test-client laptop-7/ })
        .first()
        .waitFor()
      await devices.getByRole('button', { name: 'Sign out' }).nth(1).waitFor()
      t.equal(await devices.getByRole('button', { name: 'Sign out' }).count(), 2)
      t.same(await findBarriers(page), [])
      t.ok(await fits(page, width))
      await hand.press(devices.getByRole('button', { name: 'Sign out' }).first())
      await devices.getByText('The device is signed out').waitFor()
      t.equal(await statusWith(gateway.url, access), 401, 'the one that was used last')
      await page.goto(`${gateway.url}/#/gateway`)
      const log = page.getByRole('region', { name: 'Table of changes' })
      await log.getByRole('row', { name: /signed out the device/ }).waitFor()
      await log
        .getByRole('row', { name: /approved the device/ })
        .first()
        .waitFor()
    })

    const unexpected = browser.complaints.filter((text) => !/status of 40[0139]/.test(text))
    t.same(unexpected, [])
  })
}

t.test('who signs in with an organisation comes back to the code', { skip }, async (t) => {
  if (executable === null) return
  const provider = await IdentityProvider.start(t)
  const gateway = await startGateway({
    env: { PROXY_API_KEY: KEY, WORKERS: '2' },
    envFile: {
      DASHBOARD_OIDC_ISSUER: provider.issuer,
      DASHBOARD_OIDC_CLIENT_ID: CLIENT.id,
      DASHBOARD_OIDC_CLIENT_SECRET: CLIENT.secret,
      DASHBOARD_OPERATORS: 'anna@example.com'
    }
  })
  t.teardown(() => gateway.destroy())
  provider.open(gateway.url)
  provider.account = { sub: 'anna-1', email: 'anna@example.com', email_verified: true }
  const browser = await Browser.start({ executable })
  t.teardown(() => browser.close())
  const { page } = browser
  const { json: asked } = await new DeviceClient(gateway.url).ask()
  await page.goto(asked.verification_uri_complete)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('link', { name: 'Sign in with your organisation' }).click()
  // Its last step came from the provider, so the browser has to load the page once more to send the session.
  await page.getByLabel('Code').waitFor()
  t.equal(await page.getByLabel('Code').inputValue(), asked.user_code)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByText('You are signed in as anna@example.com').waitFor()
  t.match(page.url(), `${gateway.url}/device`)
})
