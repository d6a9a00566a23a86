import { setFlagsFromString } from 'node:v8'
import type { Piscina } from 'piscina'
import { CostQueue } from '../admission/fair-queue.ts'
import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import type { HeapClaim, SharedHeap } from './shared-heap.ts'
import { JobLimit, type JobLimitOptions } from './job-limit.ts'
import {
  createJobMark,
  type MarkedJob,
  movedWith,
  ownBytes,
  type ThreadJob,
  type ThreadResult,
  transformFailed
} from './transform-job.ts'

export interface JobOwner {
  /** Name of the client's key: keys take turns. */
  readonly key: string
  readonly signal: AbortSignal
}

export interface ThreadLaneOptions {
  readonly threads: number
  readonly maxQueue: number
  /** Heap of all threads of all lanes. */
  readonly heap: SharedHeap
  /** MiB for one thread; a job that needs more fails alone. */
  readonly heapMb: number
  /** MiB for one thread's short-lived objects, besides `heapMb`. */
  readonly semiSpaceMb: number
  readonly idleTimeoutMs: number
}

/** Limits of a job, which ends with its thread where one is met. */
export interface JobOptions extends Pick<JobLimitOptions, 'maxMs' | 'isTooMuch'> {
  readonly heapMb: number
  readonly isPaidFor?: boolean
}

export type Lane = Piscina<MarkedJob, ThreadResult>

const SEMI_SPACES = 3

/** Resets process flags, which override the limits of threads. Existing heaps are not affected. */
const HEAP_FLAGS = ['--max-old-space-size=0', '--max-semi-space-size=0']

const WORKER_FILE = new URL('../../workers/transform-request.ts', import.meta.url).href

/** A job whose client has left may finish: a new thread costs 30 ms of CPU and the old one's warmth. */
const GRACE_MS = 250

interface PendingJob extends HeapClaim {
  readonly id: number
  readonly job: ThreadJob
  readonly options: JobOptions
  readonly owner: JobOwner
  readonly settle: (result: ThreadResult) => void
  readonly reject: (error: Error) => void
}

/**
 * Queues jobs for threads of one job each. A vanished client's job leaves at once, a thread's death does
 * not affect waiting jobs, and one key's backlog delays another key by one job. A job that takes too long
 * ends with its thread.
 */
export class ThreadLane {
  readonly #options: ThreadLaneOptions
  /** Bounded by the jobs that wait. */
  readonly #queue = new CostQueue()
  /** Bounded by `maxQueue`, and the answers under way. */
  readonly #waiting = new Map<number, PendingJob>()
  /** Jobs whose turn came while the heap was full. Bounded by those that wait. */
  readonly #parked = new Set<PendingJob>()
  /** Bounded by the number of threads. */
  readonly #running = new Map<PendingJob, Promise<void>>()
  #piscina: Promise<Lane> | null = null
  #nextId = 0

