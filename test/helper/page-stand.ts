import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { NowFigures, Snapshot } from '../../src/dashboard/feed.ts'
import { judge } from '../../src/dashboard/verdict.ts'
import { PACKAGE_FILES, packageFile } from '../../src/server/http/page-files.ts'
import type { JsonObject } from '../../src/shared/json.ts'
import { MadeUpPanel } from './made-up-panel.ts'

const PAGE = join(import.meta.dirname, '../../src/dashboard/page')

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

/** A page that hears nothing for longer says that its figures are old. */
const BEAT_MS = 1_000

/** The page of the dashboard, with whatever the test makes up for it in place of a gateway. */
export class PageStand {
  /** What a page is told first. */
  snapshot: Snapshot
  /** What it takes to sign in; `null` where nothing is needed. */
  key: string | null = null
  /** As a gateway without any key. */
  isOpen = false
  /** Who signs in with `key`. */
  role: 'operator' | 'person' = 'operator'
  /** Why nothing may be changed, else `null`. */
  whyNot: { readonly code: string; readonly message: string } | null = null
  /** Grows when the gateway has forgotten its tokens, as after a restart. */
  csrf = 1
  /** Nothing is told but what the test tells; else the figures of now each second, as by a gateway. */
  isSilent = false
  /** How many feeds there were. */
  opened = 0
  readonly panel: MadeUpPanel
  readonly #files = readFiles()
  /** Bounded by the pages that are open. */
  readonly #feeds = new Set<ServerResponse>()
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  #port = 0
  #beat: NodeJS.Timeout | undefined

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot
    this.panel = new MadeUpPanel(() => this.snapshot)
  }

  /** On a free port at first, and on the same after `stop`. */
  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
    this.#beat = setInterval(() => {
      if (!this.isSilent) this.tick(this.snapshot.now)
    }, BEAT_MS)
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

  /** Tells the figures of now, judged as the gateway does. They hold until there are others, also for pages that come back. */
  tick(figures: NowFigures): void {
    const now = { ...figures, verdict: judge(figures, this.snapshot.account) }
    this.snapshot = { ...this.snapshot, now }
    this.tell('tick', now)
  }

  /** The feeds end, as where a worker goes. */
  leave(): void {
    this.tell('leaving', {})
    for (const feed of this.#feeds) feed.end()
  }

  async stop(): Promise<void> {
    clearInterval(this.#beat)
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
    if (path.startsWith('/admin/v1/')) return this.#admin(request, response)
    if (path.startsWith('/v1/')) return answerClient(request, response)
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
      return json(200, this.#sessionOf(isSignedIn))
    }
    if (request.method === 'DELETE') {
      response.writeHead(204, { 'set-cookie': 'stand=; Max-Age=0; Path=/' }).end()
      return
    }
    const { key } = JSON.parse(await text(request)) as { key: string }
    if (key === this.key) {
      return json(200, this.#sessionOf(true), { 'set-cookie': 'stand=1; HttpOnly; Path=/' })
    }
    json(401, { error: { code: 'GW_KEY_INVALID', message: 'That is no key of the operator.' } })
  }

  #sessionOf(isSignedIn: boolean): object {
    return {
      isKeyNeeded: !this.isOpen,
      isSignedIn,
      canSignIn: true,
      expiresAt: null,
      role: isSignedIn ? this.role : null,
      name: this.role === 'person' ? 'anna' : 'operator',
      csrf: isSignedIn ? String(this.csrf) : null,
      mayChange: this.whyNot === null,
      whyNot: this.whyNot,
      ways: ['key'],
      hasDevices: true
    }
  }

  async #admin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', headers } = request
    const given = await text(request)
    if (method === 'POST') await this.panel.mayAnswer
    const isForged = method === 'POST' && headers['x-csrf-token'] !== String(this.csrf)
    const message = 'The page is older than the gateway. Press again.'
    const refusal = {
      status: 403,
      body: { error: { code: 'GW_CSRF_INVALID', message, param: null } },
      type: undefined
    }
    const body = given === '' ? {} : (JSON.parse(given) as JsonObject)
    const url = new URL(request.url ?? '', this.url)
    const answer = isForged ? refusal : this.panel.answer(method, url, body)
    response.writeHead(answer.status, { 'content-type': answer.type ?? 'application/json' })
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
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
    const { now, account } = this.snapshot
    write(response, 'snapshot', { ...this.snapshot, now: { ...now, verdict: judge(now, account) } })
  }
}

function write(feed: ServerResponse, event: string, value: unknown): void {
  feed.write(`event: ${event}\nid: 1\ndata: ${JSON.stringify(value)}\n\n`)
}

/** A client's request, which the page makes for its test prompt. */
async function answerClient(request: IncomingMessage, response: ServerResponse): Promise<void> {
  await text(request)
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ data: [{ id: 'claude-sonnet-5.5' }, { id: 'gpt-5.5' }] }))
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const chunk = (value: object): void => {
    response.write(`data: ${JSON.stringify({ model: 'claude-sonnet-5.5', ...value })}\n\n`)
  }
  for (const word of ['Hello ', 'from ', 'Kiro.'])
    chunk({ choices: [{ delta: { content: word } }] })
  chunk({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 5, credits_used: 0.01 } })
  response.end('data: [DONE]\n\n')
}

function readFiles(): ReadonlyMap<string, Buffer> {
  const own = readdirSync(PAGE, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [name, readFileSync(join(PAGE, name))] as const)
  const packaged = [...PACKAGE_FILES].map(
    ([name, place]) => [name, readFileSync(packageFile(...place))] as const
  )
  return new Map([...own, ...packaged])
}
