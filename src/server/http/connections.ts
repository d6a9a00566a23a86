import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { BodyInCrumbs, BodyPace } from '../plane/body-pace.ts'
import { codeOf } from '../../shared/errors.ts'

/** Answers one request; what `node:http` calls a request listener. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void

export interface ConnectionsOptions {
  /** Most connections at once, which may change; a few more are taken in to be refused politely. */
  readonly maxConnections: number
  /** Longest time a client may leave an answer unread. */
  readonly stallTimeoutMs: () => number
  /** Longest time until a client has sent the headers of a request that it began, or of its first. */
  readonly headersTimeoutMs: number
  /** What was wrong with the bytes of a connection, as the whole last answer on it. */
  readonly describeError: (error: Error) => string
  /** Answers a request for which there is no connection to spare; `false` leaves it to the usual handler. */
  readonly refuse: (request: IncomingMessage, response: ServerResponse) => boolean
  /** There is no room for a new connection, or there is again. Other workers may have some. */
  readonly onFull?: (isFull: boolean) => void
  /** Said at most every ten seconds: how many connections were given up since then, and for what. */
  readonly onDropped?: (counts: Readonly<Record<DropReason, number>>) => void
  readonly keepAliveTimeoutMs?: number
  readonly lingerMs?: number
}

/**
 * Why a connection was reset: an answer on it was not read, it did not end after its last answer, there were too
 * many connections, too many bytes of headers that were never completed, or a body in crumbs behind another request.
 */
export type DropReason = 'unread' | 'lingering' | 'crowded' | 'unfinished-headers' | 'crumbs'

/** Requests that one client may send before its first is answered; beyond, the connection ends after these. */
const MAX_PIPELINED = 16
/** Of all connections together: what is parsed is held in memory, and headers may have 16 KiB each. */
const MAX_PIPELINED_IN_ALL = 512
/**
 * Answers on one connection to a client that has shown no key, health checks and refusals: what it leaves unread is in
 * the system's memory, where only its size tells that it is there.
 */
const MAX_ANSWERS_TO_STRANGER = 32
/** Connections beyond the limit while all others are in use by clients with a key: for health checks. */
const MAX_GUESTS = 32
/** A client whose connection was just accepted is about to send its request. */
const FIRST_WORDS_MS = 1_000
/** It has so long even where strangers open connections faster than they can be given up for their silence. */
const FIRST_WORDS_IN_HASTE_MS = 100
/** Bytes of headers that all clients together may have sent of requests that are not complete. */
const MAX_HEADER_BYTES = 4 * 1024 * 1024
/** What a client may go on to send after its last answer, so that it is there to read it. */
const MAX_DISCARDED_BYTES = 256 * 1024
/** Answers up to this size are with any client within `LINGER_MS`. */
const SHORT_ANSWER_BYTES = 64 * 1024
const LINGER_MS = 5_000
/** Longer than the minute that proxies in front keep theirs. */
const KEEP_ALIVE_MS = 65_000
const SWEEP_MS = 250
/** Of `maxConnections`: with fewer there is room again. */
const ROOM_AGAIN = 15 / 16
const REPORT_MS = 10_000

/**
 * How a connection stands with us. A client is a stranger until a request on the connection was let in.
 *
 * ```
 *            request              answered            last answer
 *   new ───▶ stranger-busy ─────▶ stranger-idle    any ────────▶ ending
 *            │ vouch()            ▲ │ request
 *            ▼     answered       │ ▼
 *            busy ──────────────▶ idle
 * ```
 */
type Standing = 'ending' | 'new' | 'stranger-idle' | 'stranger-busy' | 'idle' | 'busy'

/** What is given up for a newcomer, in this order, and from what age on; the oldest of each first. */
const GIVEN_UP: readonly { readonly standing: Standing; readonly ageMs: number }[] = [
  { standing: 'ending', ageMs: 0 },
  { standing: 'new', ageMs: FIRST_WORDS_MS },
  { standing: 'stranger-idle', ageMs: 0 },
  { standing: 'new', ageMs: FIRST_WORDS_IN_HASTE_MS },
  { standing: 'stranger-busy', ageMs: 0 },
  { standing: 'idle', ageMs: 0 }
]

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly handler: RequestHandler
}

