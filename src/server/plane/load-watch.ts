import type { ToPrimary } from '../../ipc/channel.ts'
import type { Arrivals } from './arrivals.ts'

/** Total and used amount of a resource. */
export interface InUse {
  readonly used: number
  readonly total: number
}

export interface LoadWatchOptions {
  /** Memory for bodies and answers. */
  readonly memory: () => InUse
  /** Requests wait for memory, or for a thread. */
  readonly isWaiting: () => boolean
  readonly channel: ToPrimary
  readonly arrivals: Pick<Arrivals, 'arrived'>
  /** CPU time of the event loop's thread, and time in all, since it was asked last. */
  readonly cpu?: () => InUse
}

/** New connections between two looks that count as a crowd, whose requests are about to come. */
const CROWD = 32
/** Connections waiting for each other that count as one, too. */
const QUEUE = 4
/** A crowd counts for so many looks. */
const CROWD_LOOKS = 12
/** Fraction of used memory that counts as full; the other workers have as much. */
const MEMORY_IN_USE = 0.5
/** Fraction of a load that remains from one look to the next: a short pause is not the end of it. */
const FADING = 0.95
/** The primary is told of such changes. */
const STEP = 0.1

/**
 * Load of a worker, from 0 to 1, by which the primary decides whether it gets all new connections: the part of a CPU
 * that its event loop takes. It is 1 if another resource is short that another worker has. Also reports whether a crowd
 * has come, whose first bytes two workers deliver sooner than one.
 *
 * Rises at once and falls slowly: by half in some three seconds.
 */
export class LoadWatch {
  readonly #options: LoadWatchOptions
  readonly #cpu: () => InUse
  #arrivals = 0
  /** Looks for which the last crowd still counts. */
  #crowdedLooks = 0
  #load = 0
  #told = { load: 0, isCrowded: false }

  constructor(options: LoadWatchOptions) {
    this.#options = options
    this.#cpu = options.cpu ?? mainThread()
  }

  /** A client has connected. */
  arrived(): void {
    this.#arrivals += 1
    if (this.#options.arrivals.arrived() >= QUEUE || this.#arrivals >= CROWD) this.#crowd()
    if (this.#isShort()) this.#set(1) // hundreds more may come before the next look
  }

  /** Looks again. Called some times a second while there are clients. */
  look(): void {
    const { used, total } = this.#cpu()
    const now = this.#isShort() ? 1 : total === 0 ? 0 : used / total
    this.#arrivals = 0
    this.#crowdedLooks = Math.max(0, this.#crowdedLooks - 1)
    this.#set(Math.max(now, this.#load * FADING))
  }

  /** There are no clients any more. */
  rest(): void {
    this.#crowdedLooks = 0
    this.#set(0)
  }

  #crowd(): void {
    this.#crowdedLooks = CROWD_LOOKS
    this.#set(this.#load)
  }

  #isShort(): boolean {
    const { memory, isWaiting } = this.#options
    const { used, total } = memory()
    return used > total * MEMORY_IN_USE || isWaiting()
  }

  #set(load: number): void {
    this.#load = load
    const told = this.#told
    const isCrowded = this.#crowdedLooks > 0
    const isSimilar = Math.abs(load - told.load) < STEP && (load > 0 || told.load === 0)
    if (isSimilar && isCrowded === told.isCrowded) return
    this.#told = { load, isCrowded }
    this.#options.channel.send({ type: 'clients.load', load, isCrowded })
  }
}

/**
 * CPU time of its thread, in microseconds. The time that the event loop is not idle would also count when the machine
 * has no CPU for it, of which another worker would have no more.
 */
function mainThread(): () => InUse {
  let lastAt = performance.now()
  let last = process.threadCpuUsage()
  return () => {
    const at = performance.now()
    const now = process.threadCpuUsage()
    const share = {
      used: now.user + now.system - last.user - last.system,
      total: (at - lastAt) * 1000
    }
    lastAt = at
    last = now
    return share
  }
}
