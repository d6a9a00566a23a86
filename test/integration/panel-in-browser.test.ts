import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import t from 'tap'
import { until } from '../helper/fleet-team.ts'
import { PanelClient } from '../helper/panel-client.ts'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type Hand, keyboardOf, POINTER } from '../helper/hand.ts'

/*
 * What the panel is for, done as a person does it, from an empty home, with a real gateway: everything is found by its label or
 * by what it says. On a phone; at night also at a desk, and with the keyboard alone, which devices-in-browser.test.ts has by day.
 */

t.setTimeout(600_000) // browsers and processes, on a machine that may be very busy
t.jobs = 1

const KEY = 'the-key-of-the-operator'
const MODEL = 'claude-sonnet-4.5'
const executable = findChromium()

interface Way {
  readonly name: string
  readonly width: number
  readonly hand: (browser: Browser) => Hand
}

const BY_NIGHT: readonly Way[] = [
  { name: 'at a desk', width: 1280, hand: () => POINTER },
  { name: 'with the keyboard alone', width: 1280, hand: ({ page }) => keyboardOf(page) }
]
const WAYS: readonly Way[] = [
  { name: 'on a phone', width: 390, hand: () => POINTER },
  ...(isNightly ? BY_NIGHT : [])
]

async function isRefused(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask()
    return false
  } catch (cause) {
    return cause instanceof OpenAI.AuthenticationError
  }
}

