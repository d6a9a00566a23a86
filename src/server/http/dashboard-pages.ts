import type { ServerResponse } from 'node:http'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { DashboardNews, DashboardWish } from '../../ipc/dashboard.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { WorkerMetrics } from './worker-metrics.ts'
import type { OpenTurns } from '../worker/open-turns.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'

type Opened = Extract<DashboardNews, { readonly name: 'opened' }>

export interface DashboardPagesOptions {
  readonly channel: ToPrimary
  readonly pulse: Pick<PrimaryPulse, 'silence'>
  readonly metrics: Pick<WorkerMetrics, 'shown'>
  readonly turns: Pick<OpenTurns, 'shown'>
  readonly isLeaving: () => boolean
  readonly checkMs?: number
}

interface Newcomer {
  readonly response: ServerResponse
  readonly isAllowed: () => boolean
  readonly answer: PromiseWithResolvers<void>
}

/** Interval of checks that pages still may. */
const CHECK_MS = 10_000
/** Limit of our own buffers; a first event has some 100 KB. `UnreadWatch` bounds what is in the system's. */
const MAX_UNSENT_BYTES = 512 * 1024

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no', // for nginx
  'x-content-type-options': 'nosniff',
  connection: 'close' // a stream that has ended leaves nothing to wait for
} as const

/** Milliseconds until the browser reconnects. */
const RETRY = 'retry: 500\n\n'
const UNASKED = 0
const LEAVING_EVENT = 'event: leaving\ndata: {}\n\n'

/**
 * The primary writes each event once for all pages, limits their number, and sends nothing to a worker
 * without any. Pages are not turns: they delay no shutdown, and hold little memory.
 */
export class DashboardPages {
  readonly #options: DashboardPagesOptions
  /** Bounded by what the primary lets in. */
  readonly #pages = new Set<Newcomer>()
  /** Bounded by the connections of clients, like the next. */
  #newcomers: readonly Newcomer[] = []
  #asked: { readonly requestId: number; readonly newcomers: readonly Newcomer[] } | null = null
  #nextId = 1
  #timer: NodeJS.Timeout | null = null
  #lookTimer: NodeJS.Timeout | null = null

  constructor(options: DashboardPagesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#pages.size
  }

  /**
   * Resolves after the first events. `isAllowed` is asked again every 10 s.
   * @throws {GatewayError} GW_DASHBOARD_FULL, GW_PRIMARY_SILENT
   */
  open(response: ServerResponse, isAllowed: () => boolean): Promise<void> {
    if (this.#options.isLeaving()) {
      // After an error the page would have to find out by itself that another worker is there.
      response.writeHead(200, HEADERS).end(RETRY + LEAVING_EVENT)
      return Promise.resolve()
    }
    const answer = Promise.withResolvers<void>()
    this.#newcomers = [...this.#newcomers, { response, isAllowed, answer }]
    this.#ask()
    return answer.promise
  }

  onNews(news: DashboardNews): void {
    switch (news.name) {
      case 'opened':
        return this.#onOpened(news)
      case 'events':
        if (news.lookInMs !== undefined) this.#lookIn(news.lookInMs)
        return this.#onEvents(news.events)
      case 'look':
        void this.#tellHowWeStand(news.requestId) // cannot reject
    }
  }

  #lookIn(ms: number): void {
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer)
    this.#lookTimer = setTimeout(() => void this.#tellHowWeStand(UNASKED), ms).unref() // cannot reject
  }

  async #tellHowWeStand(requestId: number): Promise<void> {
    const metrics = await this.#options.metrics.shown()
    this.#wish({ name: 'seen', requestId, metrics, running: this.#options.turns.shown() })
  }

  /** New pages begin here, as the primary's next events build on these. */
  #onOpened({ requestId, pages, events }: Opened): void {
    if (this.#asked?.requestId !== requestId) return this.#left(pages) // given up
    const { newcomers } = this.#asked
    this.#asked = null
    const there = newcomers.filter(({ response }) => !response.destroyed)
    const bytes = Buffer.from(RETRY + events)
    for (const newcomer of there.slice(0, pages)) this.#begin(newcomer, bytes)
    for (const { answer } of there.slice(pages))
      answer.reject(new GatewayError('GW_DASHBOARD_FULL'))
    for (const { answer } of newcomers) answer.resolve() // who is gone needs no answer
    this.#left(pages - Math.min(pages, there.length))
    this.#ask()
  }

  #onEvents(events: string): void {
    const bytes = Buffer.from(events)
    for (const page of this.#pages) this.#write(page, bytes)
  }

  /** Ends all pages: they find another worker, or learn that the gateway is gone. */
  close(): void {
    for (const { response } of this.#pages) response.end(LEAVING_EVENT)
  }

  #ask(): void {
    if (this.#asked !== null || this.#newcomers.length === 0) return
    const { silence } = this.#options.pulse
    const requestId = this.#nextId++
    const newcomers = this.#newcomers
    this.#newcomers = []
    this.#asked = { requestId, newcomers }
    const giveUp = (): void => {
      if (this.#asked?.requestId !== requestId) return
      this.#asked = null
      for (const { answer } of newcomers) answer.reject(silence.reason)
      this.#ask()
    }
    if (silence.aborted) return giveUp()
    silence.addEventListener('abort', giveUp, { once: true })
    const forget = (): void => silence.removeEventListener('abort', giveUp)
    for (const { answer } of newcomers) answer.promise.then(forget, forget)
    this.#wish({ name: 'open', requestId, pages: newcomers.length })
  }

  #begin(page: Newcomer, bytes: Buffer): void {
    const { response } = page
    this.#pages.add(page)
    response.once('close', () => {
      this.#pages.delete(page)
      this.#left(1)
      if (this.#pages.size > 0 || this.#timer === null) return
      clearInterval(this.#timer)
      this.#timer = null
    })
    response.writeHead(200, HEADERS)
    this.#write(page, bytes)
    const { checkMs = CHECK_MS } = this.#options
    this.#timer ??= setInterval(() => this.#check(), checkMs).unref()
  }

  #write({ response }: Newcomer, bytes: Buffer): void {
    if (response.writableEnded) return
    if (response.writableLength > MAX_UNSENT_BYTES) response.socket?.resetAndDestroy()
    else response.write(bytes)
  }

  #left(pages: number): void {
    if (pages > 0) this.#wish({ name: 'left', pages })
  }

  #wish(wish: DashboardWish): void {
    this.#options.channel.send({ type: 'dashboard.wish', wish })
  }

  #check(): void {
    for (const { response, isAllowed } of this.#pages) {
      if (!isAllowed() && !response.writableEnded) response.end(LEAVING_EVENT)
    }
  }
}
