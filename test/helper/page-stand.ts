import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Snapshot } from '../../src/dashboard/feed.ts'

const PAGE = join(import.meta.dirname, '../../src/dashboard/page')
const UPLOT = join(createRequire(import.meta.url).resolve('uplot'), '..')

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml'
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'"
].join('; ')

/** The page of the dashboard, with whatever the test makes up for it in place of a gateway. */
export class PageStand {
  /** What a page is told first. */
  snapshot: Snapshot
  /** What it takes to sign in; `null` where nothing is needed. */
  key: string | null = null
  /** How many feeds there were. */
  opened = 0
  readonly #files = readFiles()
  /** Bounded by the pages that are open. */
  readonly #feeds = new Set<ServerResponse>()
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  #port = 0

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot
  }

  /** On a free port at first, and on the same after `stop`. */
  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`
  }

  /** How many pages listen. */
  get listening(): number {
    return this.#feeds.size
  }

  tell(event: string, value: unknown): void {
    for (const feed of this.#feeds) write(feed, event, value)
  }

  /** The feeds end, as where a worker goes. */
  leave(): void {
    this.tell('leaving', {})
    for (const feed of this.#feeds) feed.end()
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const isSignedIn = this.key === null || request.headers.cookie?.includes('stand=1') === true
    if (path === '/dashboard/session') return this.#session(request, response, isSignedIn)
    if (path === '/dashboard/events') return this.#listen(response, isSignedIn)
    const name = path === '/' ? 'index.html' : path.replace(/^\/dashboard\//, '')
    const file = this.#files.get(name)
    if (file === undefined) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(name)],
      'content-security-policy': POLICY
    })
    response.end(file)
  }

  async #session(
    request: IncomingMessage,
    response: ServerResponse,
    isSignedIn: boolean
  ): Promise<void> {
    const json = (status: number, value: object, headers = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(value))
    }
    if (request.method === 'GET') {
      const isKeyNeeded = this.key !== null
      return json(200, { isKeyNeeded, isSignedIn, canSignIn: true, expiresAt: null })
    }
    if (request.method === 'DELETE') {
      response.writeHead(204, { 'set-cookie': 'stand=; Max-Age=0; Path=/' }).end()
      return
    }
    const { key } = JSON.parse(await text(request)) as { key: string }
    if (key === this.key) {
      return json(200, { isSignedIn: true }, { 'set-cookie': 'stand=1; HttpOnly; Path=/' })
    }
    json(401, { error: { code: 'GW_KEY_INVALID', message: 'That is no key of the operator.' } })
  }

  #listen(response: ServerResponse, isSignedIn: boolean): void {
    if (!isSignedIn) {
      response.writeHead(401).end()
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    this.opened += 1
    this.#feeds.add(response)
    response.on('close', () => this.#feeds.delete(response))
    write(response, 'snapshot', this.snapshot)
  }
}

function write(feed: ServerResponse, event: string, value: unknown): void {
  feed.write(`event: ${event}\nid: 1\ndata: ${JSON.stringify(value)}\n\n`)
}

function readFiles(): ReadonlyMap<string, Buffer> {
  const own = readdirSync(PAGE).map((name) => [name, readFileSync(join(PAGE, name))] as const)
  return new Map([
    ...own,
    ['uplot.js', readFileSync(join(UPLOT, 'uPlot.iife.min.js'))],
    ['uplot.css', readFileSync(join(UPLOT, 'uPlot.min.css'))]
  ])
}
