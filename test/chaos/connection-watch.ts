import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { parseSocketTable, type TcpSocket } from '../../src/control/socket-table.ts'
import { type Ceilings, SocketCensus } from './socket-census.ts'

/** More connections than were promised at that moment, as counted here and as the kernel confirmed. */
export interface Excess {
  readonly counted: number
  readonly confirmed: number
  readonly ceiling: number
}

/** What the upstream has seen of its connections so far. */
export interface ConnectionFigures {
  readonly open: number
  readonly idle: number
  readonly accepted: number
  readonly ceilings: Ceilings
  readonly maxOpen: number
  /** Sampled, whatever their age. */
  readonly maxIdle: number
  /** Sampled, idle for longer than what the budget may take to settle. */
  readonly maxSettledIdle: number
  /** Samples with more of those than allowed, which slowness explains; what it can't explain is in `overIdle`. */
  readonly slowSamples: number
  readonly overBudget: readonly Excess[]
  readonly overIdle: readonly Excess[]
  /** Accepts that looked like too many until the kernel was asked: we had not yet heard of some resets. */
  readonly lateNews: number
  /** Longest time between our FIN on an idle connection and its end. */
  readonly slowestFinMs: number
  /** Most connections that were of use to somebody at once since figures were taken. */
  readonly recentlyUsed: number
}

/** Idle connections above the limit have this long to go. */
const SETTLE_MS = 100
/** A process that fights for its CPU hears of an answer's end later than it is sent. */
const SLOWNESS_MS = 900
const SAMPLE_MS = 10
/** Both sides, or the peer alone, still hold on to a connection in these states. */
const ALIVE = ['established', 'syn-received', 'fin-wait-1', 'fin-wait-2', 'close-wait']

/**
 * Counts the connections of the upstream at every accept, and its idle ones every few milliseconds.
 *
 * A peer's FIN is noticed before it is answered, so nobody who waits for the answer can be ahead of this count.
 * A reset has no answer, and a busy process may hear of it late: so whenever too many are counted, the kernel's
 * table says which of them still exist at that moment. What it confirms is an excess, by any measure.
 */
export class ConnectionWatch {
  readonly #census = new SocketCensus<Socket>()
  readonly #peerPorts = new WeakMap<Socket, number>()
  readonly #finAt = new WeakMap<Socket, number>()
  readonly #overBudget: Excess[] = []
  readonly #overIdle: Excess[] = []
  #ceilings: Ceilings = { connections: Infinity, idle: Infinity }
  #port = 0
  #maxOpen = 0
  #maxIdle = 0
  #maxSettledIdle = 0
  #slowSamples = 0
  #lateNews = 0
  #slowestFinMs = 0
  #recentlyUsed = 0

  start(port: number): void {
    this.#port = port
    setInterval(() => this.#sample(), SAMPLE_MS)
  }

  setCeilings(ceilings: Ceilings): void {
    this.#ceilings = ceilings
  }

  accept(socket: Socket): void {
    this.#peerPorts.set(socket, socket.remotePort ?? 0)
    this.#census.accept(socket, performance.now())
    socket.on('error', () => {}) // resets are what this is about
    socket.once('end', () => this.#gone(socket))
    socket.once('close', () => this.#gone(socket))
    const isWithin = this.#census.open <= this.#ceilings.connections
    this.#maxOpen = Math.max(this.#maxOpen, isWithin ? this.#census.open : this.#confirmOpen())
  }

  started(socket: Socket): void {
    this.#census.started(socket)
  }

  finished(socket: Socket): void {
    this.#census.finished(socket, performance.now())
  }

  reset(socket: Socket): void {
    this.#gone(socket)
    socket.resetAndDestroy()
  }

  all(): readonly Socket[] {
    return [...this.#census.ids()]
  }

  /** Of those idle for a moment, this share. */
  someIdle(share: number): readonly Socket[] {
    const idle = this.#census.idle(performance.now(), 1)
    return idle.slice(0, Math.ceil(idle.length * share))
  }

  finIdle(socket: Socket): void {
    this.#finAt.set(socket, performance.now())
    socket.end()
  }

  figures(): ConnectionFigures {
    return {
      open: this.#census.open,
      idle: this.#census.idle(performance.now(), 0).length,
      accepted: this.#census.accepted,
      ceilings: this.#ceilings,
      maxOpen: this.#maxOpen,
      maxIdle: this.#maxIdle,
      maxSettledIdle: this.#maxSettledIdle,
      slowSamples: this.#slowSamples,
      overBudget: this.#overBudget,
      overIdle: this.#overIdle,
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

  #gone(socket: Socket): void {
    const now = performance.now()
    this.#census.gone(socket, now)
    const finAt = this.#finAt.get(socket)
    this.#finAt.delete(socket)
    if (finAt !== undefined) this.#slowestFinMs = Math.max(this.#slowestFinMs, now - finAt)
  }

  #confirmOpen(): number {
    const counted = this.#census.open
    const ceiling = this.#ceilings.connections
    const table = this.#table()
    const alive = new Set(
      table
        .filter(({ localPort, state }) => localPort === this.#port && ALIVE.includes(state))
        .map(({ remotePort }) => remotePort)
    )
    // Both have sent their FIN: the last one is on its way between the two lines of the table.
    for (const { remotePort, localPort, state } of table) {
      if (remotePort === this.#port && state === 'last-ack') alive.delete(localPort)
    }
    const confirmed = this.#countIn(this.#census.ids(), alive)
    if (confirmed > ceiling) this.#overBudget.push({ counted, confirmed, ceiling })
    else this.#lateNews += 1
    return confirmed
  }

  #sample(): void {
    const now = performance.now()
    this.#recentlyUsed = Math.max(this.#recentlyUsed, this.#census.recentlyUsed(now))
    this.#maxIdle = Math.max(this.#maxIdle, this.#census.idle(now, 0).length)
    const settled = this.#census.idle(now, SETTLE_MS).length
    this.#maxSettledIdle = Math.max(this.#maxSettledIdle, settled)
    if (settled <= this.#ceilings.idle) return
    this.#slowSamples += 1
    const overdue = this.#census.idle(now, SETTLE_MS + SLOWNESS_MS)
    if (overdue.length > this.#ceilings.idle) this.#confirmIdle(overdue)
  }

  /** Idle is what both sides think is idle: an answer's end that a busy peer has not read yet is still on its way. */
  #confirmIdle(overdue: readonly Socket[]): void {
    const quiet = this.#table().filter(isQuiet)
    const there = new Set(
      quiet.filter(({ remotePort }) => remotePort === this.#port).map(({ localPort }) => localPort)
    )
    const here = new Set(
      quiet.filter(({ localPort }) => localPort === this.#port).map(({ remotePort }) => remotePort)
    )
    const onBothSides = new Set([...here].filter((port) => there.has(port)))
    const confirmed = this.#countIn(overdue, onBothSides)
    const ceiling = this.#ceilings.idle
    if (confirmed > ceiling) this.#overIdle.push({ counted: overdue.length, confirmed, ceiling })
  }

  #countIn(sockets: Iterable<Socket>, ports: ReadonlySet<number>): number {
    let count = 0
    for (const socket of sockets) if (ports.has(this.#peerPorts.get(socket) ?? 0)) count += 1
    return count
  }

  #table(): readonly TcpSocket[] {
    return parseSocketTable(readFileSync('/proc/self/net/tcp', 'utf8'))
  }
}

function isQuiet({ state, unreadBytes }: TcpSocket): boolean {
  return state === 'established' && unreadBytes === 0
}