/** One client's connection. Its requests are answered one after the other. */
class ClientConnection {
  readonly socket: Socket
  readonly acceptedAt = performance.now()
  standing: Standing = 'new'
  isKnown = false
  /** Was taken in although there was no room; is refused, and ends. */
  isGuest = false
  /** No further request is taken from it: ends when what came before is answered. */
  isCut = false
  /** Node has stopped to parse it, and to read it. */
  isDetached = false
  answering: ServerResponse | null = null
  /** So far, as long as it is not known. */
  answers = 0
  /** Bounded by MAX_PIPELINED. */
  readonly waiting: Exchange[] = []
  /** What was read and written when its present standing began. */
  bytesRead = 0
  bytesWritten = 0
  /** Since when an answer that is whole has not been taken by the system; while it ends: until when it may. */
  unreadSince: number | null = null
  endsAt = 0

  constructor(socket: Socket) {
    this.socket = socket
  }
}

/**
 * The connections of a worker's clients: how many there are, what they may have under way, and how they end.
 *
 * Whatever clients do or leave undone, a connection holds little memory and ends in time: requests that come at once
 * are few, an answer is read within `stallTimeoutMs` or the connection is reset with all that the system keeps of it,
 * and after a last answer the client has a moment to read it. Where there are too many, those go first that nobody
 * with a key uses.
 */
