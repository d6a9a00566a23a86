import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { ClientResponse } from '../../reply/client-response.ts'

/** Reasons for resetting a connection. `crumbs`: a body of tiny chunks behind another request. */
export type DropReason = 'unread' | 'lingering' | 'crowded' | 'unfinished-headers' | 'crumbs'

/** Surplus connections for health checks while all others are in use by clients with a key. */
const MAX_GUESTS = 32
/** A new connection is about to carry a request. */
const FIRST_WORDS_MS = 1_000
/** Minimum of that if strangers open connections faster than silent ones can be closed. */
const FIRST_WORDS_IN_HASTE_MS = 100
const MAX_HEADER_BYTES = 4 * 1024 * 1024
/** Their headers together stay below MAX_HEADER_BYTES, as Node accepts 16 KiB of each. */
const MAX_QUIET = 256
/** Fraction of `maxConnections` below which there is room again. */
const ROOM_AGAIN = 15 / 16
const REPORT_MS = 10_000
/** The system keeps unread data in whole pages, and adds its own data to each packet (206 KB take 266). */
const PAGE_BYTES = 4096
const PACKET_OVERHEAD = 1.3

/**
 * State of a connection. A client is a stranger until a request on the connection was let in.
 *
 *            request              answered            last answer
 *   new ───▶ stranger-busy ─────▶ stranger-idle    any ────────▶ ending
 *            │ vouch()            ▲ │ request
 *            ▼     answered       │ ▼
 *            busy ──────────────▶ idle
 */
type Status = 'ending' | 'new' | 'stranger-idle' | 'stranger-busy' | 'idle' | 'busy'

/** Connections to close for a newcomer, in this order, from this age on, oldest first. */
const GIVEN_UP: readonly { readonly status: Status; readonly ageMs: number }[] = [
  { status: 'ending', ageMs: 0 },
  { status: 'new', ageMs: FIRST_WORDS_MS },
  { status: 'stranger-idle', ageMs: 0 },
  { status: 'new', ageMs: FIRST_WORDS_IN_HASTE_MS },
  { status: 'stranger-busy', ageMs: 0 },
  { status: 'idle', ageMs: 0 }
]

export interface ArrivedRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly handler: RequestListener
}

export type Answering = Pick<
  ClientResponse,
  'emit' | 'headersSent' | 'writableEnded' | 'writableFinished'
> & { readonly req: IncomingMessage }

export class ClientConnection {
  readonly socket: Socket
  readonly acceptedAt = performance.now()
  status: Status = 'new'
  isKnown = false
  /** Accepted without room; is refused, and ends. */
  isGuest = false
  /** Answered by the dashboard's feed, which writes a few KB a second. */
  isPage = false
  isCut = false
  isDetached = false
  /** Carries frames, no requests. */
  isWebSocket = false
  answering: Answering | null = null
  answers = 0
  /** Bounded by MAX_PIPELINED. */
  readonly waiting: ArrivedRequest[] = []
  /** `socket.bytesRead` and `bytesWritten` when its present state began. */
  bytesRead = 0
  bytesWritten = 0
  /** Start of a whole answer's wait for the system; while ending, its deadline. */
  unreadSince: number | null = null
  endsAt = 0
  /** `performance.now()` */
  answeredAt = 0
  /** Part of `socket.bytesWritten` that `unreadBytes` includes. */
  countedBytes = 0
  /** Upper bound; `ClientCensus.setUnread()` changes it. */
  unreadBytes = 0
  /** Bytes certainly read by the client, and `performance.now()` of the last increase. */
  takenBytes = 0
  readAt = 0

  constructor(socket: Socket) {
    this.socket = socket
  }

  get unfinishedBytes(): number {
    if (this.isWebSocket) return 0
    return this.socket.bytesRead - this.bytesRead
  }
}

export interface CensusOptions {
  /** May change; a few more are accepted to be refused politely. */
  readonly maxConnections: number
  /** Called when there is no room, or room again: other workers may have some. */
  readonly onFull?: (isFull: boolean) => void
  /** Counts since the last call, at most every ten seconds. */
  readonly onDropped?: (counts: Readonly<Record<DropReason, number>>) => void
}

