import { setTimeout as delay } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Browser, findBarriers, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import {
  madeUpFleet,
  madeUpNow,
  madeUpPoint,
  madeUpRequest,
  madeUpSnapshot
} from '../helper/made-up-figures.ts'
import { isNightly } from '../helper/nightly.ts'
import { PageStand } from '../helper/page-stand.ts'

/*
 * The page of the dashboard in a real browser, told whatever a test makes up. With a real gateway behind it:
 * dashboard-in-browser.test.ts.
 */

t.setTimeout(540_000) // a browser and processes, on a machine that may be very busy
t.jobs = 1

const executable = findChromium()
const AT = Date.UTC(2026, 10, 26, 12)

const browser = executable === null ? null : await Browser.start({ executable })
t.teardown(() => browser?.close())

/** URLs of all stands so far: a request of the tab before may be told of when that is closed. */
const stands: string[] = []

/** A test with a stand and a tab of its own, which has nothing to complain about in the end. */
function check(name: string, run: (t: Test, stand: PageStand, page: Page) => Promise<void>): void {
  t.test(name, { skip: browser === null ? NO_CHROMIUM : false }, async (t) => {
    if (browser === null) return
    const stand = await new PageStand(madeUpSnapshot(AT)).start()
    t.teardown(() => stand.stop())
    stands.push(stand.url)
    const page = await browser.open()
    t.teardown(() => page.close())
    await run(t, stand, page)
    t.same(browser.complaints.splice(0), [], 'nothing in the console')
    const foreign = browser.requested
      .splice(0)
      .filter((url) => !stands.some((own) => url.startsWith(own)))
    t.same(foreign, [], 'nobody else was asked for anything')
  })
}

/** The page, once it shows what it was told. */
async function opened(stand: PageStand, page: Page): Promise<Page> {
  await page.goto(stand.url)
  await page.locator('#live[data-state="live"]').waitFor()
  await page.locator('tr[data-request-id]').first().waitFor()
  return page
}

const valueOf = (page: Page, name: string): Promise<string | null> =>
  page.locator(`[data-metric="${name}"]`).getAttribute('data-value')

const metricIs = (page: Page, name: string, value: number): Promise<void> =>
  page.locator(`[data-metric="${name}"][data-value="${value}"]`).waitFor()

check('a key signs in, a wrong one does not, and signing out ends it', async (t, stand, page) => {
  stand.key = 'a-key-of-the-operator'
  await page.goto(stand.url)
  await page.locator('#key:focus').waitFor()
  t.same(await findBarriers(page), [])
  t.equal(stand.listening, 0, 'nothing is told before')
  await page.keyboard.type('a-wrong-key')
  await page.keyboard.press('Enter')
  await page.getByText('That is no key of the operator.').waitFor()
  t.match(browser?.complaints.splice(0), [/status of 401/], 'which Chromium notes by itself')
  await page.locator('#key').fill('a-key-of-the-operator')
  await page.keyboard.press('Enter')
  await page.locator('tr[data-request-id]').first().waitFor()
  t.notOk(await page.locator('#sign-in').isVisible())
  t.equal(await page.locator('#key').inputValue(), '', 'the key is kept nowhere')
  await page.locator('#sign-out').click()
  await page.locator('#key').waitFor()
  t.notOk(await page.locator('#board').isVisible())
})

check('figures are exact where tests look, and change as they are told', async (t, stand, page) => {
  await opened(stand, page)
  const { now, account, keys } = stand.snapshot
  const expected: Readonly<Record<string, number | null | undefined>> = {
    'connections-in-use': now.connections.inUse,
    'connections-idle': now.connections.idle,
    'connections-budget': now.connections.budget,
    'permits-waiting': 0,
    streams: now.requests.streams,
    'requests-per-minute': now.requests.perMinute,
    'tokens-per-minute': now.tokens.perMinute,
    'credits-per-hour': now.credits.perHour,
    'first-token-p95-ms': now.latency.firstMs?.p95,
    'memory-bytes': now.memory.usedBytes,
    'worker-count': 2,
    'sign-in': 1,
    'quota-remaining': account.quota?.remaining,
    'requests-total': now.requests.total,
    'requests-failed': now.requests.failed,
    'tokens-input': now.tokens.input,
    'tokens-output': now.tokens.output,
    'credits-total': now.credits.total
  }
  for (const [name, value] of Object.entries(expected)) {
    t.equal(await valueOf(page, name), String(value), name)
  }
  t.equal(await page.locator('[data-metric="tokens-input"]').textContent(), '104M')
  t.equal(await page.locator('#keys tr').count(), keys.list.length)
  const first = page.locator('tr[data-process="primary"] [data-metric="process-memory-bytes"]')
  t.equal(await first.getAttribute('data-value'), String(now.processes[0]?.rssBytes))
  const newest = stand.snapshot.requests.at(-1)
  const row = page.locator(`tr[data-request-id="${newest?.id}"]`)
  const credits = row.locator('[data-metric="request-credits"]')
  t.equal(await credits.getAttribute('data-value'), String(newest?.credits))
  t.equal(await page.locator('.plot').count(), 3, 'two workers and the gateway itself')
  const used = await page.locator('.plot .cell[data-state="used"]:not([hidden])').count()
  t.equal(used, now.connections.inUse, 'a cell for each connection')
  stand.tell('tick', { ...now, requests: { ...now.requests, streams: 7, total: 31_208 } })
  await metricIs(page, 'streams', 7)
  await metricIs(page, 'requests-total', 31_208)
})

