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

t.setTimeout(600_000) // a browser and processes, on a machine that may be very busy
t.jobs = 1

const executable = findChromium()
const AT = Date.UTC(2026, 10, 26, 12)
/** Of five seconds: already the first of them fill every list of the page. */
const STEPS = isNightly ? 60 : 40

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
    await page.context().clearCookies() // which have no ports
    await run(t, stand, page)
    t.same(browser.complaints.splice(0), [], 'nothing in the console')
    const foreign = browser.requested
      .splice(0)
      .filter((url) => !stands.some((own) => url.startsWith(own)))
    t.same(foreign, [], 'nobody else was asked for anything')
  })
}

/**
 * Makes the page's clock tick with each look at it, and with nothing else: what lingers for seconds does not end while a busy machine
 * takes its time.
 */
async function slowClock(page: Page): Promise<void> {
  await page.addInitScript('let looks = 0; performance.now = () => (looks += 1)')
}

/** The page, once it shows what it was told. */
async function opened(stand: PageStand, page: Page, place = ''): Promise<Page> {
  await page.goto(`${stand.url}#/${place}`)
  await page.locator('#live[data-state="live"]').waitFor()
  if (place === '' || place === 'requests') {
    await page.locator('tr[data-request-id]').first().waitFor()
  }
  return page
}

/** Hides the tab and shows it again, in this order, with no time between. */
function look(page: Page, ...hidden: readonly boolean[]): Promise<unknown> {
  return page.evaluate(`
    for (const value of ${JSON.stringify(hidden)}) {
      Object.defineProperty(document, 'hidden', { configurable: true, value })
      document.dispatchEvent(new Event('visibilitychange'))
    }
  `)
}

/** Another place of the same page, as by its menu. */
async function visit(page: Page, title: string): Promise<void> {
  await page.getByRole('navigation').getByRole('link', { name: title }).click()
  await page.getByRole('heading', { name: title, level: 2 }).waitFor({ state: 'attached' })
}

const valueOf = (page: Page, name: string): Promise<string | null> =>
  page.locator(`[data-metric="${name}"]`).getAttribute('data-value')

const metricIs = (page: Page, name: string, value: number): Promise<void> =>
  page.locator(`[data-metric="${name}"][data-value="${value}"]`).waitFor()

check('a key signs in, a wrong one does not, and signing out ends it', async (t, stand, page) => {
  stand.key = 'a-key-of-the-operator'
  await page.goto(stand.url)
  await page.locator('#f-key:focus').waitFor()
  t.same(await findBarriers(page), [])
  t.equal(stand.listening, 0, 'nothing is told before')
  await page.keyboard.type('a-wrong-key')
  await page.keyboard.press('Enter')
  await page.getByText('That is no key of the operator.').waitFor()
  t.match(browser?.complaints.splice(0), [/status of 401/], 'which Chromium notes by itself')
  await page.getByLabel('Key').fill('a-key-of-the-operator')
  await page.keyboard.press('Enter')
  await page.locator('tr[data-request-id]').first().waitFor()
  t.equal(await page.locator('#sign-in').count(), 0, 'the key is kept nowhere')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Key').waitFor()
  t.equal(await page.locator('#board').count(), 0)
})

check('what was used today follows what is used', async (t, stand, page) => {
  await page.addInitScript(
    'const real = performance.now.bind(performance); globalThis.aheadMs = 0; performance.now = () => real() + globalThis.aheadMs'
  )
  let asked = 0
  page.on('request', (request) => {
    if (request.url().includes('usage?by=day')) asked++
  })
  await opened(stand, page)
  const { now } = stand.snapshot
  await page.evaluate('void (globalThis.aheadMs = 11_000)')
  stand.tick({ ...now, requests: { ...now.requests, streams: 5 } })
  await metricIs(page, 'streams', 5)
  t.equal(asked, 1, 'nothing has been used since')
  const again = page.waitForRequest(/usage\?by=day/, { timeout: 40_000 }) // by itself after a minute
  stand.tick({ ...now, credits: { ...now.credits, total: now.credits.total + 1 } })
  await again
})

