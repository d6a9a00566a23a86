import { mkdirSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Page } from 'playwright-core'
import type { EndedRequest } from '../../src/dashboard/feed.ts'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { madeUpFleet, madeUpRequest, madeUpSnapshot } from '../helper/made-up-figures.ts'
import { PageStand } from '../helper/page-stand.ts'

/*
 * Pictures of the panel: the page itself, told of a day that is made up (test/helper/made-up-figures.ts).
 *
 *   npm run pictures                    those of docs/
 *   npm run pictures -- --all FOLDER    each place and state, light, dark and on two phones, to be looked at
 *   … --only TEXT                       of these, those whose name has the text
 */

const ROOT = join(import.meta.dirname, '../..')
const AT = Date.UTC(2026, 10, 26, 13, 42, 17)

/** What the page is told, and what is done on it before the picture. */
interface Scene {
  readonly place: string
  readonly prepare?: (stand: PageStand) => void
  readonly act?: (page: Page) => Promise<void>
}

interface Picture extends Scene {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly colorScheme: 'light' | 'dark'
  /** The whole length of the page. */
  readonly isWhole?: boolean
}

const WIDE = { width: 1280, height: 900, colorScheme: 'light' } as const
const PHONE = { width: 390, height: 844, colorScheme: 'dark' } as const

const PICTURES: readonly Picture[] = [
  { name: 'dashboard-light', place: '', ...WIDE },
  { name: 'dashboard-dark', place: '', ...WIDE, colorScheme: 'dark' },
  { name: 'dashboard-phone', place: '', ...PHONE },
  {
    name: 'dashboard-requests',
    place: 'requests?failed=true',
    ...WIDE,
    height: 860,
    act: openFailed
  },
  { name: 'dashboard-keys', place: 'keys', ...WIDE, height: 560 },
  { name: 'dashboard-usage', place: 'usage', ...WIDE, colorScheme: 'dark' },
  { name: 'dashboard-start', place: 'start', ...WIDE, height: 720 }
]

const SCENES: Readonly<Record<string, Scene>> = {
  overview: { place: '' },
  requests: { place: 'requests' },
  keys: { place: 'keys' },
  'keys-add': { place: 'keys/add' },
  key: { place: 'keys/k_anna' },
  usage: { place: 'usage' },
  gateway: { place: 'gateway', prepare: ({ panel }) => panel.operate() },
  fleet: { place: 'gateway', prepare: isOfFleet },
  devices: { place: 'keys', prepare: ({ panel }) => panel.addDevices('claude-code', 'laptop') },
  device: { place: 'keys/k_anna', prepare: ({ panel }) => panel.addDevices('codex', 'laptop') },
  running: { place: 'requests', prepare: hasRunning },
  start: { place: 'start' },
  'sign-in': { place: '', prepare: asksForKey },
  first: { place: '', prepare: isNew },
  amber: { place: '', prepare: (stand) => fails(stand, 1) },
  red: { place: '', prepare: (stand) => fails(stand, 3) },
  'signed-out': { place: '', prepare: isSignedOut },
  failed: { place: 'requests?failed=true', act: openFailed },
  secret: { place: 'keys/add', act: addKey },
  'operator-first': { place: 'keys/add', prepare: (stand) => void (stand.isOpen = true) },
  revoke: { place: 'keys/k_ben', act: (page) => press(page, 'Revoke …') },
  revoked: { place: 'keys/k_ben', act: revoke },
  'no-keys': { place: 'keys', prepare: ({ panel }) => void panel.keys.splice(0) },
  own: { place: '', prepare: isPerson, act: signInAsPerson },
  'read-only': { place: 'gateway', prepare: isReadOnly },
  'long-overview': { place: '', prepare: hasLongNames },
  'long-requests': { place: 'requests?since=7d', prepare: hasLongNames },
  'long-keys': { place: 'keys', prepare: hasLongNames },
  'long-key': { place: 'keys/k_anna', prepare: hasLongNames },
  'long-usage': { place: 'usage', prepare: hasLongNames }
}

