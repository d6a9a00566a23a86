import type { Socket } from 'node:net'
import { type Excess, IdleExcess } from './idle-excess.ts'
import { alivePeers, quietPeers } from './kernel-view.ts'
import { type Ceilings, SocketCensus } from './socket-census.ts'

/** What the upstream has seen of its connections so far. */
export interface ConnectionFigures {
  readonly open: number
  readonly idle: number
  readonly accepted: number
  /** Requests, and those of them that came on a connection which had carried one before. */
  readonly served: number
  readonly reused: number
  readonly ceilings: Ceilings
  readonly maxOpen: number
  /** Sampled, whatever their age. */
  readonly maxIdle: number
  /** Sampled, idle for longer than what the budget may take to settle. */
  readonly maxSettledIdle: number
  readonly overBudget: readonly Excess[]
  /** Longest time for which too many settled ones were idle, as the kernel confirmed with every sample. */
  readonly longestIdleExcessMs: number
  /** The largest of these. */
  readonly worstIdle: Excess | null
  /** Longest time between two samples: how busy the machine was. */
  readonly slowestSampleMs: number
  /** Accepts that looked like too many until the kernel was asked: we had not yet heard of some resets. */
  readonly lateNews: number
  /** Longest time between our FIN on an idle connection and its end. */
  readonly slowestFinMs: number
  /** Most connections that were of use to somebody at once since figures were taken. */
  readonly recentlyUsed: number
}

/** Idle connections above the limit have this long to go. */
const SETTLE_MS = 100
const SAMPLE_MS = 10

/**
 * Counts the connections of the upstream at every accept, and its idle ones every few milliseconds. A connection is
 * known by its TCP socket; what carries its requests is another one where there is TLS.
 *
 * A peer's FIN is noticed before it is answered, so nobody who waits for the answer can be ahead of this count.
 * A reset has no answer, and a busy process may hear of it late: so whenever too many are counted, the kernel's
 * table says which of them still exist at that moment. What it confirms is an excess, by any measure.
 */
export class ConnectionWatch {
  readonly #census = new SocketCensus<Socket>()
  readonly #transports = new WeakMap<Socket, Socket>()
  readonly #carriers = new WeakMap<Socket, Socket>()
  readonly #peerPorts = new WeakMap<Socket, number>()
  readonly #finAt = new WeakMap<Socket, number>()
  readonly #overBudget: Excess[] = []
  readonly #idleExcess = new IdleExcess()
  #ceilings: Ceilings = { connections: Infinity, idle: Infinity }
  #port = 0
  #maxOpen = 0
  #maxIdle = 0
  #sampledAt = 0
  #slowestSampleMs = 0
  #lateNews = 0
  #slowestFinMs = 0
  #recentlyUsed = 0

  start(port: number): void {
    this.#port = port
    this.#sampledAt = performance.now()
    setInterval(() => this.#sample(performance.now()), SAMPLE_MS)
  }

  setCeilings(ceilings: Ceilings): void {
    this.#ceilings = ceilings
  }

  accept(transport: Socket): void {
    this.#peerPorts.set(transport, transport.remotePort ?? 0)
    this.#census.accept(transport, performance.now())
    this.#listen(transport, transport)
    const isWithin = this.#census.open <= this.#ceilings.connections
    this.#maxOpen = Math.max(this.#maxOpen, isWithin ? this.#census.open : this.#confirmOpen())
  }

  /** From now on `carrier` has the requests of this connection. */
  carry(transport: Socket, carrier: Socket): void {
    this.#transports.set(carrier, transport)
    this.#carriers.set(transport, carrier)
    this.#listen(carrier, transport)
  }

  started(carrier: Socket): void {
    this.#census.started(this.#transportOf(carrier))
  }

  finished(carrier: Socket): void {
    this.#census.finished(this.#transportOf(carrier), performance.now())
  }

  reset(carrier: Socket): void {
    const transport = this.#transportOf(carrier)
    this.#gone(transport)
    transport.resetAndDestroy()
    carrier.destroy()
  }

  /** What carries the requests of all that are open. */
  all(): readonly Socket[] {
    return [...this.#census.ids()].map((transport) => this.#carrierOf(transport))
  }

  /** Of those idle for a moment, this share. */
  someIdle(share: number): readonly Socket[] {
    const idle = this.#census.idle(performance.now(), 1)
    const some = idle.slice(0, Math.ceil(idle.length * share))
    return some.map((transport) => this.#carrierOf(transport))
  }

  finIdle(carrier: Socket): void {
    this.#finAt.set(this.#transportOf(carrier), performance.now())
    carrier.end()
  }

  figures(): ConnectionFigures {
    return {
      open: this.#census.open,
      idle: this.#census.idle(performance.now(), 0).length,
      accepted: this.#census.accepted,
      served: this.#census.served,
      reused: this.#census.reused,
      ceilings: this.#ceilings,
      maxOpen: this.#maxOpen,
      maxIdle: this.#maxIdle,
      maxSettledIdle: this.#idleExcess.max,
      overBudget: this.#overBudget,
      longestIdleExcessMs: this.#idleExcess.longestMs,
      worstIdle: this.#idleExcess.worst,
      slowestSampleMs: this.#slowestSampleMs,
      lateNews: this.#lateNews,
      slowestFinMs: this.#slowestFinMs,
      recentlyUsed: this.#recentlyUsed
    }
  }

  /** The same, and `recentlyUsed` begins anew. */
  takeFigures(): ConnectionFigures {
    const figures = this.figures()
    this.#recentlyUsed = 0
    return figures
  }

  #listen(socket: Socket, transport: Socket): void {
    socket.on('error', () => {}) // resets are what this is about
    socket.once('end', () => this.#gone(transport))
    socket.once('close', () => this.#gone(transport))
  }

  #gone(transport: Socket): void {
    const now = performance.now()
    this.#census.gone(transport, now)
    const finAt = this.#finAt.get(transport)
    this.#finAt.delete(transport)
    if (finAt !== undefined) this.#slowestFinMs = Math.max(this.#slowestFinMs, now - finAt)
  }

  #confirmOpen(): number {
    const counted = this.#census.open
    const ceiling = this.#ceilings.connections
    const confirmed = this.#countIn(this.#census.ids(), alivePeers(this.#port))
    if (confirmed > ceiling) this.#overBudget.push({ counted, confirmed, ceiling })
    else this.#lateNews += 1
    return confirmed
  }

  #sample(now: number): void {
    this.#slowestSampleMs = Math.max(this.#slowestSampleMs, now - this.#sampledAt)
    this.#sampledAt = now
    this.#recentlyUsed = Math.max(this.#recentlyUsed, this.#census.recentlyUsed(now))
    this.#maxIdle = Math.max(this.#maxIdle, this.#census.idle(now, 0).length)
    const settled = this.#census.idle(now, SETTLE_MS)
    const counted = settled.length
    const ceiling = this.#ceilings.idle
    const confirmed = counted > ceiling ? this.#countIn(settled, quietPeers(this.#port)) : counted
    this.#idleExcess.note({ counted, confirmed, ceiling }, now)
  }

  #countIn(transports: Iterable<Socket>, ports: ReadonlySet<number>): number {
    let count = 0
    for (const transport of transports) {
      if (ports.has(this.#peerPorts.get(transport) ?? 0)) count += 1
    }
    return count
  }

  #transportOf(carrier: Socket): Socket {
    return this.#transports.get(carrier) ?? carrier
  }

  #carrierOf(transport: Socket): Socket {
    return this.#carriers.get(transport) ?? transport
  }
}
