import type { Connection } from './connection.ts'

/**
 * The idle connections of one pool. The most recently used one to an origin is taken first, so that
 * the others can grow old; the one that has been idle longest, over all origins, goes first.
 */
export class IdleConnections {
  /**
   * By origin, the most recently used one last.
   * Bounded by the idle connections; and its keys by the number of origins, which no client names.
   */
  readonly #stacks = new Map<string, Connection[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(connection: Connection): void {
    const key = connection.origin.origin
    const stack = this.#stacks.get(key)
    if (stack === undefined) this.#stacks.set(key, [connection])
    else stack.push(connection)
    this.#size += 1
  }

  /** Removes and gives the most recently used connection to this origin; leaves those whose end has begun. */
  takeNewest(origin: URL): Connection | null {
    const stack = this.#stacks.get(origin.origin) ?? []
    const index = stack.findLastIndex(({ isIdle }) => isIdle)
    const [connection = null] = index < 0 ? [] : stack.splice(index, 1)
    if (connection !== null) this.#size -= 1
    return connection
  }

  /** Removes and gives the connection that has been idle longest. */
  takeOldest(): Connection | null {
    const connection = this.#oldestStack()?.shift()
    if (connection === undefined) return null
    this.#size -= 1
    return connection
  }

  /** `performance.now()` since when the oldest one is idle; `null` when there is none. */
  oldestSince(): number | null {
    return this.#oldestStack()?.[0]?.idleSince ?? null
  }

  /** Forgets a connection that closed by itself. */
  remove(connection: Connection): void {
    const stack = this.#stacks.get(connection.origin.origin)
    const index = stack?.indexOf(connection) ?? -1
    if (index < 0) return
    stack?.splice(index, 1)
    this.#size -= 1
  }

  #oldestStack(): Connection[] | null {
    let oldest: Connection[] | null = null
    for (const stack of this.#stacks.values()) {
      const first = stack[0]
      if (first === undefined) continue
      if (oldest?.[0] === undefined || first.idleSince < oldest[0].idleSince) oldest = stack
    }
    return oldest
  }
}