check('figures are exact where tests look, and change as they are told', async (t, stand, page) => {
  await opened(stand, page)
  const { now, account } = stand.snapshot
  const same = async (expected: Readonly<Record<string, number | null | undefined>>) => {
    for (const [name, value] of Object.entries(expected)) {
      t.equal(await valueOf(page, name), String(value), name)
    }
  }
  await same({
    'permits-waiting': 0,
    streams: now.requests.streams,
    'requests-per-minute': now.requests.perMinute,
    'tokens-per-minute': now.tokens.perMinute,
    'credits-per-hour': now.credits.perHour,
    'first-token-p95-ms': now.latency.firstMs?.p95,
    'memory-bytes': now.memory.usedBytes,
    'quota-remaining': account.quota?.remaining
  })
  const newest = stand.snapshot.requests.at(-1)
  const row = page.locator(`tr[data-request-id="${newest?.id}"]`)
  const credits = row.locator('[data-metric="request-credits"]')
  t.equal(await credits.getAttribute('data-value'), String(newest?.credits))
  await visit(page, 'Gateway')
  await same({
    'connections-in-use': now.connections.inUse,
    'connections-idle': now.connections.idle,
    'connections-budget': now.connections.budget,
    'web-sockets-open': now.webSockets.open,
    'web-sockets-busy': now.webSockets.busy,
    'web-sockets-kept': now.webSockets.keptBytes,
    'worker-count': 2,
    'sign-in': 1,
    'requests-total': now.requests.total,
    'requests-failed': now.requests.failed,
    'tokens-input': now.tokens.input,
    'tokens-output': now.tokens.output,
    'credits-total': now.credits.total
  })
  t.equal(await page.locator('[data-metric="tokens-input"]').textContent(), '104M')
  const counts = page.locator('tr[data-model="gpt-5.6-luna"] [data-metric]')
  const figures = await counts.evaluateAll((cells) =>
    cells.map((cell) => [cell.getAttribute('data-metric'), cell.getAttribute('data-value')])
  )
  t.same(figures, [
    ['count-error-p50', '0.016'],
    ['count-error-p95', '0.041'],
    ['hidden-tokens', null],
    ['counts-measured', '12']
  ])
  const first = page.locator('tr[data-process="primary"] [data-metric="process-memory-bytes"]')
  t.equal(await first.getAttribute('data-value'), String(now.processes[0]?.rssBytes))
  t.equal(await page.locator('.plot').count(), 3, 'two workers and the gateway itself')
  const used = await page.locator('.plot .cell[data-state="used"]:not([hidden])').count()
  t.equal(used, now.connections.inUse, 'a cell for each connection')
  stand.tick({ ...now, requests: { ...now.requests, streams: 7, total: 31_208 } })
  await metricIs(page, 'requests-total', 31_208)
  await visit(page, 'Overview')
  await metricIs(page, 'streams', 7)
})

check('trouble leads the page with what to do, and passes', async (t, stand, page) => {
  await opened(stand, page)
  t.equal(await valueOf(page, 'status'), 'green')
  await visit(page, 'Gateway')
  const { now } = stand.snapshot
  const [one, two] = now.workers
  if (one === undefined || two === undefined) throw new Error('two workers')
  const workers = [one, { ...two, state: 'restarting', pid: null, restarts: 1 }]
  const processes = now.processes.slice(0, 2)
  stand.tick({ ...now, workers, processes })
  await page.locator('[data-metric="status"][data-value="amber"]').waitFor()
  await metricIs(page, 'worker-count', 1)
  t.match(
    await page.locator('#verdict').innerText(),
    /worker 2 is restarting.*replaced automatically/s
  )
  t.match(await page.title(), /^1 worker of 2 serves/)
  t.match(await page.locator('.plot[data-state="lost"]').innerText(), /Worker 2: restarting/)
  t.match(await page.locator('#processes tr', { hasText: 'worker 2' }).innerText(), /restarting/)
  const wide = { ...now.connections, budget: null, unleased: null, members: [] }
  stand.tick({ ...now, connections: wide })
  await page.locator('#verdict').waitFor({ state: 'detached' })
  t.equal(await page.locator('[data-metric="connections-budget"]').textContent(), 'no limit')
  await visit(page, 'Overview')
  t.equal(await valueOf(page, 'status'), 'green')
})

check('a fleet is shown to one of it alone', async (t, stand, page) => {
  await opened(stand, page, 'gateway')
  t.notOk(await page.locator('#fleet-card').isVisible(), 'a gateway that is alone has none')
  const { now } = stand.snapshot
  const fleet = madeUpFleet()
  stand.tick({ ...now, fleet })
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
  t.equal(await page.locator('#verdict').count(), 0)
  t.same(await findBarriers(page), [])
  const [first, second] = fleet.members
  if (first === undefined || second === undefined) throw new Error('two members')
  const members = [first, { ...second, isSilent: true }]
  stand.tick({
    ...now,
    fleet: { ...fleet, phase: 'learning', members, awaited: ['gateway-2'] }
  })
  await page.locator('[data-metric="status"][data-value="amber"]').waitFor()
  t.match(await page.locator('#verdict').innerText(), /1 gateway of 3.*gateway-2: awaited/)
  t.match(await row('gateway-1').innerText(), /silent/)
  t.match(await row('gateway-2').innerText(), /–.*awaited/s)
  t.same(await findBarriers(page), [])
})

