import { type Context, createContext, Script } from 'node:vm'
import { abortErrorOf, codeOf, GatewayError } from '../shared/errors.ts'
import { JobCosts } from './job-costs.ts'
import type { JobOwner } from './thread-lane.ts'
import { transformFailed } from './transform-job.ts'
import type { TurnQueue } from './transform-pool.ts'

/**
 * Time that jobs may take of one turn of the event loop together; the next ones wait for later turns, in which others
 * are served first.
 */
const TURN_MS = 5
/** The same while new connections wait: Node accepts one in each turn. What is known to take longer goes to a thread. */
const CROWDED_TURN_MS = 2
/** After a job that took longer, the next one waits for so many times as long, while new connections wait. */
const CROWDED_REST = 4
/** Smaller bodies are not worth a thread. */
const LEAST_MOVED_BYTES = 4 * 1024
/**
 * One job may take so long: what takes longer is given up here, and belongs in a thread. Usual ones take 0.6 ms per
 * 100 KB. Measured on a busy machine: 200 times as long as the largest of them needs.
 */
const JOB_MS = 25
/**
 * Up to this size no job can take so long, and none is timed: being ready to end a job costs 0.08 ms of
 * a CPU, as V8 starts a thread for it.
 */
const TRUSTED_BYTES = 32 * 1024
/** After a job that took too long, larger ones of its key run in threads for this long. */
const DISTRUST_MS = 10_000

/** Result of a job that took too long, or would have: `run()` returns it instead. */
export const TOO_LONG = Symbol('too long')

export interface InlineLaneOptions {
  /** Must be empty. */
  readonly queue: TurnQueue
  /** New connections wait for the event loop. */
  readonly isCrowded: () => boolean
  /** A thread would take a job soon. */
  readonly haveThreadsRoom: () => boolean
}

/**
 * Jobs on the event loop, one after the other, each for a bounded time: keys take turns, and nothing else on the loop
 * waits longer than for one job. While new connections wait, jobs have a fifth of the time, so that health checks among
 * these don't wait for all of them.
 *
 * Waiting jobs are bounded by the memory for bodies, of which each holds some.
 */
export class InlineLane {
  readonly #options: InlineLaneOptions
  readonly #queue: TurnQueue
  readonly #costs = new JobCosts()
  /** Bounded by the memory for bodies, of which each job holds some. */
  readonly #waiting = new Map<number, () => void>()
  /** Keys whose jobs took too long, and until when they are distrusted. Bounded by the number of keys. */
  readonly #distrusted = new Map<string, number>()
  readonly #watchdog = new Watchdog()
  #nextId = 0
  /** In this turn of the loop. */
  #spentMs = 0
  #isInTurn = false
  #restUntil = -Infinity

  constructor(options: InlineLaneOptions) {
    this.#options = options
    this.#queue = options.queue
  }

  /** True if a job of this size may be run here for this key. */
  mayTake(bytes: number, key: string): boolean {
    return bytes <= TRUSTED_BYTES || !this.#isDistrusted(key)
  }

  /**
   * Runs a job when it is its turn, mostly at once.
   *
   * Gives `TOO_LONG` when it was ended for taking too long, wherever it was by then: it must not leave anything half
   * done behind. The same for one that was not begun, as it is expected to keep new connections waiting.
   *
   * @throws {GatewayError} as a job in a thread; the signal's own error when that aborts first
   */
  async run<T>(job: () => T, bytes: number, owner: JobOwner): Promise<T | typeof TOO_LONG> {
    const isFree = this.#waiting.size === 0 && this.#mayRun()
    const run = (): T | typeof TOO_LONG => {
      if (!this.#isForThread(bytes, owner.key)) return this.#run(job, bytes, owner.key)
      this.#spend(CROWDED_TURN_MS) // one in a turn: the next one has to see it in the threads' queue
      return TOO_LONG
    }
    return isFree ? run() : this.#runInTurn(run, owner)
  }

  #mayRun(): boolean {
    if (!this.#options.isCrowded()) return this.#spentMs < TURN_MS
    return this.#spentMs < CROWDED_TURN_MS && performance.now() >= this.#restUntil
  }

  #isForThread(bytes: number, key: string): boolean {
    const { isCrowded, haveThreadsRoom } = this.#options
    if (bytes < LEAST_MOVED_BYTES || !isCrowded() || !haveThreadsRoom()) return false
    return this.#costs.expected(key, bytes) > CROWDED_TURN_MS
  }

  #run<T>(job: () => T, bytes: number, key: string): T | typeof TOO_LONG {
    const startedAt = performance.now()
    try {
      const result = bytes <= TRUSTED_BYTES ? job() : this.#watchdog.run(JOB_MS, job)
      if (result === TOO_LONG) this.#distrusted.set(key, startedAt + DISTRUST_MS)
      return result
    } catch (cause) {
      throw cause instanceof GatewayError ? cause : transformFailed(cause)
    } finally {
      const endedAt = performance.now()
      const costMs = endedAt - startedAt
      this.#queue.charge(key, costMs)
      this.#costs.note(key, bytes, costMs)
      if (costMs > CROWDED_TURN_MS) this.#restUntil = endedAt + costMs * CROWDED_REST
      this.#spend(costMs)
    }
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

  /** The first job of a turn, or the first that waits, sees to it that the turn has an end. */
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

/** The word by which a job is called in a context of its own. */
const CALL = new Script('job()')

/** Ends functions that run too long, even inside a regular expression. */
class Watchdog {
  readonly #scope: { job: (() => void) | null } = { job: null }
  /** Making one takes a millisecond and a megabyte. */
  #context: Context | null = null

  run<T>(timeoutMs: number, run: () => T): T | typeof TOO_LONG {
    this.#context ??= createContext(this.#scope)
    const results: T[] = []
    const errors: unknown[] = []
    this.#scope.job = () => {
      try {
        results.push(run())
      } catch (error) {
        errors.push(error)
      }
    }
    try {
      CALL.runInContext(this.#context, { timeout: timeoutMs })
    } catch (error) {
      if (codeOf(error) !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    } finally {
      this.#scope.job = null
    }
    if (errors.length > 0) throw errors[0]
    for (const result of results) return result
    return TOO_LONG
  }
}
