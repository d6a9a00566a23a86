import OpenAI from 'openai'
import t from 'tap'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { type Hand, keyboardOf, POINTER } from '../helper/hand.ts'

/*
 * What the panel is for, done as a person does it, from an empty home, with a real gateway: everything is found by its label or
 * by what it says. Once at a desk, once on a phone, and once with the keyboard alone.
 */

t.setTimeout(540_000) // browsers and processes, on a machine that may be very busy
t.jobs = 1

const KEY = 'the-key-of-the-operator'
const MODEL = 'claude-sonnet-4.5'
const executable = findChromium()

interface Way {
  readonly name: string
  readonly width: number
  readonly hand: (browser: Browser) => Hand
}

const WAYS: readonly Way[] = [
  { name: 'at a desk', width: 1280, hand: () => POINTER },
  { name: 'on a phone', width: 390, hand: () => POINTER },
  { name: 'with the keyboard alone', width: 1280, hand: ({ page }) => keyboardOf(page) }
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
    const gateway = new GatewayProcess({
      envFile: { PROXY_API_KEY: KEY, WORKERS: '2', STATE_DIR: 'state' }
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
      await hand.fill(page.getByLabel('Key'), key)
      await hand.press(page.getByRole('button', { name: 'Sign in' }))
    }

    await t.test('signs in, and tries a prompt', async (t) => {
      await page.goto(gateway.url)
      await signIn(KEY)
      const url = `npx kiro-gateway setup claude --url ${gateway.url}`
      await page.getByText(url).waitFor()
      const form = page.getByRole('form', { name: 'Test prompt' })
      await hand.fill(form.getByLabel('Key for the test'), KEY)
      await hand.fill(form.getByLabel('Prompt'), 'Say hello.')
      await hand.press(form.getByRole('button', { name: 'Send the prompt' }))
      await page.locator('[data-metric="test-credits"]').waitFor()
      t.match(await page.locator('[data-metric="test-first-ms"]').innerText(), /^[\d.]+ m?s$/)
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

    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret, maxRetries: 0 })
    const ask = (content: string) =>
      client.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content }] })

    await t.test('sees what the key has used', async (t) => {
      await ask('Say hello.')
      await t.rejects(ask('sim:improper'), { message: /^400/ })
      await hand.press(page.getByRole('link', { name: 'All keys' }))
      const row = page.getByRole('row', { name: /^anna/ })
      await row.getByText(/of 5 a week/).waitFor()
      const used = await row.locator('[data-metric="key-credits-used"]').getAttribute('data-value')
      t.ok(Number(used) > 0, `${used} credits`)
    })

    await t.test('finds out why a request failed', async (t) => {
      await place('Requests')
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

    await t.test('the person of the key sees their own page only', async (t) => {
      await hand.press(page.getByRole('button', { name: 'Sign out' }))
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
      await hand.press(page.getByRole('button', { name: 'Sign out' }))
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

    const unexpected = browser.complaints.filter(
      (text) => !/status of 40[013]|admin\/v1\/(settings|gateway|sign-in)/.test(text)
    )
    t.same(unexpected, [])
  })
}
