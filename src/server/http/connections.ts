import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  ServerResponse
} from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { LoadWatch } from '../worker/load-watch.ts'
import { cutOffBehind, stopAtUpgrades, takeChunks } from '../body/node-insides.ts'
import { BodyInCrumbs, PacedRequest } from '../body/request-body.ts'
import {
  type Answering,
  type ArrivedRequest,
  type CensusOptions,
  ClientCensus,
  type ClientConnection
} from './client-census.ts'
import { codeOf } from '../../shared/errors.ts'
import type { SocketPlace } from '../socket/responses-socket.ts'
import type { Handshake } from '../socket/responses-sockets.ts'
import { UnreadWatch } from './unread-watch.ts'

export interface ConnectionsOptions extends CensusOptions {
  readonly stallTimeoutMs: () => number
  readonly headersTimeoutMs: number
  readonly describeError: (error: Error) => string
  /** Answers a request on a surplus connection; `false`: the usual handler does. */
  readonly refuse: (request: IncomingMessage, response: ServerResponse) => boolean
  readonly keepAliveTimeoutMs?: number
  readonly lingerMs?: number
  readonly socketBytes: number
  /** Requests for a WebSocket to hand out as such; all others are ordinary requests. */
  readonly takesWebSocket?: (request: IncomingMessage) => boolean
  /** Told of new connections several times a second, and of the end of the last. */
  readonly load?: Pick<LoadWatch, 'arrived' | 'look' | 'rest'>
}

/** Requests before the first is answered; the connection ends after these. */
const MAX_PIPELINED = 16
/** Pipelined requests of all connections: each parsed one holds memory, and headers may have 16 KiB. */
const MAX_PIPELINED_IN_ALL = 512
/** Health checks and refusals: what is unread of them is in the system's memory, which shows only its size. */
const MAX_ANSWERS_TO_STRANGER = 32
const MAX_DISCARDED_BYTES = 256 * 1024
/** Size of answers that reach any client within `LINGER_MS`. */
const SHORT_ANSWER_BYTES = 64 * 1024
const LINGER_MS = 5_000
/** Longest time an answer to a client without a key may stay unread: all of them are short. */
const STRANGER_STALL_MS = 10_000
/** More than all small answers on a connection without a key; one with this much unread is not kept. */
const MUCH_FOR_STRANGER_BYTES = 16 * 1024
/** Longer than the minute of proxies in front. */
const KEEP_ALIVE_MS = 65_000
const SWEEP_MS = 250
/** Interval while `ClientCensus.isQuiet`: each wake-up of a process at rest costs more than what is done in it. */
const QUIET_SWEEP_MS = 1_000

/**
 * Connections of a worker's clients. Whatever clients do, a connection holds little memory and ends in
 * time: few requests are pipelined, an answer that is not read within `stallTimeoutMs` is reset, and the
 * client gets a moment to read the last one. If there are too many, those without a key go first.
 */
