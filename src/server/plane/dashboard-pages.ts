import type { ServerResponse } from 'node:http'
import { Pending, type ToPrimary } from '../../ipc/channel.ts'
import { type DashboardNews, type DashboardWish, SHOWN_METRICS } from '../../ipc/dashboard.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { MetricsDesk } from './metrics-desk.ts'
import type { PrimaryPulse } from './primary-pulse.ts'
import { portPairOf, readUnsentBytes } from './unsent-bytes.ts'

type Opened = Extract<DashboardNews, { readonly name: 'opened' }>

export interface DashboardPagesOptions {
  readonly channel: ToPrimary
  readonly pulse: Pick<PrimaryPulse, 'silence'>
  readonly metrics: Pick<MetricsDesk, 'some'>
  /** The worker will be gone soon. */
  readonly isLeaving: () => boolean
  readonly checkMs?: number
  readonly unreadMs?: number
  /** Bytes that the system has not sent yet, or of which the other side has not said that it has them. */
  readonly unsentBytes?: typeof readUnsentBytes
}

/** A page that wants events and waits for the primary to say whether it may. */
interface Newcomer {
  readonly response: ServerResponse
  readonly isAllowed: () => boolean
  readonly answer: PromiseWithResolvers<void>
}

interface Page extends Pick<Newcomer, 'response' | 'isAllowed'> {
  /** Bytes that the other side has taken for certain. */
  taken: number
  /** `performance.now()` when there were more than before, or nothing was left to take. */
  tookAt: number
}

/** Between two looks at which pages still read, and may. */
const CHECK_MS = 10_000
/** A page that has taken nothing for so long is gone or asleep; what is sent to it lies in the memory of the system. */
const UNREAD_MS = 20_000
/**
 * After so much it is looked where it is. A page is told some 3 KB in a second, and a look takes 10 ms and more: the system goes
 * through all sockets that there are.
 */
const LOOK_BYTES = 256 * 1024
/** Most unsent bytes in our own buffers; a first event has some 100 KB. */
const MAX_UNSENT_BYTES = 512 * 1024

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no', // for nginx
  'x-content-type-options': 'nosniff',
  connection: 'close' // a stream that has ended leaves nothing to wait for
} as const

/** In milliseconds, for when the connection ends. */
const RETRY = 'retry: 500\n\n'
const LEAVING_EVENT = 'event: leaving\ndata: {}\n\n'

/**
 * The pages of the dashboard that this worker keeps up to date. The primary writes the events, once for all of them, says how
 * many pages there may be, and sends nothing to a worker that has none.
 *
 * They are no requests in the sense of the rest: they hold up no shutdown, and none of them holds more than a little memory.
 */
export class DashboardPages {
  readonly #options: DashboardPagesOptions
  /** Bounded by what the primary lets in. */
  readonly #pages = new Set<Page>()
  /** Bounded by the connections of clients, like the next. */
  #newcomers: readonly Newcomer[] = []
  /** For whom the primary has been asked. */
  #asked: { readonly requestId: number; readonly newcomers: readonly Newcomer[] } | null = null
  readonly #tries = new Pending<number>()
  #nextId = 1
  #timer: NodeJS.Timeout | null = null

  constructor(options: DashboardPagesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#pages.size
  }

  /**
   * Resolves when the page has got its first events. `isAllowed` is asked again now and then.
   *
   * @throws {GatewayError} GW_DASHBOARD_FULL, GW_PRIMARY_SILENT
   */
  open(response: ServerResponse, isAllowed: () => boolean): Promise<void> {
    if (this.#options.isLeaving()) {
      // With an error the page would have to find out by itself that another worker is there.
      response.writeHead(200, HEADERS).end(RETRY + LEAVING_EVENT)
      return Promise.resolve()
    }
    const answer = Promise.withResolvers<void>()
    this.#newcomers = [...this.#newcomers, { response, isAllowed, answer }]
    this.#ask()
    return answer.promise
  }

  /** Time in ms before this address may try to sign in; 0 if it may now. @throws {GatewayError} GW_PRIMARY_SILENT */
  mayTry(address: string): Promise<number> {
    return this.#tries.ask((requestId) => {
      this.#wish({ name: 'try', requestId, address })
    }, this.#options.pulse.silence)
  }

  /** The try that was counted last had a right key. */
  signedIn(address: string): void {
    this.#wish({ name: 'signed-in', address })
  }

  onNews(news: DashboardNews): void {
    switch (news.name) {
      case 'opened':
        return this.#onOpened(news)
      case 'events':
        return this.#onEvents(news.events)
      case 'may-try':
        return this.#tries.answer(news.requestId, news.waitMs)
      case 'look':
        void this.#tellHowWeStand(news.requestId) // cannot reject
    }
  }

  async #tellHowWeStand(requestId: number): Promise<void> {
    const metrics = await this.#options.metrics.some(SHOWN_METRICS)
    this.#wish({ name: 'seen', requestId, metrics })
  }

  /** They begin before anything else that the primary tells: what it tells next follows on these events. */
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

  /** Ends all of them: they find another worker, or see that the gateway is gone. */
  close(): void {
    for (const { response } of this.#pages) response.end(LEAVING_EVENT)
  }

  /** One question at a time: those who come meanwhile are the next. */
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

  #begin({ response, isAllowed }: Newcomer, bytes: Buffer): void {
    const page: Page = { response, isAllowed, taken: 0, tookAt: performance.now() }
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
    this.#timer ??= setInterval(() => void this.#check(), checkMs).unref() // cannot reject
  }

  #write({ response }: Page, bytes: Buffer): void {
    if (response.writableEnded) return
    if (response.writableLength > MAX_UNSENT_BYTES) return drop(response)
    response.write(bytes)
  }

  #left(pages: number): void {
    if (pages > 0) this.#wish({ name: 'left', pages })
  }

  #wish(wish: DashboardWish): void {
    this.#options.channel.send({ type: 'dashboard.wish', wish })
  }

  async #check(): Promise<void> {
    for (const { response, isAllowed } of this.#pages) {
      if (!isAllowed() && !response.writableEnded) response.end(LEAVING_EVENT)
    }
    const { unsentBytes = readUnsentBytes, unreadMs = UNREAD_MS } = this.#options
    // Before the system tells what it has: what is written meanwhile must not look as if it had been taken.
    const given = Array.from(this.#pages, (page) => ({ page, bytes: bytesGiven(page.response) }))
    if (given.every(({ page, bytes }) => bytes - page.taken < LOOK_BYTES)) return
    const { byPorts } = await unsentBytes()
    const now = performance.now()
    for (const { page, bytes } of given) {
      const { socket } = page.response
      if (socket === null) continue
      const inSystem = byPorts?.get(portPairOf(socket)) ?? 0
      const hasAll = inSystem === 0 && socket.writableLength === 0
      if (hasAll || bytes - inSystem > page.taken) page.tookAt = now
      page.taken = Math.max(page.taken, bytes - inSystem)
      if (now - page.tookAt >= unreadMs) drop(page.response)
    }
  }
}

/** Bytes of the response that the system has taken. */
function bytesGiven({ socket }: ServerResponse): number {
  return socket === null ? 0 : socket.bytesWritten - socket.writableLength
}

/** With all that the system keeps of it. */
function drop({ socket }: ServerResponse): void {
  socket?.resetAndDestroy()
}