check('a request opens by click, Enter and Space, and the list waits', async (t, stand, page) => {
  await opened(stand, page, 'requests')
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
  await details.waitFor({ state: 'detached' })
  for (const key of ['Enter', 'Space']) {
    await row.locator('button').focus()
    await page.keyboard.press(key)
    await details.waitFor()
    t.equal(await row.locator('button').getAttribute('aria-expanded'), 'true')
    if (key === 'Space') continue
    await page.keyboard.press('Space')
    await details.waitFor({ state: 'detached' })
  }
  stand.tell('requests', [madeUpRequest(5_001, AT), madeUpRequest(5_002, AT)])
  await page.getByRole('button', { name: 'Resume (2 new)' }).click()
  const newest = page.locator('tr[data-n="live-5002"]')
  await newest.waitFor()
  t.equal(await rows.first().getAttribute('data-n'), 'live-5002')
  await page.getByLabel('only failed').check()
  await page.getByRole('heading', { name: 'Matching requests' }).waitFor()
  await page.locator('tr[data-n="live-5002"]').waitFor({ state: 'detached' })
  await rows.first().waitFor()
  t.equal(await page.locator('tr[data-request-id][data-code=""]').count(), 0)
})

check('a failed request says why when it is opened, to be copied', async (t, stand, page) => {
  await opened(stand, page)
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  const failed = stand.snapshot.requests.findLast(({ fault }) => fault === 'upstream')
  const { failure } = failed ?? {}
  if (failed === undefined || failure === undefined || failure === null) throw new Error('none')
  stand.tell('requests', [{ ...failed, n: 5_001, bodyBytes: 300 }])
  await page.locator('tr[data-n="live-5001"]').click()
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
  await slowClock(page)
  await opened(stand, page)
  const { now } = stand.snapshot
  const told = (waiting: number, streams: number, failedPerMinute: number) =>
    stand.tick({
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
  await page.getByRole('button', { name: 'Sign in to Kiro' }).waitFor()
  t.notMatch(told, /kiro-gateway login/)
})

/** Names of the tables that are wider than their place, and by how many pixels. */
const CUT_TABLES = `[...document.querySelectorAll('.scroll')]
  .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
  .map((one) => one.ariaLabel + ' ' + (one.scrollWidth - one.clientWidth))`
const PLACES = ['', 'requests', 'keys', 'keys/add', 'keys/k_anna', 'usage', 'gateway', 'start']
/** Tables whose cells have what clients, colleagues or the upstream have chosen. */
const TABLES = [
  ['', '#requests'],
  ['', '#errors'],
  ['requests', '#running'],
  ['keys', '#keys'],
  ['keys', '#waiting'],
  ['keys/k_anna', '#devices'],
  ['gateway', '#counts'],
  ['gateway', '#fleet-card'],
  ['gateway', '#settings'],
  ['gateway', '#audit']
] as const
const MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>'

check('what clients choose is text, never markup', async (t, stand, page) => {
  const names = { id: MARKUP, key: MARKUP, client: MARKUP, model: MARKUP, route: MARKUP }
  const failure = { reason: MARKUP, detail: MARKUP, upstreamStatus: 400, upstreamId: MARKUP }
  const more = { code: MARKUP, failure, modelAsked: MARKUP, dialect: MARKUP }
  const hostile = { ...madeUpRequest(1, AT), ...names, ...more, repairs: [MARKUP] }
  const { now, account } = stand.snapshot
  const errors = [{ code: MARKUP, fault: 'client' as const, total: 1, lastHour: 1 }]
  const failing = { level: 'red' as const, count: 1, at: AT, code: MARKUP, reason: MARKUP }
  const fleet = {
    ...madeUpFleet(),
    name: MARKUP,
    member: MARKUP,
    holder: MARKUP,
    awaited: [MARKUP]
  }
  const problems = [{ code: MARKUP, message: MARKUP, until: null, bar: MARKUP }]
  const running = [{ ...names, at: AT, step: 'asking' as const, worker: 1 }]
  const counts = now.counts.map((one) => ({ ...one, model: MARKUP }))
  const requestsNow = { ...now.requests, failing }
  stand.snapshot = {
    ...stand.snapshot,
    requests: [hostile],
    now: { ...now, errors, fleet, running, counts, requests: requestsNow },
    account: { ...account, problems }
  }
  stand.panel.spoil(MARKUP)
  await opened(stand, page, 'requests')
  const row = page.locator('#requests tr[data-request-id]')
  t.equal(await row.getAttribute('data-request-id'), MARKUP)
  await row.click()
  t.match(await page.locator('#request-details').innerText(), MARKUP)
  for (const place of PLACES) {
    await page.goto(`${stand.url}#/${place}`)
    await page.getByText('Loading …').first().waitFor({ state: 'detached' })
    await page.locator('#board').getByText('<img src=x').first().waitFor()
    t.equal(await page.locator('#board img, #board script').count(), 0, place)
    for (const [, table] of TABLES.filter(([where]) => where === place))
      await page.locator(table).getByText('<img src=x').filter({ visible: true }).first().waitFor()
  }
  await page.goto(`${stand.url}#/requests?key=${encodeURIComponent(MARKUP)}`)
  await page.locator('tr[data-request-id]').first().waitFor()
  t.equal(await page.getByLabel('Key', { exact: true }).inputValue(), MARKUP)
  await page.goto(`${stand.url}#/usage`)
  for (const split of ['key', 'model', 'client']) {
    await page.getByLabel('By', { exact: true }).selectOption(split)
    await page.getByRole('table').getByText('<img src=x').waitFor()
    await page.locator('.legend').getByText('<img src=x').waitFor()
    t.equal(await page.locator('#board img, #board script').count(), 0, split)
  }
  stand.key = 'kgw_of_anna'
  stand.role = 'person'
  await page.reload()
  await page.getByLabel('Key').fill('kgw_of_anna')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: MARKUP }).waitFor()
  await page.locator('tr[data-request-id] button').first().click()
  t.match(await page.locator('#request-details').innerText(), MARKUP)
  t.equal(await page.locator('#board img, #board script').count(), 0, 'on the page of a person')
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
    await visit(page, 'Gateway')
    await metricIs(page, 'dashboards', 77)
    t.equal(await page.locator('#board').getAttribute('data-stale'), null)
    const { opened: before } = stand
    stand.leave()
    while (stand.opened === before) await delay(10)
    await page.locator('#live[data-state="live"]').waitFor()
    t.equal(stand.listening, 1)
    stand.isSilent = true
    await page.getByText(/No data for \d+ s/).waitFor()
    const complaints = browser?.complaints.splice(0) ?? []
    t.ok(
      complaints.every((text) => /ERR_|Failed to load/.test(text)),
      complaints.join('\n')
    )
  }
)

