import { CONNECTION_BYTES, UNREAD_PART } from '../../config/memory-plan.ts'
import {
  portPairOf,
  readUnsentBytes,
  readUnsentBytesNow,
  type UnsentBytes
} from './unsent-bytes.ts'
import { type ClientCensus, type ClientConnection, systemBytes } from './client-census.ts'

export interface UnreadWatchOptions {
  readonly census: ClientCensus
  readonly socketBytes: number
  /** Longest time that the client may leave an answer unread. */
  readonly stallMs: (connection: ClientConnection) => number
  readonly read?: typeof readUnsentBytes
  readonly readNow?: typeof readUnsentBytesNow
}

/** Fractions of a bound: above the first the system is asked, and room is made down to the second. */
const LOOK_FROM = 3 / 4
const ROOM_AGAIN = 15 / 16
/** Interval between looks, which may take a fifth of the event loop's time. */
const LOOK_MS = 250
const PAUSE_AFTER_LOOK = 4
/** A client that reads less than this part of its unread bytes in this time is reset first. */
const READ_PART = 1 / 16
const STALLED_MS = 5_000
/** Part of `stallMs` after which a client that reads is given what waits. */
const HELD_PART = 1 / 4

interface Hold {
  readonly since: number
  readonly unreadBytes: number
}

/**
 * Bounds what clients leave unread. An answer that was sent lies in the memory of the system until its client reads it,
 * and nothing else shows that it is there.
 *
 * From three quarters of a bound on, the connections that hold most are given no more until they have been read: their
 * answers wait, and the upstream with them. A client that reads slowly is given what waits from time to time, since it would
 * look stalled otherwise, and loses nothing.
 *
 * Everything written counts as unread until, before a bound is reached, the system is asked what it still holds.
 * Clients without a key have a quarter of the memory for sockets together; beyond that, connections that hold most are
 * reset. Beyond the bound of all clients, connections that are hardly read are reset; beyond twice the bound, those that
 * hold most. A connection below an even share of the bound is left alone: it would free little, and another holds more.
 *
 * Outside Linux the system does not tell: what was written to a client without a key counts until its connection ends. Of
 * a client with a key the last answer counts while nothing is asked on its connection, when a reset cuts no answer in the
 * making.
 */
export class UnreadWatch {
  readonly #options: UnreadWatchOptions
  #isLooking = false
  #nextLookAt = -Infinity
  #nextLookNowAt = -Infinity
  #fillAtLook = 0
  /** Connections whose answers, and with them the upstream, wait. Bounded by the connections. */
  readonly #held = new Map<ClientConnection, Hold>()

  constructor(options: UnreadWatchOptions) {
    this.#options = options
  }

  onWritten(connection: ClientConnection): void {
    const { census } = this.#options
    const { socket, countedBytes, unreadBytes } = connection
    const more = socket.bytesWritten - countedBytes
    if (more === 0 || census.get(socket) !== connection) return // or it was dropped
    if (unreadBytes === 0) connection.readAt = performance.now()
    connection.countedBytes += more
    census.setUnread(connection, unreadBytes + more)
    this.check()
    if (!connection.isKnown) this.#boundStrangers()
  }

  check(): void {
    const fill = this.#fill
    if (fill <= LOOK_FROM) return this.#hold(new Set())
    const now = performance.now()
    if (fill > 2 && now >= this.#nextLookNowAt) return this.#lookNow()
    const isMore = this.#held.size > 0 || fill > 1 || fill > (this.#fillAtLook + 1) / 2
    if (isMore && now >= this.#nextLookAt) void this.#look() // cannot reject
  }

  #boundStrangers(): void {
    const { census } = this.#options
    const bound = this.#strangersBound
    if (census.strangersUnreadBytes <= bound) return
    if (performance.now() >= this.#nextLookNowAt) this.#lookNow()
    if (census.strangersUnreadBytes <= bound) return
    for (const connection of this.#largest()) {
      if (census.strangersUnreadBytes <= bound * ROOM_AGAIN) return
      if (!connection.isKnown) census.drop(connection, 'unread')
    }
  }

  get #bound(): number {
    const { census, socketBytes } = this.#options
    return Math.max(this.#strangersBound, socketBytes - census.size * CONNECTION_BYTES)
  }

  get #strangersBound(): number {
    return this.#options.socketBytes * UNREAD_PART
  }

  /** Fill of the fuller bound, strangers' or all; 1 is full. */
  get #fill(): number {
    const { unreadBytes, strangersUnreadBytes } = this.#options.census
    return Math.max(unreadBytes / this.#bound, strangersUnreadBytes / this.#strangersBound)
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    const { read = readUnsentBytes } = this.#options
    this.#isLooking = true
    const counted = this.#counted() // what is written meanwhile must not look as if it had been read
    const unsent = await read()
    this.#learn(counted, unsent)
    this.#isLooking = false
  }

  #lookNow(): void {
    const { readNow = readUnsentBytesNow } = this.#options
    this.#learn(this.#counted(), readNow())
  }