  constructor(options: ThreadLaneOptions) {
    this.#options = options
    options.heap.onFree(() => this.#startWaiting())
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Includes jobs of clients that have left. */
  get running(): number {
    return this.#running.size
  }

  /**
   * Runs a job, and takes the bytes of it and its answers.
   * @throws {GatewayError} the signal's own error as soon as it aborts (`abortErrorOf`);
   * GW_TRANSFORM_QUEUE_FULL if `maxQueue` jobs wait, at once or for one of a key with fewer;
   * GW_TRANSFORM_TIMEOUT; GW_BODY_TOO_LARGE or GW_TRANSFORM_FAILED if its thread ends
   */
  async run(job: ThreadJob, options: JobOptions, owner: JobOwner): Promise<ThreadResult> {
    const { threads, maxQueue } = this.#options
    const isBusy = this.#running.size >= threads || this.#parked.size > 0
    const isFull = isBusy && this.#waiting.size >= maxQueue
    if (isFull && options.isPaidFor !== true) this.#refuseOne(owner.key)
    const { promise, resolve: settle, reject } = Promise.withResolvers<ThreadResult>()
    const id = this.#nextId++
    const { heapMb } = options
    const pending: PendingJob = { id, job, options, owner, settle, reject, lane: this, heapMb }
    const onAbort = (): void => {
      this.#forget(id)
      reject(abortErrorOf(owner.signal))
    }
    owner.signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.set(id, pending)
    this.#queue.push(id, owner.key)
    this.#startWaiting()
    try {
      return await promise
    } finally {
      owner.signal.removeEventListener('abort', onAbort)
    }
  }

  refuseWaiting(error: Error): void {
    for (const [id, pending] of this.#waiting) {
      this.#forget(id)
      pending.reject(error)
    }
  }

  async whenIdle(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  /** Ends threads at once; waiting and running jobs fail with `error`. */
  async destroy(error: Error): Promise<void> {
    this.refuseWaiting(error)
    for (const pending of this.#running.keys()) pending.reject(error)
    await (await this.#piscina)?.destroy()
  }

  /** Refuses the youngest job of the key with most, or the new one. Jobs that are paid for always wait. */
  #refuseOne(key: string): void {
    const error = new GatewayError('GW_TRANSFORM_QUEUE_FULL', undefined, { retryAfterS: 1 })
    const id = this.#queue.evictionFor(key)
    const pending = id === null ? undefined : this.#waiting.get(id)
    if (pending === undefined || pending.options.isPaidFor === true) throw error
    this.#forget(pending.id)
    pending.reject(error)
  }

  #forget(id: number): void {
    const pending = this.#waiting.get(id)
    if (pending === undefined) return
    this.#waiting.delete(id)
    this.#queue.remove(id)
    if (this.#parked.delete(pending)) this.#options.heap.withdraw(pending)
  }

  #startWaiting(): void {
    while (this.#running.size < this.#options.threads) {
      const pending = this.#next()
      if (pending === null) return
      this.#waiting.delete(pending.id)
      this.#running.set(pending, this.#run(pending))
    }
  }

  #next(): PendingJob | null {
    const { heap } = this.#options
    for (const pending of this.#parked) {
      if (!heap.tryTake(pending)) continue
      this.#parked.delete(pending)
      return pending
    }
    for (let id = this.#queue.shift(); id !== null; id = this.#queue.shift()) {
      const pending = this.#waiting.get(id)
      if (pending === undefined) continue
      if (heap.tryTake(pending)) return pending
      this.#parked.add(pending)
    }
    return null
  }

  async #run(pending: PendingJob): Promise<void> {
    const startedAt = performance.now()
    try {
      pending.settle(await this.#runInThread(pending))
    } catch (cause) {
      pending.reject(cause instanceof GatewayError ? cause : transformFailed(cause))
    } finally {
      this.#running.delete(pending)
      this.#queue.charge(pending.owner.key, performance.now() - startedAt)
      this.#options.heap.release(pending) // the next job that waits for it may begin
    }
  }

  async #runInThread({ job, options, owner: { signal } }: PendingJob): Promise<ThreadResult> {
    const owned = { ...job, body: ownBytes(job.body) }
    this.#piscina ??= this.#createPiscina()
    const piscina = await this.#piscina
    const end = new AbortController()
    let hasTakenTooMuch = false
    const onTooMuch = (): void => {
      hasTakenTooMuch = true
      end.abort()
    }
    const mark = createJobMark()
    const { maxMs, isTooMuch } = options
    using _ = new JobLimit({ piscina, mark, maxMs, isTooMuch, onTooMuch })
    let grace: NodeJS.Timeout | undefined
    const onLeft = (): void => {
      grace = setTimeout(() => end.abort(), GRACE_MS)
    }
    if (signal.aborted)
      onLeft() // while piscina was loaded
    else signal.addEventListener('abort', onLeft, { once: true })
    try {
      return await piscina.run(
        { ...owned, mark },
        { transferList: movedWith(owned), signal: end.signal }
      )
    } catch (cause) {
      throw hasTakenTooMuch ? new GatewayError('GW_TRANSFORM_TIMEOUT') : cause
    } finally {
      clearTimeout(grace)
      signal.removeEventListener('abort', onLeft)
    }
  }

  /** Loaded with the first job: many gateways never have one. */
  async #createPiscina(): Promise<Lane> {
    const { threads, heapMb, semiSpaceMb, idleTimeoutMs } = this.#options
    const { Piscina } = await import('piscina')
    for (const flag of HEAP_FLAGS) setFlagsFromString(flag)
    const piscina = new Piscina<MarkedJob, ThreadResult>({
      filename: WORKER_FILE,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: idleTimeoutMs,
      resourceLimits: {
        maxOldGenerationSizeMb: heapMb,
        maxYoungGenerationSizeMb: SEMI_SPACES * semiSpaceMb
      }
    })
    // An idle thread's death is harmless: the next job starts another. Without a listener it would end the process.
    piscina.on('error', () => {})
    return piscina
  }
}