check('a page that nobody sees lets go of its connection', async (t, stand, page) => {
  await opened(stand, page)
  await look(page, true, false, true)
  t.equal(stand.opened, 1, 'it may be seen again at once')
  await page.locator('#live[data-state="asleep"]').waitFor({ state: 'attached' })
  while (stand.listening > 0) await delay(10)
  await look(page, false)
  await page.locator('#live[data-state="live"]').waitFor()
  t.equal(stand.listening, 1)
})

check('days of events leave no more on the page than the first hour', async (t, stand, page) => {
  await opened(stand, page, 'requests')
  const session = await page.context().newCDPSession(page)
  const count = async (): Promise<number> => {
    await session.send('HeapProfiler.collectGarbage')
    const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters')
    return nodes + jsEventListeners
  }
  const play = async (from: number, steps: number): Promise<void> => {
    for (let step = from; step < from + steps; step++) {
      const at = AT + step * 5_000
      stand.tick(madeUpNow(at))
      stand.tell('point', madeUpPoint(at))
      const requests = Array.from({ length: 30 }, (_, one) => madeUpRequest(step * 30 + one, at))
      stand.tell('requests', requests)
      if (step % 40 === 0) stand.tell('snapshot', madeUpSnapshot(at))
    }
    await page.locator(`tr[data-n="live-${(from + steps) * 30 - 1}"]`).waitFor()
  }
  await play(100, STEPS)
  const before = await count()
  await play(100 + STEPS, 2 * STEPS)
  t.equal(await page.locator('tr[data-request-id]').count(), 100)
  const after = await count()
  t.ok(after <= before * 1.1, `${before} nodes and listeners became ${after}`)
})

check(
  'light and dark, from phone to wall: no barrier, nothing beyond the edge',
  async (t, stand, page) => {
    const { requests } = stand.snapshot
    stand.snapshot = { ...stand.snapshot, requests: requests.slice(-15) }
    stand.panel.addDevices('claude-code', 'laptop-of-anna')
    stand.panel.operate()
    await opened(stand, page)
    const schemes = ['light', 'dark'] as const
    // Colours move nothing: by day each width has one of the two.
    const widths = isNightly ? [320, 390, 640, 768, 1280, 1920] : [320, 768, 1280]
    const views = widths.flatMap((width, index) =>
      schemes
        .filter((_, scheme) => isNightly || scheme === index % 2)
        .map((colorScheme) => ({ width, colorScheme }))
    )
    for (const [index, { width, colorScheme }] of views.entries()) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 900 })
      for (const place of PLACES) {
        await page.goto(`${stand.url}#/${place}`)
        await page.locator('#board').getByText('Loading …').first().waitFor({ state: 'detached' })
        if (place === 'requests') await page.locator('tr[data-request-id] button').first().click()
        const [whole, inner] = await page.evaluate<[number, number]>(
          '[document.documentElement.scrollWidth, innerWidth]'
        )
        t.ok(whole <= inner, `${place}: ${whole} of ${inner} pixels`)
        t.same(await page.evaluate(CUT_TABLES), [], `${place}: tables that are cut at ${width} px`)
        // By day one of them: a look takes seconds on a busy machine.
        if (isNightly || index === 0)
          t.same(await findBarriers(page), [], `${place}, ${colorScheme}, ${width} px`)
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 })
    await page.evaluate('void (document.documentElement.style.fontSize = "187.5%")')
    for (const place of PLACES) {
      await page.goto(`${stand.url}#/${place}`)
      await page.locator('#board').getByText('Loading …').first().waitFor({ state: 'detached' })
      const whole = await page.evaluate<number>('document.documentElement.scrollWidth')
      t.ok(whole <= 1280, `${place} in letters of twice the size: ${whole} pixels`)
    }
    await page.evaluate('void (document.documentElement.style.fontSize = "")')
    await page.goto(`${stand.url}#/gateway`)
    await page.locator('.cell').first().waitFor()
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
    await page.locator('.cell').first().waitFor()
    t.equal(await ground(), light, 'the choice is kept')
    await theme.click()
    t.not(await ground(), light)
  }
)

