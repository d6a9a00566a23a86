import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import type { EndedRequest } from '../../src/dashboard/feed.ts'
import { madeUpRequest, madeUpSnapshot } from '../helper/made-up-figures.ts'
import { PageStand } from '../helper/page-stand.ts'

/*
 * The pictures of the dashboard in docs/: the page itself, told of a day that is made up (test/helper/made-up-figures.ts).
 *
 *   npm run pictures
 */

const DOCS = join(import.meta.dirname, '../../docs')
const AT = Date.UTC(2026, 10, 26, 13, 42, 17)

interface Picture {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly colorScheme: 'light' | 'dark'
  /** What is at the top of it, where that is not the top of the page. */
  readonly from?: string
  /** A request whose details are open. */
  readonly opens?: boolean
}

const PICTURES: readonly Picture[] = [
  { name: 'dashboard-light', width: 1280, height: 900, colorScheme: 'light' },
  { name: 'dashboard-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'dashboard-phone', width: 390, height: 844, colorScheme: 'dark' },
  {
    name: 'dashboard-requests',
    width: 1280,
    height: 700,
    colorScheme: 'light',
    from: '#requests',
    opens: true
  }
]

const executable = findChromium()
if (executable === null) throw new Error(NO_CHROMIUM)
const snapshot = madeUpSnapshot(AT)
const stand = await new PageStand({
  ...snapshot,
  requests: [...snapshot.requests.slice(0, -2), failedRequest(), ...snapshot.requests.slice(-2)]
}).start()
try {
  for (const picture of PICTURES) await take(picture, executable)
} finally {
  await stand.stop()
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
  const { name, width, height, colorScheme, from, opens } = picture
  const timezoneId = 'Europe/Berlin'
  const browser = await Browser.start({ executable, width, height, colorScheme, timezoneId })
  try {
    const { page } = browser
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.goto(stand.url)
    await page.locator('tr[data-request-id]').first().waitFor()
    if (opens === true) {
      await page.locator('tr[data-request-id]:not([data-code=""])').first().click()
    }
    if (from !== undefined) {
      await page.evaluate(`
        const { top } = document.querySelector('${from}').closest('section').getBoundingClientRect()
        scrollTo(0, top + scrollY - 64)
      `)
    }
    await page.mouse.move(0, 0)
    const path = join(DOCS, `${name}.png`)
    await page.screenshot({ path, animations: 'disabled' })
    process.stdout.write(`docs/${name}.png ${Math.ceil(statSync(path).size / 1000)} KB\n`)
  } finally {
    await browser.close()
  }
}