export class ClientCensus {
  readonly #options: CensusOptions
  /** Bounded by `maxConnections` and MAX_GUESTS. */
  readonly #connections = new Map<Duplex, ClientConnection>()
  /** Bounded by the number of connections. */
  readonly #byStatus: Readonly<Record<Status, Set<ClientConnection>>> = {
    ending: new Set(),
    new: new Set(),
    'stranger-idle': new Set(),
    'stranger-busy': new Set(),
    idle: new Set(),
    busy: new Set()
  }
  /** Bounded by MAX_GUESTS. */
  readonly #guests = new Set<ClientConnection>()
  #isFull = false
  #strangersUnreadBytes = 0
  #unreadBytes = 0
  #drops = noDrops()
  #reportedAt = -Infinity

  constructor(options: CensusOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#connections.size
  }

  get unreadBytes(): number {
    return this.#unreadBytes
  }

  get strangersUnreadBytes(): number {
    return this.#strangersUnreadBytes
  }

  get(socket: Duplex): ClientConnection | undefined {
    return this.#connections.get(socket)
  }

  all(): Iterable<ClientConnection> {
    return this.#connections.values()
  }

  /** May change during iteration. */
  *with(...statuses: readonly Status[]): Generator<ClientConnection, void, undefined> {
    for (const status of statuses) yield* this.#byStatus[status]
  }

  /** Only pages and a few idle clients with a key: nothing can grow fast. */
  get isQuiet(): boolean {
    const { 'new': fresh, ending, idle, busy, ...strangers } = this.#byStatus
    const others = [fresh, ending, ...Object.values(strangers)]
    if (others.some(({ size }) => size > 0)) return false
    return idle.size <= MAX_QUIET && busy.values().every(({ isPage }) => isPage)
  }

  resting(): readonly ClientConnection[] {
    const { 'new': fresh, 'stranger-idle': strangers, idle } = this.#byStatus
    return [...fresh, ...strangers, ...idle]
  }

  /** Closes another connection if there is no room, or makes this one a guest. */
  add(socket: Socket): ClientConnection {
    const { maxConnections } = this.#options
    const connection = new ClientConnection(socket)
    this.#connections.set(socket, connection)
    if (this.size > maxConnections + this.#guests.size) this.#makeRoomFor(connection)
    this.#byStatus.new.add(connection)
    if (this.size >= maxConnections) this.#setFull(true)
    return connection
  }

  move(connection: ClientConnection, status: Status): void {
    this.#byStatus[connection.status].delete(connection)
    this.#byStatus[status].add(connection)
    connection.status = status
  }

  vouch(connection: ClientConnection): void {
    if (connection.isKnown) return
    connection.isKnown = true
    this.#strangersUnreadBytes -= systemBytes(connection.unreadBytes)
    if (connection.status === 'stranger-busy') this.move(connection, 'busy')
  }

  setUnread(connection: ClientConnection, bytes: number): void {
    const more = systemBytes(bytes) - systemBytes(connection.unreadBytes)
    connection.unreadBytes = bytes
    this.#unreadBytes += more
    if (!connection.isKnown) this.#strangersUnreadBytes += more
  }

  seat(guest: ClientConnection): void {
    const hasRoom = this.size - this.#guests.size < this.#options.maxConnections
    if (!hasRoom && !this.#makeRoom()) return
    guest.isGuest = false
    this.#guests.delete(guest)
  }

  forget(connection: ClientConnection): void {
    this.#connections.delete(connection.socket)
    this.#byStatus[connection.status].delete(connection)
    this.#guests.delete(connection)
    this.setUnread(connection, 0)
    if (this.size === 0) this.#setFull(false)
  }

  /** Resets: a closed socket would live on for minutes. An answer cut as unread emits `unread` before its `close`. */
  drop(connection: ClientConnection, reason: DropReason): void {
    this.#drops[reason] += 1
    connection.socket.resetAndDestroy()
    if (reason === 'unread') connection.answering?.emit('unread')
    this.forget(connection)
  }

  /** Call several times a second, and once while it is quiet. */
  check(now: number): void {
    this.#limitHeaders()
    if (this.size < this.#options.maxConnections * ROOM_AGAIN) this.#setFull(false)
    this.#report(now)
  }

  #setFull(isFull: boolean): void {
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    this.#options.onFull?.(isFull)
  }

  /** A guest gets a place with its next request, if there is one. */
  #makeRoomFor(connection: ClientConnection): void {
    if (this.#makeRoom()) return
    const [oldest] = this.#guests
    if (oldest !== undefined && this.#guests.size >= MAX_GUESTS) this.drop(oldest, 'crowded')
    connection.isGuest = true
    this.#guests.add(connection)
  }

  /** Closes the least useful connection; false if all are needed. */
  #makeRoom(): boolean {
    const now = performance.now()
    for (const { status, ageMs } of GIVEN_UP) {
      for (const oldest of this.#byStatus[status]) {
        if (now - oldest.acceptedAt < ageMs) break
        if (oldest.isGuest) continue
        this.drop(oldest, 'crowded')
        return true
      }
    }
    return false
  }

  /** Strangers first, then the longest incomplete headers. */
  #limitHeaders(): void {
    const begun = this.resting().filter(({ unfinishedBytes }) => unfinishedBytes > 0)
    let bytes = begun.reduce((sum, { unfinishedBytes }) => sum + unfinishedBytes, 0)
    if (bytes <= MAX_HEADER_BYTES) return
    begun.sort(
      (a, b) => Number(a.isKnown) - Number(b.isKnown) || b.unfinishedBytes - a.unfinishedBytes
    )
    for (const connection of begun) {
      if (bytes <= MAX_HEADER_BYTES) return
      bytes -= connection.unfinishedBytes
      this.drop(connection, 'unfinished-headers')
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

export function systemBytes(unreadBytes: number): number {
  return Math.ceil((unreadBytes * PACKET_OVERHEAD) / PAGE_BYTES) * PAGE_BYTES
}

function noDrops(): Record<DropReason, number> {
  return { unread: 0, lingering: 0, crowded: 0, 'unfinished-headers': 0, crumbs: 0 }
}