check('on a phone, verdict, credits and requests are on one screen', async (t, stand, page) => {
  await page.setViewportSize({ width: 390, height: 844 })
  await opened(stand, page)
  for (const place of [
    page.locator('#verdict'),
    page.getByText('Credits left'),
    page.locator('tr[data-request-id]').first()
  ]) {
    const box = await place.boundingBox()
    t.ok(box !== null && box.y + box.height <= 844, `ends at ${box && box.y + box.height}`)
  }
})

check('a key is added once, shown once, changed, rotated and revoked', async (t, stand, page) => {
  await opened(stand, page)
  await visit(page, 'Keys')
  await page.getByRole('link', { name: 'Add a key' }).click()
  const form = page.getByRole('form', { name: 'Add a key' })
  await form.getByLabel('Name').fill('anna')
  await form.getByLabel('Credits').fill('2')
  const add = form.getByRole('button', { name: 'Add the key' })
  const pressed = Promise.withResolvers<void>()
  stand.panel.mayAnswer = pressed.promise
  await add.dblclick()
  pressed.resolve()
  await page.getByText('There is a key named anna already.').waitFor()
  t.equal(stand.panel.changes.length, 1, 'pressed twice, sent once')
  await page.locator('#f-name:focus').waitFor()
  t.same(await findBarriers(page), [], 'with its error beside the field')
  t.match(browser?.complaints.splice(0), [/status of 409/], 'which Chromium notes by itself')
  await form.getByLabel('Name').fill('<b>eve</b>')
  await add.click()
  const shown = page.getByRole('region', { name: 'The key of <b>eve</b>' })
  const secret = shown.locator('pre', { hasText: /^kgw_<b>eve<\/b>_0123456789abcdef$/ })
  await page.getByRole('heading', { name: '<b>eve</b>', level: 2 }).waitFor()
  await secret.waitFor()
  t.match(stand.panel.changes[1], /"name":"<b>eve<\/b>","credits":"2\/month"/)
  t.same(await findBarriers(page), [])
  await page.getByRole('link', { name: 'All keys' }).click()
  await page.getByRole('link', { name: '<b>eve</b>' }).click()
  await page.getByRole('form', { name: 'Limits' }).waitFor()
  t.equal(await page.getByText('kgw_').count(), 0, 'gone for good')

  const limits = page.getByRole('form', { name: 'Limits' })
  const eve = stand.panel.keys.find(({ name }) => name === '<b>eve</b>')
  if (eve === undefined) throw new Error('no such key')
  eve.version = '7'
  eve.credits = { ...eve.credits, limit: 9 }
  await limits.getByLabel('Credits').fill('5')
  await limits.getByRole('button', { name: 'Save the limits' }).click()
  await page.getByText('Somebody else changed this key meanwhile.').waitFor()
  t.equal(await limits.getByLabel('Credits').inputValue(), '9', 'as it is now')
  t.match(browser?.complaints.splice(0), [/status of 412/])
  await limits.getByLabel('Credits').fill('5')
  await limits.getByRole('button', { name: 'Save the limits' }).click()
  await page.getByText('The limits of <b>eve</b> are changed.').waitFor()

  await page.getByRole('button', { name: 'Make a new key' }).click()
  await secret.waitFor()
  await page.getByRole('button', { name: 'I have copied it' }).click()
  await page.getByRole('button', { name: 'Revoke …' }).click()
  await page.getByRole('button', { name: 'Yes, revoke <b>eve</b>' }).click()
  await page.getByText('"<b>eve</b>" can no longer get in.').waitFor()
  t.equal(await page.getByRole('form', { name: 'Limits' }).count(), 0)
})

