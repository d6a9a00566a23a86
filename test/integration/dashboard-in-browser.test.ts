import { setTimeout as delay } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { freePort } from '../helper/free-port.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { ownTimeOf } from '../helper/in-time.ts'
import { skipByDay } from '../helper/nightly.ts'

/* The dashboard as an operator sees it: a real gateway, a real browser, and what happens to both in a day. */

t.setTimeout(600_000) // a browser and processes, on a machine that may be very busy

const KEY = 'the-key-of-the-operator'
const headers = { authorization: `Bearer ${KEY}` }
/** How soon the page must show what has changed. */
const SOON_MS = 2_000
const executable = findChromium()

/** A count of the gateway: that of its labels, or without them the sum over all that there are. */
async function countOf(url: string, name: string): Promise<number> {
  const response = await fetch(`${url}/metrics`, { headers })
  const lines = (await response.text()).split('\n')
  const own = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

const figure = (page: Page, name: string, value: number) =>
  page.locator(`[data-metric="${name}"][data-value="${value}"]`)

/** Waits until the page shows a count of the gateway as it is then, and gives that. */
async function agreed(page: Page, name: string, count: () => Promise<number>): Promise<number> {
  for (;;) {
    const value = await count()
    if ((await figure(page, name, value).count()) > 0) return value
    await delay(20)
  }
}

/** Waits until the page shows a figure. */
function shown(page: Page, name: string, value: number): Promise<void> {
  return figure(page, name, value).waitFor({ state: 'attached' })
}

/** Waits until something reads like this, line by line as it is seen; the test's time ends it otherwise. */
async function reads(locator: Locator, like: RegExp): Promise<void> {
  while (!like.test(await locator.innerText())) await delay(20)
}

const skip = executable === null ? NO_CHROMIUM : skipByDay

t.test('a day of an operator', { skip }, async (t) => {
  if (executable === null) return
  const envFile = {
    PROXY_API_KEY: KEY,
    SERVER_PORT: String(await freePort()),
    WORKERS: '2',
    HTTP_MAX_CONNECTIONS: '20',
    // Of the address of its own, so that the page finds it again.
    DRAIN_TIMEOUT: '5'
  }
  const begin = async (): Promise<GatewayProcess> => {
    const gateway = new GatewayProcess({ env: { SERVER_PORT: envFile.SERVER_PORT }, envFile })
    t.teardown(() => gateway.destroy())
    return gateway.ready()
  }
  const gateway = await begin()
  const browser = await Browser.start({ executable })
  t.teardown(() => browser.close())
  const { page } = browser
  const timed = ownTimeOf(t, [gateway.child.pid ?? 0, ...gateway.workerPids()])
  /** How long it took until what had changed was seen. */
  const delays: number[] = []
  const live = page.locator('#live[data-state="live"]')
  const signIn = async (): Promise<void> => {
    await page.getByLabel('Key').fill(KEY)
    await page.keyboard.press('Enter')
    await live.waitFor()
  }

  const visit = async (place: string): Promise<void> => {
    await page.goto(`${gateway.url}/#/${place}`)
  }

  await t.test('signs in', async (t) => {
    await page.goto(`${gateway.url}/#/gateway`)
    await signIn()
    await shown(page, 'worker-count', 2)
    await shown(page, 'connections-budget', 20)
    await reads(page.locator('#simulated'), /simulator/)
    t.same(browser.complaints.splice(0), [])
  })

  await t.test('sees streams while they run, and requests when they are over', async (t) => {
    const streams = Array.from({ length: 3 }, () =>
      startChat(gateway.url, 'sim:events=9000 sim:gap=100', { headers })
    )
    await Promise.all(streams.map(({ firstBytes }) => firstBytes))
    delays.push(await timed(() => shown(page, 'connections-in-use', 3)))
    for (const { request } of streams) request.destroy()
    await visit('requests')
    const short = Array.from({ length: 3 }, () =>
      startChat(gateway.url, 'sim:events=3', { headers })
    )
    const answers = await Promise.all(short.map(({ answer }) => answer))
    const rows = answers.map(({ headers }) =>
      page.locator(`tr[data-request-id="${String(headers['x-request-id'])}"]`)
    )
    delays.push(
      await timed(async () => {
        for (const row of rows) await row.waitFor()
      })
    )
    await rows[0]?.locator('button').first().press('Enter')
    await reads(page.locator('#request-details'), /Attempts\s+1[^]*streamed/)
    t.same(await findBarriers(page), [])
    await page.keyboard.press('Space')
    t.same(browser.complaints.splice(0), [])
    await visit('gateway')
  })

  await t.test('keeps the connection, or finds it again, when a worker is killed', async (t) => {
    const [victim = 0] = gateway.workerPids()
    process.kill(victim, 'SIGKILL')
    await shown(page, 'worker-restarts', 1)
    await shown(page, 'worker-count', 2)
    await live.waitFor()
    // Its place may have been taken before a page could see it empty; that it died is told all the same.
    await page.locator('[data-problem="worker-replaced"]').waitFor({ state: 'attached' })
    await reads(page.locator('#verdict'), /Worker [12] has died, and was replaced/)
    await visit('requests')
    const failed = await startChat(gateway.url, 'sim:improper', { headers }).answer
    t.equal(failed.status, 400)
    const row = page.locator(`tr[data-request-id="${String(failed.headers['x-request-id'])}"]`)
    t.match(await row.getAttribute('data-code'), /^GW_/)
    await row.click()
    const details = page.locator('#request-details')
    await reads(details, /Reason\s+[^]*Improperly formed[^]*Upstream\s+answered HTTP 400/)
    await row.click()
    await visit('gateway')
  })

  await t.test('shows the counts of /metrics', async (t) => {
    const names = {
      'requests-total': 'kiro_gateway_requests_total',
      'tokens-input': 'kiro_gateway_tokens_total{type="input"}',
      'tokens-output': 'kiro_gateway_tokens_total{type="output"}',
      'credits-total': 'kiro_gateway_credits_total'
    }
    for (const [name, metric] of Object.entries(names)) {
      const count = await agreed(page, name, () => countOf(gateway.url, metric))
      t.ok(count > 0, `${metric} is ${count}`)
    }
  })

  await t.test('says that the gateway is gone, and asks for the key of the next one', async (t) => {
    await gateway.stop()
    await page.locator('#live[data-state="lost"]').waitFor()
    await reads(page.locator('#live'), /old, retrying/)
    t.equal(await page.locator('#board').getAttribute('data-stale'), '')
    await begin()
    await page.locator('#f-key').or(live).first().waitFor()
    if (await page.locator('#f-key').isVisible()) await signIn()
    await shown(page, 'worker-count', 2)
    await shown(page, 'requests-total', 0)
  })

  // One may fall into a moment in which the browser has no core; not each of them.
  const ms = delays.map(Math.round)
  t.ok(Math.min(...ms) < SOON_MS, `changes are seen after ${ms.join(', ')} ms`)
  const unexpected = browser.complaints.filter((text) => !/ERR_|status of 503/.test(text))
  t.same(unexpected, [], 'nothing in the console but that the gateway was away')
  const foreign = browser.requested.filter((url) => !url.startsWith(gateway.url))
  t.same(foreign, [], 'nobody else was asked for anything')
})
