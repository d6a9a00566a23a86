import { CONNECTION_BYTES, UNREAD_PART } from '../../config/memory-plan.ts'
import {
  portPairOf,
  readUnsentBytes,
  readUnsentBytesNow,
  type UnsentBytes
} from '../plane/unsent-bytes.ts'
import type { ClientCensus, ClientConnection } from './client-census.ts'

export interface UnreadWatchOptions {
  readonly census: ClientCensus
  /** Memory for the connections of clients and for what lies unread on them. */
  readonly socketBytes: number
  readonly read?: typeof readUnsentBytes
  readonly readNow?: typeof readUnsentBytesNow
}

/** Parts of a bound: above the first the system is asked, and room is made down to the second. */
const LOOK_FROM = 3 / 4
const ROOM_AGAIN = 15 / 16
/** Between two looks. One that holds up the event loop may take a fifth of its time. */
const LOOK_MS = 250
const PAUSE_AFTER_LOOK = 4
/** A client that has read nothing for so long goes before others. */
const STALLED_MS = 2_000

/**
 * Bounds what clients leave unread. An answer that was sent lies in the memory of the system until its client reads it, and
 * nothing else shows that it is there.
 *
 * Everything that is written counts as unread. For clients without a key it counts until their connection ends, and
 * together they have a quarter of the memory for sockets. For clients with a key the system is asked what it still holds
 * before the bound is reached. Beyond the bound, connections on which nothing is read are reset; beyond twice the bound,
 * those that hold most. Where the system does not tell (it is not Linux), clients with a key have no bound.
 */
export class UnreadWatch {
  readonly #options: UnreadWatchOptions
  #isLooking = false
  #nextLookAt = -Infinity
  #bytesAtLook = 0

  constructor(options: UnreadWatchOptions) {
    this.#options = options
  }

  /** Counts what was written to the connection since the last time. */
  onWritten(connection: ClientConnection): void {
    const { census } = this.#options
    const { socket, countedBytes, unreadBytes } = connection
    const more = socket.bytesWritten - countedBytes
    if (more === 0 || census.get(socket) !== connection) return // or it was dropped
    if (unreadBytes === 0) connection.readAt = performance.now()
    connection.countedBytes += more
    census.setUnread(connection, unreadBytes + more)
    if (!connection.isKnown) this.#boundStrangers()
    this.check()
  }

  /** Makes room where too much is unread, or finds out whether it is. */
  check(): void {
    const { unreadBytes } = this.#options.census
    const bound = this.#bound
    if (unreadBytes <= bound * LOOK_FROM || performance.now() < this.#nextLookAt) return
    if (unreadBytes > 2 * bound) return this.#lookNow()
    const isMore = unreadBytes > (this.#bytesAtLook + bound) / 2
    if (isMore || unreadBytes > bound) void this.#look() // cannot reject
  }

  #boundStrangers(): void {
    const { census, socketBytes } = this.#options
    const bound = socketBytes * UNREAD_PART
    if (census.strangersUnreadBytes <= bound) return
    for (const connection of this.#largest()) {
      if (census.strangersUnreadBytes <= bound * ROOM_AGAIN) return
      if (!connection.isKnown) census.drop(connection, 'unread')
    }
  }

  /** Connections that are not there leave their memory to what is unread. */
  get #bound(): number {
    const { census, socketBytes } = this.#options
    return Math.max(socketBytes * UNREAD_PART, socketBytes - census.size * CONNECTION_BYTES)
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    const { read = readUnsentBytes } = this.#options
    this.#isLooking = true
    const counted = this.#counted() // what is written meanwhile must not look as if it had been read
    this.#learn(counted, await read())
    this.#nextLookAt = performance.now() + LOOK_MS
    this.#isLooking = false
  }

  /** The look on the side was not fast enough. */
  #lookNow(): void {
    const { readNow = readUnsentBytesNow } = this.#options
    const begunAt = performance.now()
    this.#learn(this.#counted(), readNow())
    const now = performance.now()
    this.#nextLookAt = now + PAUSE_AFTER_LOOK * (now - begunAt)
  }

  #counted(): ReadonlyMap<ClientConnection, number> {
    const all = this.#options.census.all()
    return new Map(Array.from(all, (connection) => [connection, connection.countedBytes]))
  }

  #learn(counted: ReadonlyMap<ClientConnection, number>, unsent: UnsentBytes): void {
    const { census } = this.#options
    const now = performance.now()
    for (const connection of census.all()) {
      const { socket, countedBytes, unreadBytes } = connection
      const since = countedBytes - (counted.get(connection) ?? 0)
      const left = Math.min(unreadBytes, (unsent.get(portPairOf(socket)) ?? 0) + since)
      census.setUnread(connection, left)
      if (countedBytes - left <= connection.takenBytes) continue
      connection.takenBytes = countedBytes - left
      connection.readAt = now
    }
    this.#bytesAtLook = census.unreadBytes
    this.#makeRoom(this.#bound, ({ isKnown, readAt }) => !isKnown || now - readAt >= STALLED_MS)
    this.#makeRoom(2 * this.#bound, () => true)
  }

  #makeRoom(bound: number, mayGo: (connection: ClientConnection) => boolean): void {
    const { census } = this.#options
    if (census.unreadBytes <= bound) return
    for (const connection of this.#largest()) {
      if (census.unreadBytes <= bound * ROOM_AGAIN) return
      if (mayGo(connection)) census.drop(connection, 'unread')
    }
  }

  /** Connections that may hold something unread, of clients without a key first, then by how much it is. */
  #largest(): readonly ClientConnection[] {
    return Array.from(this.#options.census.all())
      .filter(({ unreadBytes }) => unreadBytes > 0)
      .toSorted((a, b) => Number(a.isKnown) - Number(b.isKnown) || b.unreadBytes - a.unreadBytes)
  }
}
