import { performance } from 'node:perf_hooks'

/** What there is of something and how much of it is in use. */
export interface Share {
  readonly used: number
  readonly total: number
}

export interface LoadWatchOptions {
  /** Memory for bodies and answers. */
  readonly memory: () => Share
  /** Jobs wait for a thread. */
  readonly isConverting: () => boolean
  readonly tell: (load: number) => void
  /** Time the event loop was at work and in all since it was asked last, in any unit. */
  readonly loop?: () => Share
}

/** So many new connections between two looks are a crowd, whose requests are about to come. */
const CROWD = 32
/** Of the memory in use, which the other workers have as much of. */
const MEMORY_IN_USE = 0.5
/** What is left of a load from one look to the next: a short pause is not the end of it. */
const FADING = 0.95
/** The primary is told of such changes. */
const STEP = 0.1

/**
 * How much there is to do for a worker, from 0 to 1, by which the primary decides whether it has new connections to itself:
 * the part of the time that its event loop is at work. It is 1 where something else is short that another worker has.
 *
 * Rises at once and falls slowly: by half in some three seconds.
 */
export class LoadWatch {
  readonly #options: LoadWatchOptions
  readonly #loop: () => Share
  #arrivals = 0
  #load = 0
  #told = 0

  constructor(options: LoadWatchOptions) {
    this.#options = options
    this.#loop = options.loop ?? eventLoop()
  }

  /** A client has connected. */
  arrived(): void {
    this.#arrivals += 1
    if (this.#arrivals === CROWD) this.#set(1)
  }

  /** Looks again. Called some times a second while there are clients. */
  look(): void {
    const { used, total } = this.#loop()
    const now = this.#isShort() ? 1 : total === 0 ? 0 : used / total
    this.#arrivals = 0
    this.#set(Math.max(now, this.#load * FADING))
  }

  /** There are no clients any more. */
  rest(): void {
    this.#set(0)
  }

  #isShort(): boolean {
    const { memory, isConverting } = this.#options
    const { used, total } = memory()
    return this.#arrivals >= CROWD || used > total * MEMORY_IN_USE || isConverting()
  }

  #set(next: number): void {
    this.#load = next
    if (Math.abs(next - this.#told) < STEP && (next > 0 || this.#told === 0)) return
    this.#told = next
    this.#options.tell(next)
  }
}

function eventLoop(): () => Share {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { active, idle } = performance.eventLoopUtilization(now, last)
    last = now
    return { used: active, total: active + idle }
  }
}
