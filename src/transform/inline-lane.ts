import { CostQueue } from '../admission/fair-queue.ts'
import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import { setNewest } from '../shared/newest.ts'
import { runWithin, TOO_LONG } from '../shared/run-within.ts'
import type { JobOwner } from './thread-lane.ts'
import { transformFailed } from './transform-job.ts'

/** Time for all jobs in one turn of the event loop; others are served before the next. */
const TURN_MS = 5
/** TURN_MS while new connections wait: Node accepts one per turn. Jobs expected to take longer go to a thread. */
const CROWDED_TURN_MS = 2
/** Factor on a longer job's time for which the next waits, while new connections wait. */
const CROWDED_REST = 4
const LEAST_MOVED_BYTES = 4 * 1024
/** Usual jobs take 0.6 ms per 100 KB; on a busy machine 200 times as long was measured for the largest. */
const JOB_MS = 25
/** Smaller jobs are not timed: a timeout costs 0.08 ms of CPU, as V8 starts a thread for it. */
const TRUSTED_BYTES = 32 * 1024
/** Time for which larger jobs of a key go to threads, after one took too long. */
const DISTRUST_MS = 10_000

export interface InlineLaneOptions {
  /** New connections wait for the event loop. */
  readonly isCrowded: () => boolean
  readonly haveThreadsRoom: () => boolean
}

/**
 * Runs jobs one after the other; keys take turns. While new connections wait, jobs get a fifth of the time,
 * so that health checks are served.
 * Waiting jobs are bounded by the memory for bodies, of which each holds some.
 */
export class InlineLane {
  readonly #options: InlineLaneOptions
  /** Bounded by the jobs that wait. */
  readonly #queue = new CostQueue()
  readonly #costs = new JobCosts()
  /** Bounded by the memory for bodies, of which each job holds some. */
  readonly #waiting = new Map<number, () => void>()
  /** Keys of jobs that took too long, and until when. Bounded by the number of keys. */
  readonly #distrusted = new Map<string, number>()
  #nextId = 0
  #spentMs = 0
  #isInTurn = false
  #isContested = false
  #restUntil = -Infinity

  constructor(options: InlineLaneOptions) {
    this.#options = options
  }

  mayTake(bytes: number, key: string): boolean {
    return bytes <= TRUSTED_BYTES || !this.#isDistrusted(key)
  }

  /**
   * `TOO_LONG`: the job was ended, so it must not leave anything half done, or not begun, as it would delay
   * new connections.
   * @throws {GatewayError} as a job in a thread; the signal's error if that aborts first
   */
  async run<T>(job: () => T, bytes: number, owner: JobOwner): Promise<T | typeof TOO_LONG> {
    const isFree = this.#waiting.size === 0 && this.#mayRun()
    if (isFree) return this.#run(job, bytes, owner.key)
    return this.#runInTurn(() => this.#run(job, bytes, owner.key), owner)
  }

  #mayRun(): boolean {
    if (this.#spentMs < CROWDED_TURN_MS && performance.now() >= this.#restUntil) return true
    return this.#spentMs < TURN_MS && !this.#options.isCrowded()
  }

  #isForThread(bytes: number, key: string): boolean {
    const { isCrowded, haveThreadsRoom } = this.#options
    if (bytes < LEAST_MOVED_BYTES || !isCrowded() || !haveThreadsRoom()) return false
    return this.#costs.expected(key, bytes) > CROWDED_TURN_MS
  }

  #run<T>(job: () => T, bytes: number, key: string): T | typeof TOO_LONG {
    if (this.#isForThread(bytes, key)) {
      this.#spend(CROWDED_TURN_MS) // one in a turn: the next one has to see it in the threads' queue
      return TOO_LONG
    }
    const startedAt = performance.now()
    try {
      const result = bytes <= TRUSTED_BYTES ? job() : runWithin(JOB_MS, job)
      if (result === TOO_LONG) this.#distrusted.set(key, startedAt + DISTRUST_MS)
      return result
    } catch (cause) {
      throw cause instanceof GatewayError ? cause : transformFailed(cause)
    } finally {
      const endedAt = performance.now()
      const costMs = endedAt - startedAt
      this.#charge(key, costMs)
      this.#costs.note(key, bytes, costMs)
      if (costMs > CROWDED_TURN_MS) this.#restUntil = endedAt + costMs * CROWDED_REST
      this.#spend(costMs)
    }
  }

  /** Charges a cost while jobs wait: the queue forgives all once none does. */
  #charge(key: string, costMs: number): void {
    if (!this.#isContested) return
    this.#queue.charge(key, costMs)
    this.#isContested = this.#waiting.size > 0
  }

  #isDistrusted(key: string): boolean {
    const until = this.#distrusted.get(key)
    if (until === undefined) return false
    if (performance.now() < until) return true
    this.#distrusted.delete(key)
    return false
  }

  #runInTurn<T>(run: () => T, { key, signal }: JobOwner): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const id = this.#nextId++
    const onAbort = (): void => {
      this.#waiting.delete(id)
      this.#queue.remove(id)
      reject(abortErrorOf(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#queue.push(id, key)
    this.#isContested = true
    this.#waiting.set(id, () => {
      signal.removeEventListener('abort', onAbort)
      try {
        resolve(run())
      } catch (error) {
        reject(error)
      }
    })
    this.#spend(0) // nothing may have been run in this turn
    return promise
  }

  #spend(costMs: number): void {
    if (!this.#isInTurn) setImmediate(() => this.#onNextTurn())
    this.#isInTurn = true
    this.#spentMs += costMs
  }

  #onNextTurn(): void {
    this.#isInTurn = false
    this.#spentMs = 0
    while (this.#waiting.size > 0 && this.#mayRun()) {
      const id = this.#queue.shift()
      const run = id === null ? undefined : this.#waiting.get(id)
      if (id === null || run === undefined) return
      this.#waiting.delete(id)
      run()
    }
    if (this.#waiting.size > 0) this.#spend(0)
  }
}

/** Number of jobs of which the cheapest predicts the next: a busy machine or a cold start spoils some. */
const LAST_JOBS = 4
/** Smaller bodies count as this large, since every job has a fixed cost. */
const LEAST_BYTES = 8 * 1024
const MAX_KEYS = 64

class JobCosts {
  /** Milliseconds per byte, newest last. Bounded by MAX_KEYS and LAST_JOBS. */
  readonly #last = new Map<string, readonly number[]>()

  note(key: string, bytes: number, costMs: number): void {
    const last = [...(this.#last.get(key) ?? []), costMs / counted(bytes)].slice(-LAST_JOBS)
    setNewest(this.#last, MAX_KEYS, key, last)
  }

  /** Milliseconds; 0 if too little is known of the key. */
  expected(key: string, bytes: number): number {
    const last = this.#last.get(key) ?? []
    return last.length < LAST_JOBS ? 0 : Math.min(...last) * counted(bytes)
  }
}

function counted(bytes: number): number {
  return Math.max(LEAST_BYTES, bytes)
}
