import type { Socket } from 'node:net'

export interface SimulatorStats {
  readonly connections: {
    readonly open: number
    readonly max: number
    /** Open, has served a request, serves none now. */
    readonly idle: number
    readonly maxIdle: number
    readonly accepted: number
  }
  readonly requests: {
    readonly total: number
    readonly byOperation: Readonly<Record<string, number>>
  }
  /** Requests on a connection that had served one before. */
  readonly requestsOnReusedConnections: number
  readonly inFlight: number
  readonly maxInFlight: number
  /** Access tokens handed out. */
  readonly refreshes: number
}

interface Connection {
  /** Requests begun. */
  served: number
  /** Requests running. */
  busy: number
  /** `max` before this connection was accepted. */
  readonly maxBefore: number
}

/**
 * Counts connections and requests as the upstream sees them: each socket from its accept to its close.
 *
 * Connections that only ask for the statistics are taken out again, `max` included. `maxIdle` counts moments:
 * a client that closes a connection right after an answer is still seen idle for that moment.
 */
export class ConnectionCensus {
  readonly #connections = new Map<Socket, Connection>()
  #max = 0
  #idle = 0
  #maxIdle = 0
  #accepted = 0
  #total = 0
  #byOperation: Record<string, number> = {}
  #reused = 0
  #inFlight = 0
  #maxInFlight = 0
  #refreshes = 0

  accept(socket: Socket): void {
    this.#connections.set(socket, { served: 0, busy: 0, maxBefore: this.#max })
    this.#accepted++
    socket.once('close', () => this.#forget(socket))
    // In the turn in which both are told, an accept may be told before the close of another that came first.
    setImmediate(() =>
      setImmediate(() => {
        this.#max = Math.max(this.#max, this.#connections.size)
      })
    )
  }

  /** The socket turned out to be no client of the upstream. */
  exclude(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined || connection.served > 0) return
    this.#connections.delete(socket)
    this.#accepted--
    // A peak reached since its accept counted this socket, an older one did not.
    if (this.#max > connection.maxBefore) this.#max--
  }

  begin(socket: Socket, operation: string): void {
    const connection = this.#connections.get(socket)
    if (connection !== undefined) {
      if (connection.served > 0) this.#reused++
      if (connection.served > 0 && connection.busy === 0) this.#idle--
      connection.served++
      connection.busy++
    }
    this.#total++
    this.#byOperation[operation] = (this.#byOperation[operation] ?? 0) + 1
    this.#inFlight++
    this.#maxInFlight = Math.max(this.#maxInFlight, this.#inFlight)
  }

  end(socket: Socket): void {
    this.#inFlight--
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    connection.busy--
    if (connection.busy > 0) return
    this.#idle++
    this.#maxIdle = Math.max(this.#maxIdle, this.#idle)
  }

  countRefresh(): void {
    this.#refreshes++
  }

  /** Starts counting anew; what is open or running now stays counted as such. */
  reset(): void {
    this.#max = this.#connections.size
    this.#maxIdle = this.#idle
    this.#maxInFlight = this.#inFlight
    this.#accepted = 0
    this.#total = 0
    this.#byOperation = {}
    this.#reused = 0
    this.#refreshes = 0
  }

  stats(): SimulatorStats {
    return {
      connections: {
        open: this.#connections.size,
        max: this.#max,
        idle: this.#idle,
        maxIdle: this.#maxIdle,
        accepted: this.#accepted
      },
      requests: { total: this.#total, byOperation: { ...this.#byOperation } },
      requestsOnReusedConnections: this.#reused,
      inFlight: this.#inFlight,
      maxInFlight: this.#maxInFlight,
      refreshes: this.#refreshes
    }
  }

  #forget(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    this.#connections.delete(socket)
    if (connection.served > 0 && connection.busy === 0) this.#idle--
  }
}