const VIEWS = {
  light: WIDE,
  dark: { ...WIDE, colorScheme: 'dark' },
  phone: PHONE,
  narrow: { width: 320, height: 640, colorScheme: 'light' }
} as const

const LONG_NAME = 'the-continuous-integration-of-the-payments-team-in-frankfurt'
const LONG_MODEL = 'claude-sonnet-5.5-with-a-million-tokens-of-context-20261101-preview'

const { all, only = '' } = parseArgs({
  options: { all: { type: 'string' }, only: { type: 'string' } }
}).values
const folder = all === undefined ? join(ROOT, 'docs') : resolve(all)
mkdirSync(folder, { recursive: true })
const executable = findChromium()
if (executable === null) throw new Error(NO_CHROMIUM)
const browser = await Browser.start({ executable, timezoneId: 'Europe/Berlin' })
try {
  for (const picture of all === undefined ? PICTURES : everyScene()) await take(picture, browser)
} finally {
  await browser.close()
}

function everyScene(): readonly Picture[] {
  return Object.entries(SCENES).flatMap(([name, scene]) =>
    Object.entries(VIEWS)
      .map(([view, size]) => ({ ...scene, ...size, name: `${name}-${view}`, isWhole: true }))
      .filter((picture) => picture.name.includes(only))
  )
}

async function take(picture: Picture, browser: Browser): Promise<void> {
  const { name, place, prepare, act, width, height, colorScheme, isWhole = false } = picture
  const snapshot = madeUpSnapshot(AT)
  const requests = [
    ...snapshot.requests.slice(0, -2),
    failedRequest(),
    ...snapshot.requests.slice(-2)
  ]
  const stand = await new PageStand({ ...snapshot, requests }).start()
  prepare?.(stand)
  const page = await browser.open()
  await page.context().clearCookies() // which have no ports
  try {
    await page.setViewportSize({ width, height })
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.clock.setFixedTime(AT)
    await page.goto(`${stand.url}#/${place}`)
    await page.locator('#board, #sign-in').first().waitFor()
    await page.getByText('Loading …').first().waitFor({ state: 'detached' })
    await act?.(page)
    await page.mouse.move(0, 0)
    await page.locator('#live[data-state="late"]').waitFor({ state: 'detached' })
    const path = join(folder, `${name}.png`)
    await page.screenshot({ path, animations: 'disabled', fullPage: isWhole })
    const kilobytes = Math.ceil(statSync(path).size / 1000)
    process.stdout.write(`${relative(ROOT, path)} ${kilobytes} KB\n`)
  } finally {
    await page.close()
    await stand.stop()
  }
}

/** One that was tried again in vain. */
function failedRequest(): EndedRequest {
  const at = AT - 1_500
  for (let n = 1_000; ; n++) {
    const request = madeUpRequest(n, at)
    if (request.attempts > 1) return request
  }
}

function press(page: Page, name: string): Promise<void> {
  return page.getByRole('button', { name }).click()
}

async function openFailed(page: Page): Promise<void> {
  await page.locator('tr[data-request-id]:not([data-code=""])').first().click()
}

async function addKey(page: Page): Promise<void> {
  await page.getByLabel('Name').fill('eve')
  await page.getByLabel('Credits').fill('50')
  await press(page, 'Add the key')
  await page.getByRole('region', { name: 'The key of eve' }).waitFor()
}

async function revoke(page: Page): Promise<void> {
  await press(page, 'Revoke …')
  await press(page, 'Yes, revoke ben')
  await page.getByText('can no longer get in').first().waitFor()
}

function asksForKey(stand: PageStand): void {
  stand.key = 'a-key-of-the-operator'
}

function isPerson(stand: PageStand): void {
  stand.key = 'kgw_of_anna'
  stand.role = 'person'
}

async function signInAsPerson(page: Page): Promise<void> {
  await page.getByLabel('Key').fill('kgw_of_anna')
  await press(page, 'Sign in')
  await page.locator('tr[data-request-id]').first().waitFor()
}

function isReadOnly(stand: PageStand): void {
  const message = 'Changes need TLS. Open this page by https, or on the machine itself.'
  stand.whyNot = { code: 'GW_TLS_REQUIRED', message }
}

