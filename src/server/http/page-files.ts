import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GatewayError } from '../../shared/errors.ts'
import type { RoutedRequest } from './router.ts'

/** Found by a file: the builds for package and image move files, not folders. */
const FOLDER = dirname(fileURLToPath(new URL('../../dashboard/page/index.html', import.meta.url)))

/** Files of packages that the page needs, by their name there. */
const FROM_PACKAGES: ReadonlyMap<string, string> = new Map([
  ['uplot.js', 'uplot/dist/uPlot.iife.min.js'],
  ['uplot.css', 'uplot/dist/uPlot.min.css']
])

const TYPES: ReadonlyMap<string, string> = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
  ['.png', 'image/png'],
  ['.ico', 'image/x-icon'],
  ['.woff2', 'font/woff2'],
  ['.webmanifest', 'application/manifest+json']
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
    const file = type !== undefined && NAME.test(name) ? await this.#read(name) : null
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

function pathOf(name: string): string {
  const inPackage = FROM_PACKAGES.get(name)
  return inPackage === undefined
    ? join(FOLDER, name)
    : createRequire(import.meta.url).resolve(inPackage)
}