export class ClientConnections {
  readonly #options: ConnectionsOptions
  /** Bounded by `maxConnections` and MAX_GUESTS. */
  readonly #connections = new Map<Duplex, ClientConnection>()
  /** Bounded by the number of connections. */
  readonly #byStanding: Readonly<Record<Standing, Set<ClientConnection>>> = {
    ending: new Set(),
    new: new Set(),
    'stranger-idle': new Set(),
    'stranger-busy': new Set(),
    idle: new Set(),
    busy: new Set()
  }
  /** Bounded by MAX_GUESTS. */
  readonly #guests = new Set<ClientConnection>()
  #waiting = 0
  #isFull = false
  #sweep: NodeJS.Timeout | null = null
  #drops = noDrops()
  #reportedAt = -Infinity

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#connections.size
  }

  /** A server that does not listen yet. There may be several: a name may have several addresses. */
  createServer(handler: RequestHandler): Server {
    const { headersTimeoutMs, keepAliveTimeoutMs = KEEP_ALIVE_MS } = this.#options
    const server = createServer({
      IncomingMessage: this.#requestClass(),
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs / 4),
      requestTimeout: 0, // bodies have deadlines of their own, which tell the client what happened
      requireHostHeader: false, // Node's answer would pass us by; those who care check it
      shouldUpgradeCallback: () => false // only what was cut off is "upgraded", see #requestClass
    })
    const of = (socket: Duplex, act: (connection: ClientConnection) => void): void => {
      const connection = this.#connections.get(socket)
      if (connection === undefined) socket.on('error', () => {}).destroy()
      else act(connection)
    }
    const take: RequestHandler = (request, response) => this.#take({ request, response, handler })
    return server
      .on('connection', (socket) => this.#accept(socket))
      .on('request', take)
      .on('checkExpectation', take)
      .on('clientError', (error, socket) => of(socket, (one) => this.#onError(error, one)))
      .on('timeout', (socket) => this.#end(socket, this.#lingerMs))
      .on('upgrade', (_request, socket) => of(socket, (one) => this.#onDetached(one)))
      .on('connect', (_request, socket) => of(socket, (one) => this.#onConnect(one)))
  }

  /** The request that is answered on this connection was let in: its client is one of ours. */
  vouch(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.isKnown) return
    connection.isKnown = true
    if (connection.standing === 'stranger-busy') this.#move(connection, 'busy')
  }

  /** Ends those on which nothing is asked. */
  closeIdle(): void {
    const { 'new': fresh, 'stranger-idle': strangers, idle } = this.#byStanding
    for (const { socket } of [...fresh, ...strangers, ...idle]) socket.destroy()
  }

  /** Ends all of them at once. */
  destroy(): void {
    for (const socket of this.#connections.keys()) socket.destroy()
  }

  get #lingerMs(): number {
    return this.#options.lingerMs ?? LINGER_MS
  }

  #accept(socket: Socket): void {
    const connection = new ClientConnection(socket)
    this.#connections.set(socket, connection)
    if (this.#connections.size > this.#options.maxConnections + this.#guests.size) {
      this.#makeRoomFor(connection)
    }
    this.#byStanding.new.add(connection)
    socket.once('close', () => this.#forget(connection))
    // Node calls this after a last answer. Closed then, a socket would live on in the system with what is unread.
    socket.destroySoon = () => this.#end(socket, this.#patienceMs(connection))
    this.#sweep ??= setInterval(() => this.#check(), this.#sweepMs()).unref()
    if (this.#connections.size >= this.#options.maxConnections) this.#setFull(true)
  }

  #setFull(isFull: boolean): void {
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    this.#options.onFull?.(isFull)
  }

  /** A guest gets a place when it asks for something and there is one by then. */
  #makeRoomFor(connection: ClientConnection): void {
    if (this.#makeRoom()) return
    const [oldest] = this.#guests
    if (oldest !== undefined && this.#guests.size >= MAX_GUESTS) this.#drop(oldest, 'crowded')
    connection.isGuest = true
    this.#guests.add(connection)
  }

  /** Gives up the connection that is missed least; false where all are needed. */
  #makeRoom(): boolean {
    const now = performance.now()
    for (const { standing, ageMs } of GIVEN_UP) {
      for (const oldest of this.#byStanding[standing]) {
        if (now - oldest.acceptedAt < ageMs) break
        if (oldest.isGuest) continue
        this.#drop(oldest, 'crowded')
        return true
      }
    }
    return false
  }

  #seat(guest: ClientConnection): void {
    const hasRoom = this.#connections.size - this.#guests.size < this.#options.maxConnections
    if (!hasRoom && !this.#makeRoom()) return
    guest.isGuest = false
    this.#guests.delete(guest)
  }

  #forget(connection: ClientConnection): void {
    this.#connections.delete(connection.socket)
    this.#byStanding[connection.standing].delete(connection)
    this.#guests.delete(connection)
    this.#dropWaiting(connection)
    if (this.#connections.size > 0 || this.#sweep === null) return
    clearInterval(this.#sweep)
    this.#sweep = null
    this.#setFull(false)
  }

  #move(connection: ClientConnection, standing: Standing): void {
    this.#byStanding[connection.standing].delete(connection)
    this.#byStanding[standing].add(connection)
    connection.standing = standing
  }

  #take(exchange: Exchange): void {
    const connection = this.#connections.get(exchange.request.socket)
    if (connection === undefined) return
    if (connection.answering === null) return this.#answer(connection, exchange)
    connection.waiting.push(exchange)
    this.#waiting += 1
  }

  #answer(connection: ClientConnection, { request, response, handler }: Exchange): void {
    const { socket } = connection
    connection.answering = response
    connection.bytesWritten = socket.bytesWritten
    this.#move(connection, connection.isKnown ? 'busy' : 'stranger-busy')
    response.once('close', () => this.#onAnswered(connection))
    if (connection.isGuest) this.#seat(connection)
    const isLast = !connection.isKnown && ++connection.answers >= MAX_ANSWERS_TO_STRANGER
    if (isLast || connection.isGuest) response.setHeader('connection', 'close')
    if (connection.isGuest && this.#options.refuse(request, response)) return
    handler(request, response)
  }

  #onAnswered(connection: ClientConnection): void {
    const { socket } = connection
    connection.answering = null
    connection.unreadSince = null
    if (socket.destroyed || connection.standing === 'ending') return this.#dropWaiting(connection)
    const next = connection.waiting.shift()
    if (next !== undefined) {
      this.#waiting -= 1
      this.#answer(connection, next)
    } else if (connection.isCut) {
      this.#end(socket, this.#patienceMs(connection))
    } else {
      connection.bytesRead = socket.bytesRead
      this.#move(connection, connection.isKnown ? 'idle' : 'stranger-idle')
    }
  }

  #dropWaiting({ waiting }: ClientConnection): void {
    this.#waiting -= waiting.length
    waiting.length = 0
  }

  /** What was written may be long, and with a client that reads slowly for a while. */
  #patienceMs({ socket, bytesWritten }: ClientConnection): number {
    const isShort = socket.bytesWritten - bytesWritten <= SHORT_ANSWER_BYTES
    return isShort ? this.#lingerMs : Math.max(this.#lingerMs, this.#options.stallTimeoutMs())
  }

  /**
   * Ends a connection after what was written to it: our end first, then the client's. What the client goes on to send
   * is read to nowhere, or its system would answer with a reset, before it has read the answer.
   */
  #end(socket: Socket, patienceMs: number, last?: string): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.standing === 'ending') return
    this.#move(connection, 'ending')
    this.#dropWaiting(connection)
    connection.endsAt = performance.now() + patienceMs
    connection.bytesRead = socket.bytesRead
    if (last === undefined) socket.end()
    else socket.end(last)
    if (connection.isDetached) discard(connection)
  }

  /** The system forgets it at once, with all that it holds for it; a closed socket would live on for minutes. */
  #drop({ socket }: ClientConnection, reason: DropReason): void {
    this.#drops[reason] += 1
    socket.resetAndDestroy()
    const connection = this.#connections.get(socket)
    if (connection !== undefined) this.#forget(connection)
  }

  /** Bytes that are no request, or headers that did not come in time. What was asked for before is still answered. */
  #onError(error: Error, connection: ClientConnection): void {
    const { socket, answering, standing } = connection
    if (standing === 'ending') return stopIfMuch(connection) // else it may send what it likes
    const isReset = codeOf(error) === 'ECONNRESET'
    if (isReset || !socket.writable) socket.destroy()
    else if (answering?.req.complete === true) connection.isCut = true
    else if (answering?.headersSent === true) this.#end(socket, this.#lingerMs)
    else this.#end(socket, this.#lingerMs, this.#options.describeError(error))
  }

  /** Node has let go of the socket and of all its listeners. */
  #onDetached(connection: ClientConnection): void {
    const { socket } = connection
    socket.on('error', () => {}) // its close says it all
    socket.on('drain', () => connection.answering?.emit('drain'))
    connection.isCut = true
    connection.isDetached = true
    if (connection.standing === 'ending') discard(connection)
    else if (connection.answering === null) this.#end(socket, this.#lingerMs)
  }

  #onConnect(connection: ClientConnection): void {
    const { socket, answering } = connection
    if (answering === null) this.#end(socket, this.#lingerMs, CONNECT_REFUSED)
    this.#onDetached(connection)
  }

  /**
   * Thousands of requests fit into one read, and Node parses all of them before anybody may answer. The only way to
   * stop it there is to call one an upgrade: it then parses no further and gives the socket away.
   */
  #requestClass(): typeof IncomingMessage {
    const isTooMany = (socket: Socket): boolean => this.#isTooMany(socket)
    const refuseCrumbs = (request: IncomingMessage): void => this.#refuseCrumbs(request)
    return class ClientRequest extends IncomingMessage {
      readonly #pace = new BodyPace()

      /** For `isInCrumbs()`: it may be found out before anybody reads the body. */
      get isInCrumbs(): boolean {
        return this.#pace.isRefused
      }

      /** Was asked for while it had to wait; nobody asks twice. */
      #isReadDue = false

      constructor(socket: Socket) {
        super(socket)
        if (!isTooMany(socket)) return
        Object.defineProperty(this, 'upgrade', { get: () => true, set: () => {} })
      }

      /** Node's parser calls it with each chunk, and stops to read the socket when it gives false. */
      override push(chunk: Buffer | null): boolean {
        if (chunk === null) return super.push(chunk)
        const pace = this.#pace.note(chunk.byteLength, () => this.#readOn())
        if (pace === 'refused') return false
        if (pace === 'absurd') {
          refuseCrumbs(this)
          return false
        }
        return super.push(chunk) && pace === 'steady'
      }

      override _read(bytes: number): void {
        if (this.#pace.mayRead)
          super._read(bytes) // oxlint-disable-line no-underscore-dangle
        else this.#isReadDue = true
      }

      #readOn(): void {
        const isWanted = this.#isReadDue || this.readableLength < this.readableHighWaterMark
        this.#isReadDue = false
        if (isWanted && !this.complete) super._read(0) // oxlint-disable-line no-underscore-dangle
      }
    }
  }

  /** What is left of the body is not read any more. Whoever answers the request says why. */
  #refuseCrumbs(request: IncomingMessage): void {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined || connection.standing === 'ending') return
    if (connection.answering?.req !== request) return this.#drop(connection, 'crumbs')
    connection.isCut = true
    if (request.listenerCount('error') > 0) request.emit('error', new BodyInCrumbs())
  }

  #isTooMany(socket: Socket): boolean {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.standing === 'ending' || connection.isCut)
      return true
    if (connection.answering === null) return false
    return connection.waiting.length >= MAX_PIPELINED - 1 || this.#waiting >= MAX_PIPELINED_IN_ALL
  }

  #sweepMs(): number {
    return Math.min(SWEEP_MS, this.#options.stallTimeoutMs() / 4, this.#lingerMs / 4)
  }

  /** Gives up what has had its time. */
  #check(): void {
    const now = performance.now()
    for (const connection of this.#byStanding.ending) {
      const discarded = connection.socket.bytesRead - connection.bytesRead
      if (now >= connection.endsAt || discarded > MAX_DISCARDED_BYTES) {
        this.#drop(connection, 'lingering')
      }
    }
    for (const connection of this.#byStanding.busy) this.#checkUnread(connection, now)
    for (const connection of this.#byStanding['stranger-busy']) this.#checkUnread(connection, now)
    this.#checkHeaders()
    if (this.#connections.size < this.#options.maxConnections * ROOM_AGAIN) this.#setFull(false)
    this.#report(now)
  }

  #checkUnread(connection: ClientConnection, now: number): void {
    const { answering } = connection
    if (answering === null || !answering.writableEnded || answering.writableFinished) {
      connection.unreadSince = null // it is being made, and who makes it watches its reader
      return
    }
    connection.unreadSince ??= now
    if (now - connection.unreadSince >= this.#options.stallTimeoutMs())
      this.#drop(connection, 'unread')
  }

  /** The longest go first, and strangers before those who have shown a key: a client in a hurry has few bytes of them. */
  #checkHeaders(): void {
    const { 'new': fresh, 'stranger-idle': strangers, idle } = this.#byStanding
    let bytes = 0
    const begun: { readonly connection: ClientConnection; readonly own: number }[] = []
    for (const connection of [...fresh, ...strangers, ...idle]) {
      const own = unfinished(connection)
      if (own > 0) begun.push({ connection, own })
      bytes += own
    }
    if (bytes <= MAX_HEADER_BYTES) return
    begun.sort(
      (a, b) => Number(a.connection.isKnown) - Number(b.connection.isKnown) || b.own - a.own
    )
    for (const { connection, own } of begun) {
      if (bytes <= MAX_HEADER_BYTES) return
      bytes -= own
      this.#drop(connection, 'unfinished-headers')
    }
  }

  #report(now: number): void {
    if (now - this.#reportedAt < REPORT_MS) return
    const drops = this.#drops
    if (Object.values(drops).every((count) => count === 0)) return
    this.#reportedAt = now
    this.#drops = noDrops()
    this.#options.onDropped?.(drops)
  }
}

/** Reads on, so that the client's end is noticed. */
function discard(connection: ClientConnection): void {
  connection.socket.on('data', () => stopIfMuch(connection)).resume()
}

/** Much can come before the next sweep. */
function stopIfMuch(connection: ClientConnection): void {
  if (unfinished(connection) > MAX_DISCARDED_BYTES) connection.socket.pause()
}

const CONNECT_REFUSED =
  'HTTP/1.1 405 Method Not Allowed\r\nallow: GET, POST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'

/** Bytes that have come since its last request was complete. */
function unfinished({ socket, bytesRead }: ClientConnection): number {
  return socket.bytesRead - bytesRead
}

function noDrops(): Record<DropReason, number> {
  return { unread: 0, lingering: 0, crowded: 0, 'unfinished-headers': 0, crumbs: 0 }
}