check('a gateway without keys gets an operator key before all others', async (t, stand, page) => {
  stand.isOpen = true
  await opened(stand, page, 'keys/add')
  await page.getByText('npx kiro-gateway key new --write').waitFor()
  t.equal(await page.getByLabel('Name').count(), 0, 'the first key would sign this page out')
  t.same(await findBarriers(page), [])
  await page.getByRole('button', { name: 'Reload the settings' }).click()
  await page.getByText('There is still no operator key.').waitFor()
  t.same(stand.panel.changes, ['reload {}'])
  Object.assign(stand, { isOpen: false, key: 'a-key-of-the-operator' })
  // As long as there are events, the page asks for its session after a change alone.
  await page.getByRole('button', { name: 'Reload the settings' }).click()
  await page.getByRole('heading', { name: 'Sign in', level: 2 }).waitFor()
  t.equal(await page.locator('#board').count(), 0, 'the key is asked for at once')
  await page.getByLabel('Key').fill('a-key-of-the-operator')
  await page.keyboard.press('Enter')
  await page.getByRole('form', { name: 'Add a key' }).waitFor()
})

check('a wrong limit is said in the words of its field', async (t, stand, page) => {
  await opened(stand, page, 'keys/add')
  const form = page.getByRole('form', { name: 'Add a key' })
  const cases = [
    ['Credits', 'abc', 'A number of credits, such as 200 or 12.5.'],
    ['Requests a minute', '1.5', 'A whole number from 1 on, such as 60.'],
    ['Streams at the same time', 'many', 'A whole number from 1 on, such as 60.']
  ] as const
  await form.getByLabel('Name').fill('eve')
  for (const [label, wrong, words] of cases) {
    await form.getByLabel(label).fill(wrong)
    await form.getByRole('button', { name: 'Add the key' }).click()
    await form.getByText(words).waitFor()
    await page.locator('input:focus[aria-invalid="true"]').waitFor()
    t.equal(await form.locator('input:focus').inputValue(), wrong, label)
    await form.getByLabel(label).fill('')
  }
  t.same(stand.panel.changes, [], 'nothing is sent: an odd number would mean no limit')
})

check('the answer to the first prompt stays when its request has ended', async (t, stand, page) => {
  const { now } = stand.snapshot
  stand.panel.isUnused = true
  stand.snapshot = {
    ...stand.snapshot,
    now: { ...now, requests: { ...now.requests, total: 0 } },
    requests: []
  }
  await page.goto(stand.url)
  await page.getByRole('button', { name: 'Send the prompt' }).click()
  await page.getByText('Hello from Kiro.').waitFor()
  stand.tick({ ...now, requests: { ...now.requests, total: 1 } })
  stand.tell('requests', [madeUpRequest(1, AT)])
  await page.locator('tr[data-request-id]').waitFor()
  t.ok(await page.getByText('Hello from Kiro.').isVisible())
  await page.getByRole('button', { name: 'Show the overview' }).click()
  await metricIs(page, 'requests-per-minute', now.requests.perMinute)
  t.equal(await page.getByText('Hello from Kiro.').count(), 0)
})