check('trouble leads the page with what to do, and passes', async (t, stand, page) => {
  await opened(stand, page)
  t.equal(await valueOf(page, 'status'), 'good')
  const { now } = stand.snapshot
  const [one, two] = now.workers
  const workers = [one, { ...two, state: 'restarting', pid: null, restarts: 1 }]
  const processes = now.processes.slice(0, 2)
  stand.tell('tick', { ...now, workers, processes })
  await page.locator('[data-metric="status"][data-value="fair"]').waitFor()
  await metricIs(page, 'worker-count', 1)
  t.match(
    await page.locator('#verdict').innerText(),
    /worker 2 is restarting.*replaced automatically/s
  )
  t.match(await page.title(), /^1 worker of 2 serves/)
  t.match(await page.locator('.plot[data-state="lost"]').innerText(), /Worker 2: restarting/)
  t.match(await page.locator('#processes tr', { hasText: 'worker 2' }).innerText(), /restarting/)
  const wide = { ...now.connections, budget: null, unleased: null, members: [] }
  const ticking = setInterval(() => stand.tell('tick', { ...now, connections: wide }), 500)
  t.teardown(() => clearInterval(ticking))
  await page.locator('[data-metric="status"][data-value="good"]').waitFor()
  t.equal(await page.locator('[data-metric="connections-budget"]').textContent(), 'no limit')
})

check('a fleet is shown to one of it alone', async (t, stand, page) => {
  await opened(stand, page)
  t.notOk(await page.locator('#fleet-card').isVisible(), 'a gateway that is alone has none')
  const { now } = stand.snapshot
  const fleet = madeUpFleet()
  stand.tell('tick', { ...now, fleet })
  await metricIs(page, 'fleet-members', 3)
  for (const [name, value] of Object.entries({
    'fleet-replicas': 3,
    'fleet-max': 300,
    'fleet-free': 20,
    'fleet-phase': 'open',
    'fleet-era': 3,
    'fleet-stage': 'serving',
    'fleet-contact-ms': 840,
    'fleet-lease': 120,
    'fleet-granted': 240,
    'fleet-returned': 120,
    'fleet-holder': 'gateway-1'
  })) {
    t.equal(await valueOf(page, name), String(value), name)
  }
  const row = (name: string) => page.locator(`tr[data-member="${name}"]`)
  t.match(await row('gateway-0').innerText(), /this one.*120.*there/s)
  t.match(await row('gateway-1').innerText(), /85.*renews the sign-in/s)
  t.equal(await valueOf(page, 'status'), 'good')
  t.same(await findBarriers(page), [])
  const [first, second] = fleet.members
  const members = [first, { ...second, isSilent: true }].flatMap((one) => one ?? [])
  stand.tell('tick', {
    ...now,
    fleet: { ...fleet, phase: 'learning', members, awaited: ['gateway-2'] }
  })
  await page.locator('[data-metric="status"][data-value="fair"]').waitFor()
  t.match(await page.locator('#verdict').innerText(), /1 gateway of 3.*gateway-2: awaited/)
  t.match(await row('gateway-1').innerText(), /silent/)
  t.match(await row('gateway-2').innerText(), /–.*awaited/s)
  t.same(await findBarriers(page), [])
})

check('a request opens by click, Enter and Space, and the list waits', async (t, stand, page) => {
  await opened(stand, page)
  const rows = page.locator('tr[data-request-id]')
  const failed = stand.snapshot.requests.findLast(({ code }) => code !== '')
  const row = page.locator(`tr[data-request-id="${failed?.id}"]`)
  await row.click()
  const details = page.locator('#request-details')
  t.match(
    await details.innerText(),
    new RegExp(`${failed?.code}[^]*Attempts\\s+${failed?.attempts}`)
  )
  await row.click()
  t.equal(await details.count(), 0)
  for (const key of ['Enter', 'Space']) {
    await row.locator('button').focus()
    await page.keyboard.press(key)
    await details.waitFor()
    t.equal(await row.locator('button').getAttribute('aria-expanded'), 'true')
    if (key === 'Enter') await page.keyboard.press('Space')
  }
  stand.tell('requests', [madeUpRequest(5_001, AT), madeUpRequest(5_002, AT)])
  await page.getByRole('button', { name: 'Resume (2 new)' }).click()
  const newest = page.locator('tr[data-n="5002"]')
  await newest.waitFor()
  t.equal(await rows.first().getAttribute('data-n'), '5002')
  await page.getByLabel('only failed').check()
  t.notOk(await rows.filter({ hasText: 'gpt-5.5' }).filter({ hasText: '200' }).first().isVisible())
  t.ok(await row.isVisible())
})