export class ClientConnections {
  readonly #options: ConnectionsOptions
  readonly #census: ClientCensus
  readonly #unread: UnreadWatch
  /** Handshakes that are being answered. */
  readonly #handshakes = new WeakMap<IncomingMessage, Handshake>()
  #waiting = 0
  #sweep: NodeJS.Timeout | null = null
  #isSweepingSlowly = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
    this.#census = new ClientCensus(options)
    this.#unread = new UnreadWatch({
      census: this.#census,
      socketBytes: options.socketBytes,
      stallMs: (connection) => this.#stallMs(connection)
    })
  }

  get size(): number {
    return this.#census.size
  }

  createServer(handler: RequestListener): Server {
    const { headersTimeoutMs, keepAliveTimeoutMs = KEEP_ALIVE_MS } = this.#options
    const server = createServer({
      IncomingMessage: this.#requestClass(),
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs / 4),
      requestTimeout: 0, // bodies have deadlines of their own, which tell the client what happened
      requireHostHeader: false, // Node's own answer would speak no dialect; `app.ts` checks it
      // Besides these, what was cut off is "upgraded", see #requestClass.
      shouldUpgradeCallback: (request) => this.#options.takesWebSocket?.(request) === true
    })
    const of = (socket: Duplex, act: (connection: ClientConnection) => void): void => {
      const connection = this.#census.get(socket)
      if (connection === undefined) socket.on('error', () => {}).destroy()
      else act(connection)
    }
    const take: RequestListener = (request, response) => this.#take({ request, response, handler })
    const takeWaiting: RequestListener = (request, response) => {
      const invite = (): void => {
        if (!response.headersSent) response.writeContinue()
      }
      if (request instanceof PacedRequest) request.awaitInvitation(invite)
      take(request, response)
    }
    return server
      .on('connection', (socket) => this.#accept(socket))
      .on('request', take)
      .on('checkContinue', takeWaiting)
      .on('checkExpectation', take)
      .on('clientError', (error, socket) => of(socket, (one) => this.#onError(error, one)))
      .on('timeout', (socket) => this.#end(socket, this.#lingerMs))
      .on('upgrade', (request, socket, head) =>
        of(socket, (one) => this.#onUpgrade({ request, socket, head }, one, handler))
      )
      .on('connect', (_request, socket) => of(socket, (one) => this.#onConnect(one)))
  }

  /** `isPage`: the last answer of the connection is the dashboard's feed. */
  vouch(socket: Socket, isPage = false): void {
    const connection = this.#census.get(socket)
    if (connection === undefined) return
    connection.isPage ||= isPage
    this.#census.vouch(connection)
  }

  /** `null` for a request that does not ask for a WebSocket which may be had. */
  handshakeOf(request: IncomingMessage): Handshake | null {
    return this.#handshakes.get(request) ?? null
  }

  /** Makes the connection of a request a WebSocket's: from here on its owner reads and ends it. */
  becomeWebSocket({ request, socket }: Handshake, response: ServerResponse): SocketPlace {
    const connection = this.#census.get(socket)
    this.#handshakes.delete(request)
    response.detachSocket(socket)
    if (connection === undefined) return NOWHERE
    connection.isWebSocket = true
    connection.answering = null
    this.#census.move(connection, restOf(connection))
    return {
      begin: (answer) => this.#beginFrames(connection, answer),
      rest: () => this.#restFrames(connection)
    }
  }

  closeIdle(): void {
    for (const { socket } of this.#census.resting()) socket.destroy()
  }

  destroy(): void {
    for (const { socket } of this.#census.all()) socket.destroy()
  }

  get #lingerMs(): number {
    return this.#options.lingerMs ?? LINGER_MS
  }

  #accept(socket: Socket): void {
    const connection = this.#census.add(socket)
    this.#options.load?.arrived()
    stopAtUpgrades(socket)
    takeChunks(socket)
    socket.once('close', () => this.#forget(connection))
    // Node calls this after the last answer. A closed socket would live on in the system with what is unread.
    socket.destroySoon = () => this.#end(socket, this.#patienceMs(connection))
    this.#hurry()
  }

  #forget(connection: ClientConnection): void {
    this.#census.forget(connection)
    this.#dropWaiting(connection)
    if (this.#census.size > 0) return
    if (this.#sweep !== null) clearTimeout(this.#sweep)
    this.#sweep = null
    this.#options.load?.rest()
  }

  #take(arrived: ArrivedRequest): void {
    const connection = this.#census.get(arrived.request.socket)
    if (connection === undefined) return
    if (connection.answering === null) return this.#answer(connection, arrived)
    connection.waiting.push(arrived)
    this.#waiting += 1
  }

  #answer(connection: ClientConnection, { request, response, handler }: ArrivedRequest): void {
    const { socket } = connection
    if (this.#isSweepingSlowly) this.#hurry()
    connection.answering = response
    connection.bytesWritten = socket.bytesWritten
    this.#census.move(connection, connection.isKnown ? 'busy' : 'stranger-busy')
    response.once('close', () => this.#onAnswered(connection))
    // The whole answer is written by the next tick.
    response.once('prefinish', () => process.nextTick(() => this.#unread.onWritten(connection)))
    if (connection.isGuest) this.#census.seat(connection)
    const isLast = !connection.isKnown && ++connection.answers >= MAX_ANSWERS_TO_STRANGER
    if (isLast || connection.isGuest) response.setHeader('connection', 'close')
    if (connection.isGuest && this.#options.refuse(request, response)) return
    handler(request, response)
  }

  #beginFrames(connection: ClientConnection, answer: Answering): void {
    if (this.#census.get(connection.socket) !== connection) return
    if (this.#isSweepingSlowly) this.#hurry()
    connection.answering = answer
    connection.bytesWritten = connection.socket.bytesWritten
    this.#census.move(connection, connection.isKnown ? 'busy' : 'stranger-busy')
  }

  #restFrames(connection: ClientConnection): void {
    if (this.#census.get(connection.socket) !== connection) return
    connection.answering = null
    connection.unreadSince = null
    connection.answeredAt = performance.now()
    this.#unread.onWritten(connection)
    if (connection.status !== 'ending') this.#census.move(connection, restOf(connection))
  }

  #onAnswered(connection: ClientConnection): void {
    const { socket } = connection
    connection.answering = null
    connection.unreadSince = null
    if (socket.destroyed || connection.status === 'ending') return this.#dropWaiting(connection)
    const next = connection.waiting.shift()
    if (next !== undefined) {
      this.#waiting -= 1
      this.#answer(connection, next)
    } else if (connection.isCut) {
      this.#end(socket, this.#patienceMs(connection))
    } else {
      connection.bytesRead = socket.bytesRead
      connection.answeredAt = performance.now()
      this.#census.move(connection, restOf(connection))
    }
  }

  #dropWaiting({ waiting }: ClientConnection): void {
    this.#waiting -= waiting.length
    waiting.length = 0
  }

  #patienceMs(connection: ClientConnection): number {
    const isShort = connection.socket.bytesWritten - connection.bytesWritten <= SHORT_ANSWER_BYTES
    return isShort ? this.#lingerMs : Math.max(this.#lingerMs, this.#stallMs(connection))
  }

  #stallMs({ isKnown }: ClientConnection): number {
    const stallMs = this.#options.stallTimeoutMs()
    return isKnown ? stallMs : Math.min(stallMs, STRANGER_STALL_MS)
  }

  /**
   * Sends our FIN and reads on until the client's: otherwise its system would get a reset before it has
   * read the answer.
   */
  #end(socket: Socket, patienceMs: number, last?: string): void {
    const connection = this.#census.get(socket)
    if (connection === undefined || connection.status === 'ending') return
    this.#census.move(connection, 'ending')
    this.#dropWaiting(connection)
    connection.endsAt = performance.now() + patienceMs
    connection.bytesRead = socket.bytesRead
    if (last === undefined) socket.end()
    else socket.end(last)
    this.#unread.onWritten(connection)
    if (connection.isDetached) discard(connection)
  }

  /** Has a request for a WebSocket answered like any other, so that a refusal has a status and a body. */
  #onUpgrade(
    { request, socket, head }: Upgrade,
    connection: ClientConnection,
    handler: RequestListener
  ): void {
    this.#onDetached(connection)
    // A request behind others, or beside a body, is only cut off.
    const isFirst = connection.answering === null && connection.status !== 'ending'
    if (!isFirst || !(socket instanceof Socket) || this.#options.takesWebSocket?.(request) !== true)
      return this.#endDetached(connection)
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.once('finish', () => {
      response.detachSocket(socket)
      response.emit('close')
    })
    this.#handshakes.set(request, { request, socket, head })
    this.#answer(connection, { request, response, handler })
  }

  /** Bytes are not a request, or headers are late. Earlier requests are still answered. */
  #onError(error: Error, connection: ClientConnection): void {
    const { socket, answering, status } = connection
    if (status === 'ending') return stopIfMuch(connection) // else it may send what it likes
    const isReset = codeOf(error) === 'ECONNRESET'
    if (isReset || !socket.writable) socket.destroy()
    else if (socket.bytesRead === 0)
      this.#end(socket, this.#lingerMs) // a browser's spare connection, which is no fault
    else if (answering?.req.complete === true) connection.isCut = true
    else if (answering?.headersSent === true) this.#end(socket, this.#lingerMs)
    else this.#end(socket, this.#lingerMs, this.#options.describeError(error))
  }

  #onDetached(connection: ClientConnection): void {
    const { socket } = connection
    socket.on('error', () => {}) // its close says it all
    socket.on('drain', () => {
      if (!connection.isWebSocket) connection.answering?.emit('drain')
    })
    connection.isCut = true
    connection.isDetached = true
  }

  #endDetached(connection: ClientConnection): void {
    if (connection.status === 'ending') discard(connection)
    else if (connection.answering === null) this.#end(connection.socket, this.#lingerMs)
  }

  #onConnect(connection: ClientConnection): void {
    const { socket, answering } = connection
    if (answering === null) this.#end(socket, this.#lingerMs, CONNECT_REFUSED)
    this.#onDetached(connection)
    this.#endDetached(connection)
  }

  /** Cuts off surplus requests: thousands fit into one read. */
  #requestClass(): typeof IncomingMessage {
    const isTooMany = (socket: Socket): boolean => this.#isTooMany(socket)
    const isKnown = (socket: Socket): boolean => this.#census.get(socket)?.isKnown === true
    const refuseCrumbs = (request: IncomingMessage): void => this.#refuseCrumbs(request)
    return class ClientRequest extends PacedRequest {
      constructor(socket: Socket) {
        super(socket)
        if (isTooMany(socket)) cutOffBehind(this)
      }

      override get isOfKnown(): boolean {
        return isKnown(this.socket)
      }

      override onCrumbs(): void {
        refuseCrumbs(this)
      }
    }
  }

  /** Stops reading the body; the request's answer gives the reason. */
  #refuseCrumbs(request: IncomingMessage): void {
    const connection = this.#census.get(request.socket)
    if (connection === undefined || connection.status === 'ending') return
    if (connection.answering?.req !== request) return this.#census.drop(connection, 'crumbs')
    connection.isCut = true
    if (request.listenerCount('error') > 0) request.emit('error', new BodyInCrumbs())
  }

  #isTooMany(socket: Socket): boolean {
    const connection = this.#census.get(socket)
    if (connection === undefined || connection.status === 'ending' || connection.isCut) return true
    if (connection.answering === null) return false
    return connection.waiting.length >= MAX_PIPELINED - 1 || this.#waiting >= MAX_PIPELINED_IN_ALL
  }

  /** Sweeps often again, from now on. */
  #hurry(): void {
    if (this.#sweep !== null && !this.#isSweepingSlowly) return
    if (this.#sweep !== null) clearTimeout(this.#sweep)
    this.#isSweepingSlowly = false
    this.#sweepIn(SWEEP_MS)
  }

  #sweepIn(ms: number): void {
    const mostMs = Math.min(this.#options.stallTimeoutMs() / 4, this.#lingerMs / 4)
    this.#sweep = setTimeout(() => this.#onSweep(), Math.min(ms, mostMs)).unref()
  }

  #onSweep(): void {
    this.#sweep = null
    this.#check()
    if (this.#census.size === 0) return
    this.#isSweepingSlowly = this.#census.isQuiet
    this.#sweepIn(this.#isSweepingSlowly ? QUIET_SWEEP_MS : SWEEP_MS)
  }

  #check(): void {
    const now = performance.now()
    for (const connection of this.#census.with('ending')) {
      if (now >= connection.endsAt || connection.unfinishedBytes > MAX_DISCARDED_BYTES) {
        this.#census.drop(connection, 'lingering')
      }
    }
    for (const connection of this.#census.with('busy', 'stranger-busy')) {
      this.#unread.onWritten(connection)
      this.#checkUnread(connection, now)
    }
    this.#unread.check()
    for (const connection of this.#census.with('stranger-idle')) {
      const isDue = now - connection.answeredAt >= this.#lingerMs
      if (isDue && connection.unreadBytes > MUCH_FOR_STRANGER_BYTES)
        this.#end(connection.socket, this.#lingerMs)
    }
    this.#census.check(now)
    this.#options.load?.look()
  }

  #checkUnread(connection: ClientConnection, now: number): void {
    const { answering } = connection
    if (answering === null || !answering.writableEnded || answering.writableFinished) {
      connection.unreadSince = null // while it is being made, its maker watches the reader
      return
    }
    connection.unreadSince ??= now
    if (now - connection.unreadSince >= this.#stallMs(connection))
      this.#census.drop(connection, 'unread')
  }
}

function restOf({ isKnown }: ClientConnection): 'idle' | 'stranger-idle' {
  return isKnown ? 'idle' : 'stranger-idle'
}

/** Place of a connection that has ended meanwhile. */
const NOWHERE: SocketPlace = { begin: () => {}, rest: () => {} }

type Upgrade = Omit<Handshake, 'socket'> & { readonly socket: Duplex }

function discard(connection: ClientConnection): void {
  connection.socket.on('data', () => stopIfMuch(connection)).resume()
}

function stopIfMuch(connection: ClientConnection): void {
  if (connection.unfinishedBytes > MAX_DISCARDED_BYTES) connection.socket.pause()
}

const CONNECT_REFUSED = [
  'HTTP/1.1 405 Method Not Allowed',
  'allow: GET, POST',
  'x-kiro-gateway-code: GW_METHOD_NOT_ALLOWED',
  'connection: close',
  'content-length: 0',
  '\r\n'
].join('\r\n')