  #counted(): ReadonlyMap<ClientConnection, number> {
    const all = this.#options.census.all()
    return new Map(Array.from(all, (connection) => [connection, connection.countedBytes]))
  }

  #learn(counted: ReadonlyMap<ClientConnection, number>, { byPorts, tookMs }: UnsentBytes): void {
    const { census } = this.#options
    const now = performance.now()
    this.#nextLookNowAt = now + PAUSE_AFTER_LOOK * tookMs
    this.#nextLookAt = Math.max(now + LOOK_MS, this.#nextLookNowAt)
    for (const connection of census.all()) {
      if (byPorts === null && !connection.isKnown) continue // only its count is known
      const { socket, countedBytes, unreadBytes, takenBytes } = connection
      const since = countedBytes - (counted.get(connection) ?? 0)
      const left =
        byPorts === null
          ? untoldBytesOf(connection, since)
          : Math.min(unreadBytes, (byPorts.get(portPairOf(socket)) ?? 0) + since)
      census.setUnread(connection, left)
      if (countedBytes - left - takenBytes <= left * READ_PART) continue
      connection.takenBytes = countedBytes - left
      connection.readAt = now
    }
    this.#fillAtLook = this.#fill
    this.#hold(this.#fillAtLook <= LOOK_FROM ? new Set() : this.#large())
    this.#makeRoom(this.#bound, ({ readAt }) => now - readAt >= STALLED_MS)
    this.#makeRoom(2 * this.#bound, () => true)
  }

  /** Connections with at least an even share of what may be unread before the system is asked. */
  #large(): ReadonlySet<ClientConnection> {
    const largest = this.#largest()
    const evenPart = (this.#bound * LOOK_FROM) / largest.length
    const large = largest.filter(
      // An end gives all to the system.
      ({ unreadBytes, socket }) => systemBytes(unreadBytes) >= evenPart && !socket.writableEnded
    )
    return new Set(large)
  }

  /** Stops writing to these connections, so that their `write()` soon returns false. */
  #hold(connections: ReadonlySet<ClientConnection>): void {
    const now = performance.now()
    for (const connection of this.#held.keys()) {
      if (connections.has(connection)) continue
      this.#held.delete(connection)
      connection.socket.uncork()
    }
    for (const connection of connections) {
      const held = this.#held.get(connection)
      if (held !== undefined && !this.#isDue(connection, held, now)) continue
      const { socket, unreadBytes } = connection
      if (held !== undefined) socket.uncork()
      socket.cork()
      this.#held.set(connection, { since: now, unreadBytes })
    }
  }

  #isDue(connection: ClientConnection, { since, unreadBytes }: Hold, now: number): boolean {
    const isLong = now - since >= this.#options.stallMs(connection) * HELD_PART
    return isLong && connection.unreadBytes < unreadBytes
  }

  #makeRoom(bound: number, mayGo: (connection: ClientConnection) => boolean): void {
    const { census } = this.#options
    if (census.unreadBytes <= bound) return
    const largest = this.#largest()
    const evenPart = bound / largest.length
    for (const connection of largest) {
      const isSmall = systemBytes(connection.unreadBytes) < evenPart
      if (isSmall || census.unreadBytes <= bound * ROOM_AGAIN) return
      if (mayGo(connection)) census.drop(connection, 'unread')
    }
  }

  #largest(): readonly ClientConnection[] {
    return Array.from(this.#options.census.all())
      .filter(({ unreadBytes }) => unreadBytes > 0)
      .toSorted((a, b) => b.unreadBytes - a.unreadBytes)
  }
}

/**
 * Bytes that a client with a key may have left unread if the system does not tell. The next request shows
 * that the last answer was read.
 */
function untoldBytesOf({ socket, status, bytesWritten }: ClientConnection, since: number): number {
  return status === 'idle' ? socket.bytesWritten - bytesWritten : since
}
