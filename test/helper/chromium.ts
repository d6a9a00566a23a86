import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'

/** Where Debian, Ubuntu, Fedora and macOS have one; `CHROMIUM` names another. */
const PLACES = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
]

/** Nothing that speaks to anybody but the gateway. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

const EXAMPLES = '--host-resolver-rules=MAP *.example 127.0.0.1'

/**
 * The Chromium of this machine; `null` where there is none, and why its tests are skipped.
 * With `CHROMIUM_REQUIRED`, as in CI, its absence is an error: tests that nobody runs prove nothing.
 */
export function findChromium(): string | null {
  const found = PLACES.find((path) => path !== undefined && path !== '' && existsSync(path))
  if (found === undefined && process.env['CHROMIUM_REQUIRED'] !== undefined) {
    throw new Error('CHROMIUM_REQUIRED is set, and there is no Chromium: apt-get install chromium')
  }
  return found ?? null
}

export const NO_CHROMIUM = 'there is no Chromium here: apt-get install chromium, or set CHROMIUM'

export interface BrowserOptions {
  readonly executable: string
  readonly width?: number
  readonly height?: number
  readonly colorScheme?: 'light' | 'dark'
  readonly deviceScaleFactor?: number
  readonly timezoneId?: string
  /** Every name below `.example` is this machine. */
  readonly knowsExamples?: boolean
  /** Certificates of a CA that the machine does not know are taken. */
  readonly ignoreHTTPSErrors?: boolean
}

/** A browser with a profile of its own, and what went wrong on its pages. */
export class Browser {
  readonly page: Page
  /** Errors and warnings of the console, and exceptions nobody caught. Bounded by the test. */
  readonly complaints: string[] = []
  /** Addresses that were asked for. Bounded by the test. */
  readonly requested: string[] = []
  readonly #context: BrowserContext
  readonly #profile: string

  private constructor(context: BrowserContext, page: Page, profile: string) {
    this.#context = context
    this.#profile = profile
    this.page = page
    context.on('console', (message) => {
      const { url } = message.location()
      if (['error', 'warning'].includes(message.type()))
        this.complaints.push(`${message.text()} (${url})`)
    })
    context.on('weberror', (error) => this.complaints.push(String(error.error().stack)))
    context.on('request', (request) => this.requested.push(request.url()))
  }

  static async start(options: BrowserOptions): Promise<Browser> {
    const { executable, width = 1280, height = 900, colorScheme = 'light', ...more } = options
    const { knowsExamples = false, ...rest } = more
    const profile = mkdtempSync(join(tmpdir(), 'kiro-gateway-chromium-'))
    const context = await chromium.launchPersistentContext(profile, {
      ...rest,
      executablePath: executable,
      headless: true,
      args: knowsExamples ? [...FLAGS, EXAMPLES] : FLAGS,
      viewport: { width, height },
      colorScheme,
      locale: 'en-GB',
      timeout: 120_000
    })
    context.setDefaultTimeout(120_000)
    return new Browser(context, context.pages()[0] ?? (await context.newPage()), profile)
  }

  /** Another tab of the same profile. */
  open(): Promise<Page> {
    return this.#context.newPage()
  }

  async close(): Promise<void> {
    await this.#context.close()
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds serious, critical or moderate, a line each. */
export async function findBarriers(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE)
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<AxeResults> } }
    const { violations } = await axe.run()
    return violations
      .filter(({ impact }) => impact !== 'minor')
      .flatMap(({ id, impact, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id} (${impact}): ${html} ${failureSummary}`)
      )
  })
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string
    readonly impact: string
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
  }[]
}
