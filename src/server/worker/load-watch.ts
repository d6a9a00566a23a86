import type { ToPrimary } from '../../ipc/channel.ts'

/** Node accepts one connection per turn of the event loop: while every turn brings one, others wait in the system. */
export class Arrivals {
  readonly #onAccepted: (waitedMs: number) => void
  /** When the first of the waiting connections was accepted; `null` while none waits. */
  #since: number | null = null
  #together = 0
  #hasCome = false

  /** `onAccepted` hears how long a connection can have waited since another was accepted. */
  constructor(onAccepted: (waitedMs: number) => void = () => {}) {
    this.#onAccepted = onAccepted
  }

  get areWaiting(): boolean {
    return this.#since !== null
  }

  /** Returns how many came without a turn between them. */
  arrived(): number {
    const now = performance.now()
    if (this.#since === null) {
      this.#since = now
      setImmediate(this.#onTurn)
    }
    this.#hasCome = true
    this.#together += 1
    this.#onAccepted(now - this.#since)
    return this.#together
  }

  readonly #onTurn = (): void => {
    if (this.#hasCome) {
      this.#hasCome = false
      setImmediate(this.#onTurn)
      return
    }
    this.#since = null
    this.#together = 0
  }
}

export interface InUse {
  readonly used: number
  readonly total: number
}

export interface LoadWatchOptions {
  readonly memory: () => InUse
  readonly isWaiting: () => boolean
  readonly channel: ToPrimary
  readonly arrivals: Pick<Arrivals, 'arrived'>
  /** CPU time of the event loop's thread, and time in all, since the last call. */
  readonly cpu?: () => InUse
}

/** New connections between two looks that are a crowd: their requests are about to come. */
const CROWD = 32
/** Connections waiting for each other that are a crowd, too. */
const QUEUE = 4
const CROWD_LOOKS = 12
/** Fraction that counts as full; other workers have as much. */
const MEMORY_IN_USE = 0.5
/** Part of a load that remains at the next look: a short pause is not its end. */
const FADING = 0.95
/** Smallest change that the primary is told. */
const STEP = 0.1

/**
 * Load of a worker, 0 to 1: the event loop's part of a CPU, or 1 if a resource is short that another worker
 * has. It decides who gets new connections. Rises at once and falls by half in some three seconds.
 * Also reports a crowd, whose first bytes two workers deliver sooner.
 */
export class LoadWatch {
  readonly #options: LoadWatchOptions
  readonly #cpu: () => InUse
  #arrivals = 0
  #crowdedLooks = 0
  #load = 0
  #told = { load: 0, isCrowded: false }

  constructor(options: LoadWatchOptions) {
    this.#options = options
    this.#cpu = options.cpu ?? mainThread()
  }

  arrived(): void {
    this.#arrivals += 1
    if (this.#options.arrivals.arrived() >= QUEUE || this.#arrivals >= CROWD) this.#crowd()
    if (this.#isShort()) this.#set(1) // hundreds more may come before the next look
  }

  look(): void {
    const { used, total } = this.#cpu()
    const now = this.#isShort() ? 1 : total === 0 ? 0 : used / total
    this.#arrivals = 0
    this.#crowdedLooks = Math.max(0, this.#crowdedLooks - 1)
    this.#set(Math.max(now, this.#load * FADING))
  }

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
 * Microseconds. Busy time of the event loop would include waits for a CPU, which another worker would lack
 * as well.
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