/** A gateway that was started a moment ago, without a sign-in. */
function isNew(stand: PageStand): void {
  const { snapshot } = stand
  const { account, now, history } = snapshot
  const signIn = { ...account.signIn, state: 'simulator', method: null, expiresAt: null } as const
  const requests = { ...now.requests, inFlight: 0, streams: 0, total: 0, failed: 0 }
  const members = now.connections.members.map((one) => ({ ...one, inUse: 0, idle: 0 }))
  const connections = { ...now.connections, inUse: 0, idle: 0, members }
  stand.panel.isUnused = true
  stand.isOpen = true
  stand.snapshot = {
    ...snapshot,
    account: { ...account, isSimulated: true, quota: null, outlook: null, signIn, startedAt: AT },
    now: { ...now, requests, connections, errors: [], credits: { total: 0, perHour: 0 } },
    keys: { list: [], more: 0 },
    requests: [],
    history: { at: history.at.slice(0, 0), columns: history.columns }
  }
}

function isSignedOut(stand: PageStand): void {
  const { account } = stand.snapshot
  const message = 'The Kiro sign-in is no longer valid. Sign in again.'
  const problem = { code: 'GW_UPSTREAM_AUTH', message }
  const signIn = { ...account.signIn, isUsable: false, state: 'signed-out', problem } as const
  const quota = account.quota && { ...account.quota, remaining: null, used: null, limit: null }
  stand.snapshot = {
    ...stand.snapshot,
    account: { ...account, signIn, quota: quota && { ...quota, problem } }
  }
}

/** The last requests failed through the upstream's fault. */
function fails(stand: PageStand, count: number): void {
  const { snapshot } = stand
  const failing = {
    level: count < 3 ? 'amber' : 'red',
    count,
    code: 'GW_UPSTREAM_UNREACHABLE',
    reason: 'The upstream refused the connection (ECONNREFUSED).',
    at: AT - 2_000
  } as const
  const failed = Array.from({ length: count }, (_, index) => ({
    ...failedRequest(),
    n: 9_000 + index,
    at: AT - 2_000 - 900 * index,
    status: 502,
    code: failing.code,
    failure: { reason: failing.reason, detail: '', upstreamStatus: null, upstreamId: null }
  })).toReversed()
  stand.snapshot = {
    ...snapshot,
    requests: [...snapshot.requests, ...failed],
    now: { ...snapshot.now, requests: { ...snapshot.now.requests, failing } }
  }
}

/** One of three gateways, whose account has used up its month. */
function isOfFleet(stand: PageStand): void {
  const { snapshot } = stand
  const { account, now } = snapshot
  const message = 'Kiro says that the monthly limit is reached.'
  const until = AT + 3 * 3_600_000
  const problems = [{ code: 'GW_UPSTREAM_QUOTA', message, until, bar: 'monthly' }]
  const fleet = madeUpFleet()
  stand.snapshot = { ...snapshot, now: { ...now, fleet }, account: { ...account, problems } }
}

function hasRunning(stand: PageStand): void {
  const { snapshot } = stand
  const steps = ['answering', 'asking', 'waiting'] as const
  const running = steps.map((step, index) => {
    const { id, key, client, model, worker } = madeUpRequest(7_000 + index, AT)
    return { id, key, client, model, worker, step, at: AT - 9_400 + 4_100 * index }
  })
  stand.snapshot = { ...snapshot, now: { ...snapshot.now, running } }
}

function hasLongNames(stand: PageStand): void {
  const long = (request: EndedRequest): EndedRequest =>
    request.n % 2 === 0
      ? { ...request, key: LONG_NAME, model: LONG_MODEL, client: LONG_NAME }
      : request
  const { keys, requests } = stand.snapshot
  stand.snapshot = {
    ...stand.snapshot,
    requests: requests.map(long),
    keys: {
      ...keys,
      list: keys.list.map((key, at) => (at === 0 ? { ...key, name: LONG_NAME } : key))
    }
  }
  stand.panel.lengthen(LONG_NAME, LONG_MODEL)
}