check('requests are found by filter, and older ones page by page', async (t, stand, page) => {
  await opened(stand, page, 'requests')
  await page.getByLabel('Key', { exact: true }).fill('anna')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Matching requests' }).waitFor()
  const rows = page.locator('tr[data-request-id]')
  await rows.first().waitFor()
  t.equal(await rows.count(), 50)
  t.match(page.url(), /#\/requests\?key=anna$/, 'as an address to send to others')
  await page.getByRole('button', { name: 'Show older requests' }).click()
  await rows.nth(60).waitFor()
  t.ok((await rows.locator('td:nth-child(2)').allInnerTexts()).every((text) => text === 'anna'))
  await page.getByLabel('Time').selectOption({ label: 'Last 7 days' })
  await page.waitForURL(/since=7d&key=anna/)
  await page.getByLabel('Request id').fill('none like it')
  await page.keyboard.press('Enter')
  await page.getByText('No request matches.').waitFor()
  await page.getByRole('button', { name: 'Show the latest' }).click()
  await page.getByRole('heading', { name: 'Latest requests' }).waitFor()
  t.equal(await page.getByLabel('Key', { exact: true }).inputValue(), '')
})

check('usage is shown by day and by person, model and client', async (t, stand, page) => {
  await opened(stand, page)
  await visit(page, 'Usage')
  const chart = page.getByRole('img', { name: /^Credits by day/ })
  await chart.waitFor()
  t.equal(await chart.locator('.bars-column').count(), 30)
  await page.getByLabel('Time').selectOption('90d')
  await chart.locator('.bars-column').nth(89).waitFor()
  t.equal(await chart.locator('.bars-column').count(), 90)
  await page.getByLabel('By', { exact: true }).selectOption('model')
  await page.getByRole('region', { name: 'Usage by model' }).getByText('gpt-5.5').waitFor()
  const csv = page.getByRole('link', { name: 'Download CSV' })
  t.match(await csv.getAttribute('href'), /since=90d.*format=csv/)
})

check(
  'the first minute: sign in to Kiro, point a client here, try a prompt',
  async (t, stand, page) => {
    const { account, now } = stand.snapshot
    const signIn = { ...account.signIn, isUsable: true, state: 'simulator', method: null } as const
    stand.snapshot = {
      ...stand.snapshot,
      account: { ...account, isSimulated: true, quota: null, signIn },
      now: { ...now, requests: { ...now.requests, total: 0 } },
      requests: []
    }
    await page.goto(`${stand.url}#/start`)
    const form = page.getByRole('form', { name: 'Sign in to Kiro' })
    await form.getByLabel('Sign in with').selectOption('organisation')
    await form.getByLabel('Start URL').fill('http://example.com')
    await form.getByRole('button', { name: 'Sign in to Kiro' }).click()
    await page.getByText('The start URL begins with https://.').waitFor()
    t.match(browser?.complaints.splice(0), [/status of 400/])
    await form.getByLabel('Start URL').fill('https://example.awsapps.com/start')
    await form.getByRole('button', { name: 'Sign in to Kiro' }).click()
    await page.getByText('ABCD-EFGH', { exact: true }).waitFor()
    const link = page.getByRole('link', { name: 'Open the sign-in page' })
    t.match(await link.getAttribute('href'), /^https:/)
    t.same(await findBarriers(page), [])
    stand.panel.isConfirmed = true
    await page.getByText('Signed in to Kiro.').waitFor()
    t.match(
      await page.getByText('npx kiro-gateway setup claude').innerText(),
      stand.url.slice(0, -1)
    )
    await page.getByLabel('Client', { exact: true }).selectOption('codex')
    await page.getByText('wire_api = "responses"').waitFor()
    await page.getByRole('button', { name: 'Send the prompt' }).click()
    await page.getByText('Hello from Kiro.').waitFor()
    await page.locator('[data-metric="test-credits"]', { hasText: '0.01' }).waitFor()
    t.match(await page.locator('[data-metric="test-first-ms"]').innerText(), /ms$/)
  }
)

check(
  'a sign-in to Kiro goes on when its reader comes back to the page',
  async (t, stand, page) => {
    const { account } = stand.snapshot
    const signIn = { ...account.signIn, isUsable: true, state: 'simulator', method: null } as const
    stand.snapshot = { ...stand.snapshot, account: { ...account, isSimulated: true, signIn } }
    await opened(stand, page, 'start')
    await page.getByRole('button', { name: 'Sign in to Kiro' }).click()
    await page.getByText('ABCD-EFGH', { exact: true }).waitFor()
    await look(page, true) // at the sign-in page, in another tab
    await page.waitForResponse(/admin\/v1\/sign-in$/)
    stand.panel.isConfirmed = true
    await look(page, false)
    await page.getByText('Signed in to Kiro.').waitFor()
    t.pass('without another press')
  }
)

check('the gateway is operated, and who did it is listed', async (t, stand, page) => {
  const { account } = stand.snapshot
  const message = 'You have reached the limit.'
  const problems = [{ code: 'GW_UPSTREAM_QUOTA', message, until: AT + 3_600_000, bar: 'monthly' }]
  stand.snapshot = { ...stand.snapshot, account: { ...account, problems } }
  await opened(stand, page, 'gateway')
  await page.getByRole('button', { name: 'Call Kiro again now' }).click()
  await page.getByText('Lifted. The next request').waitFor()
  await page.getByRole('button', { name: 'Reload the settings' }).click()
  await page.getByText('The settings were read again.').waitFor()
  await page.getByRole('button', { name: 'Recycle worker 1' }).click()
  await page.getByText('Worker 1 finishes its answers').waitFor()
  t.same(stand.panel.changes, [
    'account/lift {"bar":"monthly"}',
    'reload {}',
    'workers/1/recycle {}'
  ])
  await page.locator('[data-action="worker.recycle"]').waitFor()
  t.equal(await page.locator('#audit tbody tr').count(), 3)
  const settings = page.locator('#settings')
  t.equal(await settings.getByText('HTTP_MAX_CONNECTIONS').count(), 0)
  await page.getByLabel('only those that are set').uncheck()
  await settings.getByText('HTTP_MAX_CONNECTIONS').waitFor()
})

check('what may not be changed says why, once', async (t, stand, page) => {
  const message = 'Changes need TLS. Open this page by https, or on the machine itself.'
  stand.whyNot = { code: 'GW_TLS_REQUIRED', message }
  await opened(stand, page, 'keys/k_anna')
  await page.getByText(message).waitFor()
  t.ok(await page.getByRole('button', { name: 'Save the limits' }).isDisabled())
  t.same(await findBarriers(page), [])
})

check('a read-only page says so wherever it has a control', async (t, stand, page) => {
  const message = 'Changes are turned off here (DASHBOARD=read-only).'
  stand.whyNot = { code: 'GW_READ_ONLY', message }
  await opened(stand, page)
  await page.locator('header').getByText('read-only', { exact: true }).waitFor()
  for (const place of ['keys', 'keys/add', 'keys/k_anna', 'gateway', 'start']) {
    await page.goto(`${stand.url}#/${place}`)
    await page.locator('#board').getByText(message).waitFor()
    t.equal(await page.locator('#board').getByText(message).count(), 1, place)
    t.equal(await page.getByRole('link', { name: /^add (one|a key)$/i }).count(), 0, place)
    t.same(await findBarriers(page), [], place)
  }
  await page.getByText('A test prompt works all the same').waitFor()
  await page.getByRole('button', { name: 'Send the prompt' }).click()
  await page.getByText('Hello from Kiro.').waitFor()
})

check('a list that the gateway could not give comes as soon as it can', async (t, stand, page) => {
  await opened(stand, page)
  const answers = ['cut', 'half', '503', 'given']
  await page.route('**/admin/v1/keys', async (route) => {
    const next = answers.shift()
    if (next === 'cut') await route.abort()
    else if (next === 'half') await route.fulfill({ status: 200, body: '{"keys":[' })
    else if (next === '503') await route.fulfill({ status: 503, body: '' })
    else await route.continue()
  })
  await visit(page, 'Keys')
  await page.getByText('The gateway does not answer.').waitFor()
  await page.getByRole('link', { name: 'anna', exact: true }).waitFor()
  t.equal(await page.getByRole('alert').count(), 0)
  t.match(browser?.complaints.splice(0), [/ERR_FAILED/, /status of 503/])
})

check('the form of whoever has signed out is there once', async (t, stand, page) => {
  stand.key = 'secret'
  await page.goto(stand.url)
  await page.getByLabel('Key', { exact: true }).fill('secret')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('#live[data-state="live"]').waitFor()
  const ended = Promise.withResolvers<void>()
  await page.route('**/dashboard/session', async (route) => {
    if (route.request().method() !== 'DELETE') return route.continue()
    const response = await route.fetch()
    stand.leave() // the page looks for another worker while the answer is on its way
    setTimeout(() => void route.fulfill({ response }).then(ended.resolve), 1_000)
  })
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Key', { exact: true }).fill('sec')
  await ended.promise
  await page.locator('#live[data-state="signed-out"]').waitFor()
  t.equal(await page.getByLabel('Key', { exact: true }).inputValue(), 'sec')
})

check('a problem leads to what can be done, and passes at once then', async (t, stand, page) => {
  const { account } = stand.snapshot
  const message = 'You have reached the limit.'
  const problems = [{ code: 'GW_UPSTREAM_QUOTA', message, until: AT + 3_600_000, bar: 'monthly' }]
  const snapshot = stand.snapshot
  stand.snapshot = { ...snapshot, account: { ...account, problems } }
  await slowClock(page)
  await opened(stand, page)
  await page.locator('#verdict').getByRole('link', { name: 'Call Kiro again now' }).click()
  await page.getByRole('button', { name: 'Call Kiro again now' }).click()
  await page.getByText('Lifted. The next request').waitFor()
  stand.snapshot = snapshot
  stand.tell('account', account)
  const { now } = snapshot
  stand.tick({ ...now, requests: { ...now.requests, total: 31_208 } })
  await metricIs(page, 'requests-total', 31_208)
  t.equal(await page.locator('#verdict').count(), 0, 'with the first figures after the change')
  t.equal(await page.title(), 'Gateway – kiro-gateway')
})

check('a gateway that was restarted asks to press again', async (t, stand, page) => {
  await opened(stand, page, 'gateway')
  stand.csrf = 2
  const reload = page.getByRole('button', { name: 'Reload the settings' })
  await reload.click()
  await page.getByText('Press again.').waitFor()
  t.match(browser?.complaints.splice(0), [/status of 403/])
  t.same(stand.panel.changes, [], 'nothing half done')
  await reload.click()
  await page.getByText('The settings were read again.').waitFor()
})

check("a person sees their own page, and nobody else's", async (t, stand, page) => {
  stand.key = 'kgw_of_anna'
  stand.role = 'person'
  await page.goto(stand.url)
  await page.getByLabel('Key').fill('kgw_of_anna')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'anna', level: 2 }).waitFor()
  await page.locator('tr[data-request-id]').first().waitFor()
  t.equal(await page.getByRole('navigation').count(), 0)
  t.equal(stand.opened, 0, 'the feed tells of all clients')
  t.same(await findBarriers(page), [])
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Key').waitFor()
})