for (const { name, width, hand: handOf } of WAYS) {
  t.test(name, { skip: executable === null ? NO_CHROMIUM : false }, async (t) => {
    if (executable === null) return
    const services = await new FakeSignInServices().listen()
    t.teardown(() => services.close())
    const simulator = new Simulator()
    const upstream = await simulator.start()
    t.teardown(() => simulator.close())
    const settings = { PROXY_API_KEY: KEY, WORKERS: '2', STATE_DIR: 'state' }
    const gateway = new GatewayProcess({
      envFile: settings,
      env: {
        LOGIN_ON_START: 'true',
        KIRO_OIDC_URL: services.url,
        KIRO_AUTH_URL: services.url,
        KIRO_API_URL: upstream.url
      }
    })
    t.teardown(() => gateway.destroy())
    await gateway.ready()
    const browser = await Browser.start({ executable, width, height: 844 })
    t.teardown(() => browser.close())
    const { page } = browser
    const hand = handOf(browser)
    const place = (title: string): Promise<void> =>
      hand.press(page.getByRole('navigation').getByRole('link', { name: title }))

    const signIn = async (key: string): Promise<void> => {
      await hand.fill(page.getByLabel('Key', { exact: true }), key)
      await hand.press(page.getByRole('button', { name: 'Sign in' }))
    }

    await t.test('signs in to the page, and the gateway to Kiro', async (t) => {
      await page.goto(gateway.url)
      await signIn(KEY)
      const form = page.getByRole('form', { name: 'Sign in to Kiro' })
      await hand.choose(form.getByLabel('Sign in with'), 'AWS Builder ID')
      await hand.press(form.getByRole('button', { name: 'Sign in to Kiro' }))
      const link = page.getByRole('link', { name: 'Open the sign-in page' })
      const address = (await link.getAttribute('href')) ?? ''
      t.match(address, /^https:\/\/device\.example\.com/)
      t.same(await findBarriers(page), [])
      services.confirm(address) // the gateway has printed a code of its own at its start
      await page.getByText('Signed in. Requests use it from now on.').waitFor()
      await page.getByText('Signed in to Kiro').waitFor()
    })

    await t.test('tries a prompt', async (t) => {
      const command = `npx kiro-gateway setup claude --url ${gateway.url}`
      await page.getByText(command).waitFor()
      const form = page.getByRole('form', { name: 'Test prompt' })
      const key = form.getByLabel('Key for the test')
      if ((await key.count()) > 0) await hand.fill(key, KEY)
      await hand.fill(form.getByLabel('Prompt'), 'Say hello.')
      await hand.press(form.getByRole('button', { name: 'Send the prompt' }))
      await page.locator('[data-metric="test-credits"]').waitFor()
      t.match(await page.locator('[data-metric="test-first-ms"]').innerText(), /^[\d.]+ m?s$/)
    })

    await t.test('runs an example of the API as the one who is signed in', async (t) => {
      await page.goto(`${gateway.url}/docs`)
      await hand.press(page.getByRole('button', { name: 'Run /v1/chat/completions' }).first())
      const answer = page.getByRole('status').filter({ hasText: 'HTTP 200' })
      await answer.getByText('"object":"chat.completion"').waitFor()
      t.same(await findBarriers(page), [])
      await hand.press(page.getByRole('link', { name: 'Dashboard' }))
    })

    let secret = ''
    await t.test('adds a key with a limit', async (t) => {
      await place('Keys')
      await hand.press(page.getByRole('link', { name: 'Add a key' }))
      const form = page.getByRole('form', { name: 'Add a key' })
      await hand.fill(form.getByLabel('Name'), 'anna')
      await hand.fill(form.getByLabel('Credits'), '5')
      await hand.choose(form.getByLabel('Per'), 'week')
      await hand.press(form.getByRole('button', { name: 'Add the key' }))
      const shown = page.getByRole('region', { name: 'The key of anna' })
      secret = (await shown.locator('pre').first().innerText()).trim()
      t.match(secret, /^kgw_/)
      const command = `npx kiro-gateway setup claude --url ${gateway.url} --key ${secret}`
      await shown.getByText(command).first().waitFor()
      t.same(await findBarriers(page), [])
      await hand.press(shown.getByRole('button', { name: 'I have copied it' }))
    })

    await t.test('saves its limits: the last day stays the same', async (t) => {
      const form = page.getByRole('form', { name: 'Limits' })
      const operator = PanelClient.withKey(gateway.url, KEY)
      const endOf = async () => (await operator.get('/admin/v1/keys')).json.keys[0].expires_at
      await form.getByLabel('Last day').fill('2099-12-31')
      // An answer that takes its time: what is typed meanwhile stays.
      await page.route('**/admin/v1/keys/*', async (route) => {
        const response = await route.fetch()
        await sleep(300)
        await route.fulfill({ response })
      })
      for (const streams of ['3', '4']) {
        await hand.fill(form.getByLabel('Streams'), streams)
        await hand.press(form.getByRole('button', { name: 'Save the limits' }))
        await until(async () => {
          const { keys } = (await operator.get('/admin/v1/keys')).json
          return keys[0].max_streams === Number(streams)
        })
        t.equal(await endOf(), '2100-01-01T00:00:00.000Z')
        t.equal(await form.getByLabel('Last day').inputValue(), '2099-12-31')
      }
      await page.unrouteAll({ behavior: 'wait' })
    })

    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret, maxRetries: 0 })
    const ask = (content: string) =>
      client.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content }] })

    await t.test('sees what the key has used', async (t) => {
      await ask('Say hello.')
      await t.rejects(ask('sim:improper'), { message: /^400/ })
      // The history has a request within a second or so of its end.
      const operator = PanelClient.withKey(gateway.url, KEY)
      const historyOf = async () => (await operator.get('/admin/v1/requests?key=anna')).json
      await until(async () => (await historyOf()).requests.length === 2)
      await hand.press(page.getByRole('link', { name: 'All keys' }))
      const row = page.getByRole('row', { name: /^anna/ })
      await row.getByText(/of 5 a week/).waitFor()
      const used = await row.locator('[data-metric="key-credits-used"]').getAttribute('data-value')
      t.ok(Number(used) > 0, `${used} credits`)
    })

    await t.test('finds out why a request failed', async (t) => {
      await place('Requests')
      if (width < 640) await hand.press(page.getByText('Filter', { exact: true })) // folded there
      await hand.fill(page.getByLabel('Key', { exact: true }), 'anna')
      await hand.press(page.getByRole('button', { name: 'Search' }))
      await page.getByRole('heading', { name: 'Matching requests' }).waitFor()
      const failed = page.getByRole('row').filter({ hasText: '400' })
      await hand.press(failed.getByRole('button').first())
      await page.getByText('Improperly formed').first().waitFor()
      await page.getByText('answered HTTP 400').waitFor()
      await page.getByRole('link', { name: /^What GW_\w+ means$/ }).waitFor()
      t.same(await findBarriers(page), [])
    })

    await t.test('sees it in the usage', async (t) => {
      await place('Usage')
      const people = page.getByRole('region', { name: 'Usage by person' })
      await people.getByRole('row', { name: /anna/ }).waitFor()
      t.same(await findBarriers(page), [])
    })

    await t.test('lifts a limit that Kiro no longer has', async (t) => {
      await t.rejects(ask('sim:quota-unnamed'))
      await place('Gateway')
      await hand.press(page.getByRole('button', { name: 'Call Kiro again now' }))
      await page.getByRole('row', { name: /lifted/ }).waitFor()
      await ask('Say hello.')
    })

    await t.test('reloads the settings, and recycles a worker', async (t) => {
      gateway.writeEnvFile({ ...settings, LOG_LEVEL: 'debug' })
      await hand.press(page.getByRole('button', { name: 'Reload the settings' }))
      await page.getByRole('row', { name: /reloaded the settings/ }).waitFor()
      await page.getByRole('row', { name: /LOG_LEVEL debug/ }).waitFor()
      await hand.press(page.getByRole('button', { name: 'Recycle worker 1' }))
      await page.getByRole('row', { name: /recycled worker/ }).waitFor()
      t.same(await findBarriers(page), [])
    })

    await t.test('the person of the key sees their own page only', async (t) => {
      await hand.press(page.getByRole('button', { name: 'Sign out', exact: true }))
      await signIn(secret)
      await page.getByRole('heading', { name: 'anna', level: 2 }).waitFor()
      await page.getByText(/of 5 a week/).waitFor()
      await page
        .getByRole('button', { name: /\d\d:\d\d/ })
        .first()
        .waitFor()
      t.equal(await page.getByRole('navigation').count(), 0)
      t.same(await findBarriers(page), [])
      const asked = page.waitForResponse(/admin\/v1\/keys/)
      await page.evaluate('void fetch("admin/v1/keys")')
      t.equal((await asked).status(), 403)
      await hand.press(page.getByRole('button', { name: 'Sign out', exact: true }))
      await signIn(KEY)
    })

    await t.test('revokes the key', async () => {
      await place('Keys')
      await hand.press(page.getByRole('link', { name: 'anna' }))
      await hand.press(page.getByRole('button', { name: 'Revoke …' }))
      await hand.press(page.getByRole('button', { name: 'Yes, revoke anna' }))
      await page.getByText('can no longer get in').first().waitFor()
      // The other worker hears of it within a second.
      for (let refused = false; !refused; ) refused = await isRefused(() => ask('Say hello.'))
    })

    await t.test('reads who did it', async (t) => {
      await place('Gateway')
      const log = page.getByRole('region', { name: 'Table of changes' })
      await log.getByRole('row', { name: /revoked the key anna/ }).waitFor()
      await log.getByRole('row', { name: /added the key anna/ }).waitFor()
      t.equal((await log.innerText()).includes(secret), false, 'without the secret')
      t.equal((await page.evaluate<number>('document.documentElement.scrollWidth')) <= width, true)
    })

    const unexpected = browser.complaints.filter((text) => !/status of 40[013]/.test(text))
    t.same(unexpected, [])
  })
}
