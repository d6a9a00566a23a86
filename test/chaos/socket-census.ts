/** How many connections may be open, and how many of them idle, as promised at the moment. */
export interface Ceilings {
  readonly connections: number
  readonly idle: number
}

interface Entry {
  requests: number
  hasServed: boolean
  idleSince: number
}

/** A permit whose connection was in use this recently counts as used: handing it on takes time, too. */
const HANDOVER_MS = 100

/**
 * Counts the connections of the upstream. Pure: `now` comes with each call, in milliseconds.
 *
 * A connection counts from its accept until its peer's FIN or either side's reset is seen.
 */
export class SocketCensus<Id> {
  readonly #open = new Map<Id, Entry>()
  /** When connections that were in use have gone, oldest first. */
  #goneAt: number[] = []
  accepted = 0
  /** Requests that have begun, and those of them on a connection that had carried one before. */
  served = 0
  reused = 0

  get open(): number {
    return this.#open.size
  }

  ids(): IterableIterator<Id> {
    return this.#open.keys()
  }

  accept(id: Id, now: number): void {
    this.accepted += 1
    this.#open.set(id, { requests: 0, hasServed: false, idleSince: now })
  }

  started(id: Id): void {
    const entry = this.#open.get(id)
    if (entry === undefined) return
    this.served += 1
    if (entry.hasServed) this.reused += 1
    entry.requests += 1
    entry.hasServed = true
  }

  finished(id: Id, now: number): void {
    const entry = this.#open.get(id)
    if (entry === undefined) return
    entry.requests -= 1
    entry.idleSince = now
  }

  gone(id: Id, now: number): void {
    const entry = this.#open.get(id)
    if (entry === undefined) return
    this.#open.delete(id)
    if (isRecent(entry, now)) this.#goneAt.push(now)
  }

  /** Those without a request for longer than `ms`. */
  idle(now: number, ms: number): readonly Id[] {
    const idle: Id[] = []
    for (const [id, { requests, idleSince }] of this.#open) {
      if (requests === 0 && now - idleSince >= ms) idle.push(id)
    }
    return idle
  }

  /** Connections in use now or a moment ago, those that have closed since included. */
  recentlyUsed(now: number): number {
    this.#goneAt = this.#goneAt.filter((at) => now - at < HANDOVER_MS)
    let used = this.#goneAt.length
    for (const entry of this.#open.values()) if (isRecent(entry, now)) used += 1
    return used
  }
}

function isRecent({ requests, idleSince }: Entry, now: number): boolean {
  return requests > 0 || now - idleSince < HANDOVER_MS
}