check('a failed request says why when it is opened, to be copied', async (t, stand, page) => {
  await opened(stand, page)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  const failed = stand.snapshot.requests.findLast(({ fault }) => fault === 'upstream')
  const { failure } = failed ?? {}
  if (failed === undefined || failure === undefined || failure === null) throw new Error('none')
  stand.tell('requests', [{ ...failed, n: 5_001, bodyBytes: 300 }])
  await page.locator('tr[data-n="5001"]').click()
  const details = page.locator('#request-details')
  const detail = (name: string) => details.locator(`[data-detail="${name}"]`).innerText()
  t.equal(await detail('reason'), failure.reason)
  t.equal(await detail('upstream'), `answered HTTP ${failure.upstreamStatus}`)
  t.equal(await detail('upstream-id'), failure.upstreamId)
  t.equal(await detail('body'), '300 B')
  await details.getByRole('button', { name: 'Copy these details' }).click()
  await details.getByRole('button', { name: 'Copied' }).waitFor()
  const copied = await page.evaluate<string>('navigator.clipboard.readText()')
  t.match(copied, `Reason: ${failure.reason}\n`)
  t.match(copied, `Request id: ${failed.id}\n`)
  t.same(await findBarriers(page), [])
})

check('sentence, tiles and charts are of one moment', async (t, stand, page) => {
  await opened(stand, page)
  const { now } = stand.snapshot
  const told = (waiting: number, streams: number, failedPerMinute: number) =>
    stand.tell('tick', {
      ...now,
      waiting: { ...now.waiting, permits: waiting, longestMs: waiting * 1_000 },
      requests: { ...now.requests, streams, perMinute: 30, failedPerMinute }
    })
  const legend = (chart: string) => page.locator(`[data-chart="${chart}"] .chart-keys`).innerText()
  told(4, 12, 12)
  await metricIs(page, 'permits-waiting', 4)
  t.match(await page.locator('#verdict').innerText(), /4 requests wait[^]*12 of 30 requests failed/)
  t.match(await legend('connections'), /waiting\s+4/)
  t.match(await legend('requests'), /all\s+30\s+failed\s+12/)
  told(0, 10, 16)
  await metricIs(page, 'permits-waiting', 0)
  const sentence = await page.locator('#verdict').innerText()
  t.match(sentence, /16 of 30 requests failed/)
  t.match(sentence, /A moment ago: 4 requests wait/)
  t.match(sentence, /10 streams, none waiting/)
  t.match(await legend('connections'), /waiting\s+0/)
  t.match(await legend('requests'), /failed\s+16/)
})

check('a sign-in that has ended is told in one place', async (t, stand, page) => {
  const message = 'The Kiro sign-in is no longer valid. Put the new token into REFRESH_TOKEN.'
  const problem = { code: 'GW_UPSTREAM_AUTH', message }
  const { account } = stand.snapshot
  const { signIn, quota } = account
  stand.snapshot = {
    ...stand.snapshot,
    account: {
      ...account,
      signIn: { ...signIn, isUsable: false, state: 'signed-out', problem },
      quota: quota && { ...quota, remaining: null, limit: null, used: null, problem }
    }
  }
  await opened(stand, page)
  const told = await page.locator('#board').innerText()
  t.equal(told.split('REFRESH_TOKEN').length, 2, 'once')
  t.notMatch(told, /kiro-gateway login/)
})

check('what clients choose is text, never markup', async (t, stand, page) => {
  const markup = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>'
  const names = { id: markup, key: markup, client: markup, model: markup, route: markup }
  const hostile = { ...madeUpRequest(1, AT), ...names, repairs: [markup] }
  stand.snapshot = { ...stand.snapshot, requests: [hostile] }
  await opened(stand, page)
  const row = page.locator('tr[data-request-id]')
  t.equal(await row.getAttribute('data-request-id'), markup)
  await row.click()
  t.match(await page.locator('#request-details').innerText(), markup)
  t.equal(await page.locator('#requests img, #requests script').count(), 0)
  t.equal(await page.evaluate('window.broken'), undefined)
})

