import { mkdirSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { EndedRequest } from '../../src/dashboard/feed.ts'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { madeUpRequest, madeUpSnapshot } from '../helper/made-up-figures.ts'
import { PageStand } from '../helper/page-stand.ts'

/*
 * Pictures of the panel: the page itself, told of a day that is made up (test/helper/made-up-figures.ts).
 *
 *   npm run pictures                    those of docs/
 *   npm run pictures -- --all FOLDER    each place, light, dark and on a phone, to be looked at
 */

const ROOT = join(import.meta.dirname, '../..')
const AT = Date.UTC(2026, 10, 26, 13, 42, 17)

interface Picture {
  readonly name: string
  readonly place: string
  readonly width: number
  readonly height: number
  readonly colorScheme: 'light' | 'dark'
  /** The whole length of the page. */
  readonly isWhole?: boolean
  /** A request whose details are open. */
  readonly opens?: boolean
}

const WIDE = { width: 1280, height: 900, colorScheme: 'light' } as const
const PHONE = { width: 390, height: 844, colorScheme: 'dark' } as const

const PICTURES: readonly Picture[] = [
  { name: 'dashboard-light', place: '', ...WIDE },
  { name: 'dashboard-dark', place: '', ...WIDE, colorScheme: 'dark' },
  { name: 'dashboard-phone', place: '', ...PHONE },
  { name: 'dashboard-requests', place: 'requests?failed=true', ...WIDE, height: 860, opens: true },
  { name: 'dashboard-keys', place: 'keys', ...WIDE, height: 560 },
  { name: 'dashboard-usage', place: 'usage', ...WIDE, colorScheme: 'dark' },
  { name: 'dashboard-start', place: 'start', ...WIDE, height: 720 }
]

const PLACES = ['', 'requests', 'keys', 'keys/add', 'keys/k_anna', 'usage', 'gateway', 'start']

const { all } = parseArgs({ options: { all: { type: 'string' } } }).values
const folder = all === undefined ? join(ROOT, 'docs') : resolve(all)
mkdirSync(folder, { recursive: true })
const executable = findChromium()
if (executable === null) throw new Error(NO_CHROMIUM)
const snapshot = madeUpSnapshot(AT)
const stand = await new PageStand({
  ...snapshot,
  requests: [...snapshot.requests.slice(0, -2), failedRequest(), ...snapshot.requests.slice(-2)]
}).start()
try {
  for (const picture of all === undefined ? PICTURES : everyPlace()) await take(picture, executable)
} finally {
  await stand.stop()
}

function everyPlace(): readonly Picture[] {
  return PLACES.flatMap((place) => {
    const name = place === '' ? 'overview' : place.replace('/', '-')
    return [
      { name: `${name}-light`, place, ...WIDE, isWhole: true },
      { name: `${name}-dark`, place, ...WIDE, colorScheme: 'dark' as const, isWhole: true },
      { name: `${name}-phone`, place, ...PHONE, isWhole: true }
    ]
  })
}

/** One that was tried again in vain. */
function failedRequest(): EndedRequest {
  const at = AT - 1_500
  for (let n = 1_000; ; n++) {
    const request = madeUpRequest(n, at)
    if (request.attempts > 1) return request
  }
}

async function take(picture: Picture, executable: string): Promise<void> {
  const { name, place, width, height, colorScheme, isWhole = false, opens } = picture
  const timezoneId = 'Europe/Berlin'
  const browser = await Browser.start({ executable, width, height, colorScheme, timezoneId })
  try {
    const { page } = browser
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.clock.setFixedTime(AT)
    await page.goto(`${stand.url}#/${place}`)
    await page.locator('#board').waitFor()
    await page.getByText('Loading …').first().waitFor({ state: 'detached' })
    if (place.startsWith('requests') || place === '') {
      await page.locator('tr[data-request-id]').first().waitFor()
    }
    if (opens === true) {
      await page.locator('tr[data-request-id]:not([data-code=""])').first().click()
    }
    await page.mouse.move(0, 0)
    const path = join(folder, `${name}.png`)
    await page.screenshot({ path, animations: 'disabled', fullPage: isWhole })
    const kilobytes = Math.ceil(statSync(path).size / 1000)
    process.stdout.write(`${relative(ROOT, path)} ${kilobytes} KB\n`)
  } finally {
    await browser.close()
  }
}
