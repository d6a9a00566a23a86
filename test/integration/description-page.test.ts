import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Operations } from '../../docs/generate/openapi/operations.ts'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // a browser, on a machine that may be busy

const executable = findChromium()
/** Run in the page. */
const OPEN_ALL = 'for (const one of document.querySelectorAll("details")) one.open = true'
const SIDEWAYS = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
const FOCUSED = 'document.activeElement.textContent'

const skip = executable === null ? NO_CHROMIUM : skipByDay

t.test('the page of the description in a browser', { skip }, async (t) => {
  if (executable === null) return
  const gateway = await startGateway()
  t.teardown(() => gateway.destroy())
  const url = `${gateway.url}/docs`
  const browser = await Browser.start({ executable })
  t.teardown(() => browser.close())
  /** A tab of its own, and nothing asked for or complained about so far. */
  const open = async (t: Test, width: number): Promise<Page> => {
    const page = await browser.open()
    t.teardown(() => page.close())
    await page.setViewportSize({ width, height: 900 })
    for (const said of [browser.complaints, browser.requested]) said.length = 0
    return page
  }
  const schemes = ['light', 'dark'] as const
  const views = [320, 768, 1920].flatMap((width) =>
    schemes.map((colorScheme) => ({ width, colorScheme }))
  )
  for (const { width, colorScheme } of views) {
    await t.test(`${colorScheme}, ${width} px`, async (t) => {
      const page = await open(t, width)
      await page.emulateMedia({ colorScheme })
      await page.goto(url)
      await page.evaluate(OPEN_ALL)
      t.equal(await page.evaluate(SIDEWAYS), 0, 'nothing sticks out')
      t.same(await findBarriers(page), [])
      t.same(browser.complaints, [])
      const asked = browser.requested.filter((one) => !one.startsWith('data:'))
      const own = ['run-examples.js', 'feed.js'].map((name) => `${gateway.url}/dashboard/${name}`)
      t.same(asked, [url, ...own], 'it asks for nothing else')
    })
  }

  await t.test('by keyboard', async (t) => {
    const page = await open(t, 1280)
    await page.goto(url)
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate(FOCUSED), 'Skip to the description')
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate(FOCUSED), 'Dashboard')
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate(FOCUSED), 'Guides and reference')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    const [first] = Operations
    await page.waitForURL(({ hash }) => hash !== '')
    t.equal(new URL(page.url()).hash, `#${first?.id}`, 'the first link leads to what it says')
    const details = page.locator('article details').first()
    await details.locator('summary').focus()
    await page.keyboard.press('Enter')
    t.equal((await details.getAttribute('open')) !== null, true)
    t.match(await details.textContent(), 'curl')
  })

  await t.test('is short on a phone, and its examples call where it was read', async (t) => {
    const page = await open(t, 390)
    await page.goto(url.replace('127.0.0.1', 'localhost'))
    const height = await page.evaluate<number>('document.documentElement.scrollHeight')
    t.ok(height < 13_500, `${height} pixels`)
    const example = page.locator('article pre').first()
    t.ok(await example.isVisible())
    const { port } = new URL(url)
    t.match(await example.innerText(), `curl http://localhost:${port}/v1/chat/completions`)
    await page.getByRole('button', { name: 'Run /v1/chat/completions' }).first().click()
    await page.getByRole('status').filter({ hasText: 'HTTP 200' }).waitFor()
    await page.getByText('"object":"chat.completion"').waitFor()
    await page.getByRole('link', { name: 'ChatRequest' }).first().click()
    await page.locator('#ChatRequest').getByText('messages', { exact: true }).waitFor()
  })
})

t.test('without the dashboard, the page of the description has no script', async (t) => {
  const gateway = await startGateway({ env: { DASHBOARD: 'off', WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const response = await fetch(`${gateway.url}/docs`)
  t.notMatch(response.headers.get('content-security-policy'), /script-src|connect-src/)
  t.notMatch(await response.text(), /<script/)
})