check(
  'without the gateway it says so, with the age of its figures, and comes back',
  async (t, stand, page) => {
    await opened(stand, page)
    await stand.stop()
    await page.locator('#live[data-state="lost"]').waitFor()
    await page.getByText('The gateway does not answer.').first().waitFor()
    await page.getByText(/Data is \d+ s old/).waitFor()
    t.equal(await page.locator('#board').getAttribute('data-stale'), '')
    t.same(await findBarriers(page), [], 'old figures can be read, too')
    stand.snapshot = { ...stand.snapshot, now: { ...stand.snapshot.now, dashboards: 77 } }
    await stand.start()
    await page.locator('#live[data-state="live"]').waitFor()
    await metricIs(page, 'dashboards', 77)
    t.equal(await page.locator('#board').getAttribute('data-stale'), null)
    const { opened: before } = stand
    stand.leave()
    while (stand.opened === before) await delay(10)
    await page.locator('#live[data-state="live"]').waitFor()
    t.equal(stand.listening, 1)
    await page.getByText(/No data for [3-9] s/).waitFor()
    const complaints = browser?.complaints.splice(0) ?? []
    t.ok(
      complaints.every((text) => /ERR_|Failed to load/.test(text)),
      complaints.join('\n')
    )
  }
)

check('a page that nobody sees lets go of its connection', async (t, stand, page) => {
  await opened(stand, page)
  const look = (isHidden: boolean): Promise<unknown> =>
    page.evaluate(`
      Object.defineProperty(document, 'hidden', { configurable: true, value: ${isHidden} })
      document.dispatchEvent(new Event('visibilitychange'))
    `)
  await look(true)
  await look(false)
  await look(true)
  t.equal(stand.opened, 1, 'it may be seen again at once')
  await page.locator('#live[data-state="asleep"]').waitFor({ state: 'attached' })
  while (stand.listening > 0) await delay(10)
  await look(false)
  await page.locator('#live[data-state="live"]').waitFor()
  t.equal(stand.listening, 1)
})

check('days of events leave no more on the page than the first hour', async (t, stand, page) => {
  await opened(stand, page)
  const session = await page.context().newCDPSession(page)
  const count = async (): Promise<number> => {
    await session.send('HeapProfiler.collectGarbage')
    const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters')
    return nodes + jsEventListeners
  }
  const play = async (from: number, steps: number): Promise<void> => {
    for (let step = from; step < from + steps; step++) {
      const at = AT + step * 5_000
      stand.tell('tick', madeUpNow(at))
      stand.tell('point', madeUpPoint(at))
      const requests = Array.from({ length: 30 }, (_, one) => madeUpRequest(step * 30 + one, at))
      stand.tell('requests', requests)
      if (step % 40 === 0) stand.tell('snapshot', madeUpSnapshot(at))
    }
    await page.locator(`tr[data-n="${(from + steps) * 30 - 1}"]`).waitFor()
  }
  await play(100, 60)
  const before = await count()
  await play(160, 120)
  t.equal(await page.locator('tr[data-request-id]').count(), 100)
  const after = await count()
  t.ok(after <= before * 1.1, `${before} nodes and listeners became ${after}`)
})

check(
  'light and dark, from phone to wall: no barrier, nothing beyond the edge',
  async (t, stand, page) => {
    const { requests } = stand.snapshot
    stand.snapshot = { ...stand.snapshot, requests: requests.slice(-15) }
    await opened(stand, page)
    const ticking = setInterval(() => stand.tell('tick', stand.snapshot.now), 1_000)
    t.teardown(() => clearInterval(ticking))
    await page.locator('tr[data-request-id] button').first().click()
    const views = [320, 768, 1280, 1920].flatMap((width) =>
      (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme }))
    )
    for (const [index, { width, colorScheme }] of views.entries()) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 900 })
      const [whole, inner] = await page.evaluate<[number, number]>(
        '[document.documentElement.scrollWidth, innerWidth]'
      )
      t.ok(whole <= inner, `${whole} of ${inner} pixels`)
      // By day the ends: a look takes seconds on a busy machine.
      const isLookedAt = isNightly || [0, 7].includes(index)
      if (isLookedAt) t.same(await findBarriers(page), [], `${colorScheme}, ${width} pixels`)
    }
    t.equal(
      await page.evaluate(`getComputedStyle(document.querySelector('.cell')).transitionDuration`),
      '0s',
      'nothing moves where people want that'
    )
    const theme = page.getByRole('button', { name: /^Theme/ })
    await theme.click()
    t.equal(await theme.textContent(), 'Theme: light')
    const ground = (): Promise<unknown> =>
      page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
    const light = await ground()
    await page.reload()
    await page.locator('tr[data-request-id]').first().waitFor()
    t.equal(await ground(), light, 'the choice is kept')
    await theme.click()
    t.not(await ground(), light)
  }
)
