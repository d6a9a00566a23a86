import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GatewayError } from '../../shared/errors.ts'
import type { RoutedRequest } from './router.ts'

/** Found by a file: the builds for package and image move files, not folders. */
const FOLDER = dirname(fileURLToPath(new URL('../../dashboard/page/index.html', import.meta.url)))

/** Files of packages that the page needs, by their path there. Those of lit import each other by relative paths. */
export const PACKAGE_FILES: ReadonlyMap<string, readonly [name: string, file: string]> = new Map([
  ['uplot.js', ['uplot', 'dist/uPlot.iife.min.js']],
  ['uplot.css', ['uplot', 'dist/uPlot.min.css']],
  ['lit/lit-html.js', ['lit-html', 'lit-html.js']],
  ['lit/directive.js', ['lit-html', 'directive.js']],
  ['lit/directive-helpers.js', ['lit-html', 'directive-helpers.js']],
  ['lit/directives/guard.js', ['lit-html', 'directives/guard.js']],
  ['lit/directives/repeat.js', ['lit-html', 'directives/repeat.js']]
])

const TYPES: ReadonlyMap<string, string> = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.svg', 'image/svg+xml']
])

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}$/

/** Policy that runs only our own files, and no inline scripts. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'"
].join('; ')

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache'
} as const

interface PageFile {
  readonly bytes: Buffer
  readonly etag: string
  readonly version: string
}

/** Read on request, and cached while unchanged. */
export class PageFiles {
  /** Bounded by the files that there are. */
  readonly #files = new Map<string, PageFile>()

  /** @throws {GatewayError} GW_ROUTE_UNKNOWN */
  async serve({ request, response }: RoutedRequest, name: string): Promise<void> {
    const type = TYPES.get(extname(name))
    const isName = NAME.test(name) || PACKAGE_FILES.has(name)
    const file = type !== undefined && isName ? await this.#read(name) : null
    if (type === undefined || file === null) {
      const message = 'The dashboard has no such file.'
      throw new GatewayError('GW_ROUTE_UNKNOWN', undefined, { message })
    }
    const { bytes, etag } = file
    const headers = { ...HEADERS, etag }
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, headers).end()
      return
    }
    const length = { 'content-type': type, 'content-length': bytes.byteLength }
    response.writeHead(200, { ...headers, ...length }).end(bytes)
  }

  async #read(name: string): Promise<PageFile | null> {
    try {
      const path = pathOf(name)
      const { size, mtimeMs } = await stat(path)
      const version = `${size} ${mtimeMs}`
      const known = this.#files.get(name)
      if (known?.version === version) return known
      const bytes = await readFile(path)
      const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
      const file = { bytes, etag, version }
      this.#files.set(name, file)
      return file
    } catch {
      return null
    }
  }
}

/** Text of a style sheet for a page that is made here. Rejects if it is missing. */
export function pageFileText(name: 'theme.css' | 'device.css'): Promise<string> {
  return readFile(join(FOLDER, name), 'utf8')
}

function pathOf(name: string): string {
  const inPackage = PACKAGE_FILES.get(name)
  return inPackage === undefined ? join(FOLDER, name) : packageFile(...inPackage)
}

/** Path of a file that the package may not export; what it exports for Node is not what browsers need. */
export function packageFile(name: string, file: string): string {
  const description = findPackageJSON(name, import.meta.url)
  if (description === undefined) throw new Error(`The package ${name} is not installed`)
  return join(dirname(description), file)
}
