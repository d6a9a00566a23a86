import type { Piscina } from 'piscina'
import { type AnswerCheck, checkAnswer, type JsonForm } from '../dialects/json-answer.ts'
import type { LintOptions } from '../dialects/lint/lint-request.ts'
import type { LintReport } from '../dialects/lint/report.ts'
import { abortErrorOf } from '../shared/abort-error.ts'
import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import {
  checkOf,
  ownBytes,
  reportOf,
  sharedBytes,
  successOf,
  transformFailed
} from './thread-result.ts'
import { lintInline, transformInline } from './transform-inline.ts'
import type { ThreadJob, ThreadResult, TransformJob, TransformSuccess } from './transform-job.ts'
import type { TurnQueue } from './turn-queue.ts'
import { runWatched } from './watched-run.ts'

export interface TransformPoolOptions {
  /** Threads at most; they start with the first large body and end when idle. */
  readonly threads: number
  /**
   * Bodies up to this size are transformed on the event loop.
   *
   * Measured (`test/bench/transform.bench.ts`): inline holds the loop for 0.6 ms per 100 KB, a thread's round
   * trip for 0.1 ms and another 0.1 ms per 100 KB, so that from 16 KB on a thread is easier on the loop. It also
   * adds half a millisecond of latency and half as much CPU time again. At 128 KiB the loop is held for 0.8 ms, which
   * no other stream notices: below that threads only cost, above they pay.
   */
  readonly inlineMaxBytes: number
  /** Large bodies that may wait for a thread. */
  readonly maxQueue: number
  /** Theirs, empty. */
  readonly queue: TurnQueue
  /** V8 heap of one thread in MiB; a body that needs more fails alone. */
  readonly threadHeapMb: number
  /** V8 semi-space of one thread in MiB, for short-lived objects, beside `threadHeapMb`. */
  readonly threadSemiSpaceMb: number
  readonly idleTimeoutMs: number
  /** How long `close()` waits for what runs. */
  readonly closeTimeoutMs: number
}

/** V8's young generation takes that many semi-spaces. */
const SEMI_SPACES = 3

/** Explaining takes several conversions, so even of small bodies only the smallest are explained on the event loop. */
const LINT_SHARE = 8

const WORKER_FILE = new URL('../../workers/transform-request.ts', import.meta.url).href

/**
 * Longest run of a job with attachments, and the array buffers that it may fill per byte of its body, beside as much
 * as a thread's heap: base64, file, text and payload.
 */
const ATTACHMENTS_MAX_MS = 20_000
const BUFFERS_PER_BODY = 5
const MEBIBYTE = 1024 * 1024

/**
 * Answers and schemas up to this size are checked on the event loop, within a few milliseconds. Measured: 1 ms for a
 * usual schema; what takes longer is checked again in a thread, whatever the cause.
 */
const CHECK_INLINE_CHARS = 8192
const CHECK_INLINE_MS = 20

/** What a thread ends with, by its own fault or that of its job. */
const THREAD_FAILURES: readonly ErrorCode[] = ['GW_TRANSFORM_FAILED', 'GW_BODY_TOO_LARGE']

/** Who wants something done. */
export interface JobOwner {
  /** Name of the client's key: keys take turns. */
  readonly key: string
  readonly signal: AbortSignal
}

/** One body on its way through a thread. */
interface PendingJob {
  readonly id: number
  readonly job: ThreadJob
  readonly signal: AbortSignal
  readonly settle: (result: ThreadResult) => void
  readonly reject: (error: Error) => void
}

/**
 * Transforms requests, small ones here and large ones in threads.
 *
 * Never more jobs in threads than threads: whoever comes later waits in this queue, where a client that
 * leaves is forgotten at once, where the death of a thread strands nobody, and where one key's backlog delays
 * another key by one job.
 */
export class TransformPool {
  readonly #options: TransformPoolOptions
  readonly #waiting = new Map<number, PendingJob>()
  readonly #running = new Map<PendingJob, Promise<void>>()
  #piscina: Promise<Piscina<ThreadJob, ThreadResult>> | null = null
  /** Counts what comes and what begins: who came first, and whose turn was last. */
  #moments = 0
  #refusal: Error | null = null
  #closing: Promise<void> | null = null

  constructor(options: TransformPoolOptions) {
    this.#options = options
  }

  /** Bodies up to this size are transformed on the event loop. */
  get inlineMaxBytes(): number {
    return this.#options.inlineMaxBytes
  }

  /** Jobs that wait for a thread now. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Jobs in threads now, those of clients that have left included. */
  get running(): number {
    return this.#running.size
  }

  /**
   * Transforms one request. Takes the job's body: its bytes may have moved to a thread afterwards.
   *
   * @throws {AttachmentsNeeded} with the body, which then has to come again with its attachments
   * @throws {GatewayError} what the request deserves (GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN); `signal`'s own
   *   error as soon as it aborts (`abortErrorOf`); GW_TRANSFORM_QUEUE_FULL when `maxQueue` jobs wait already,
   *   at once or for one of a key with fewer of them;
   *   GW_TRANSFORM_FAILED for bugs; GW_DRAINING after `close()`.
   */
  async run(job: TransformJob, owner: JobOwner): Promise<TransformSuccess> {
    this.#throwIfOver(owner.signal)
    // Reading attachments takes too long for the event loop, however small they are.
    const isSmall = job.body.byteLength <= this.#options.inlineMaxBytes
    if (isSmall && job.attachments === undefined) return transformInline(job)
    return this.#enqueue(job, successOf, owner)
  }

  /**
   * Explains one request. Takes the body as `run()` does.
   *
   * @throws {GatewayError} as `run()`, but never for what is wrong with the request: the report says that
   */
  async lint(body: Uint8Array, lint: LintOptions, owner: JobOwner): Promise<LintReport> {
    this.#throwIfOver(owner.signal)
    const isSmall = body.byteLength <= this.#options.inlineMaxBytes / LINT_SHARE
    return isSmall ? lintInline(body, lint) : this.#enqueue({ body, lint }, reportOf, owner)
  }

  /**
   * Checks an answer against what its client asked for. It has been paid for, so it waits however many wait, and a
   * thread that dies of it is no verdict.
   *
   * @throws {GatewayError} `signal`'s own error; GW_DRAINING after `close()`
   */
  async check(text: string, form: JsonForm, owner: JobOwner): Promise<AnswerCheck> {
    this.#throwIfOver(owner.signal)
    if (this.#isCheckedInline(text, form)) {
      const check = checkAnswer(text, form, CHECK_INLINE_MS)
      if (check.isComplete) return check
    }
    try {
      return await this.#enter({ body: Buffer.from(text), form }, checkOf, owner)
    } catch (cause) {
      if (!(cause instanceof GatewayError && THREAD_FAILURES.includes(cause.code))) throw cause
      const { problems } = checkAnswer(text, { type: 'value' }, CHECK_INLINE_MS)
      return { problems, isComplete: problems.length > 0 }
    }
  }

  #isCheckedInline(text: string, form: JsonForm): boolean {
    if (form.type !== 'schema') return text.length <= this.#options.inlineMaxBytes
    const max = CHECK_INLINE_CHARS
    return text.length <= max && form.schemaJson.length <= max
  }

  #throwIfOver(signal: AbortSignal): void {
    if (this.#refusal !== null) throw this.#refusal
    if (signal.aborted) throw abortErrorOf(signal)
  }

  /** Refuses who waits and who comes, lets what runs finish within `closeTimeoutMs`, then ends the threads. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends the threads now; what waits and what runs fails with `error`. */
  async destroy(error: Error): Promise<void> {
    this.#refuseWaiting(error)
    for (const pending of this.#running.keys()) pending.reject(error)
    await (await this.#piscina)?.destroy()
  }

  async #close(): Promise<void> {
    const error = new GatewayError('GW_DRAINING')
    this.#refuseWaiting(error)
    const { promise: timeout, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#options.closeTimeoutMs)
    await Promise.race([Promise.all(this.#running.values()), timeout])
    clearTimeout(timer)
    await this.destroy(error)
  }

  #refuseWaiting(error: Error): void {
    this.#refusal ??= error
    for (const id of this.#waiting.keys()) this.#take(id)?.reject(error)
  }

  async #enqueue<T>(
    job: ThreadJob,
    read: (result: ThreadResult) => T,
    owner: JobOwner
  ): Promise<T> {
    const isBusy = this.#running.size >= this.#options.threads
    if (isBusy && this.#waiting.size >= this.#options.maxQueue) this.#refuseOne(owner.key)
    return this.#enter(job, read, owner)
  }

  /** The youngest of the key with most that wait, or who comes now. Answers have been paid for, and wait in any case. */
  #refuseOne(key: string): void {
    const error = new GatewayError('GW_TRANSFORM_QUEUE_FULL', undefined, { retryAfterS: 1 })
    const id = this.#options.queue.evictionFor(key)
    const pending = id === null ? undefined : this.#waiting.get(id)
    if (id === null || pending === undefined || 'form' in pending.job) throw error
    this.#take(id)?.reject(error)
  }

  async #enter<T>(
    job: ThreadJob,
    read: (result: ThreadResult) => T,
    { key, signal }: JobOwner
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<ThreadResult>()
    const id = this.#moments++
    const pending: PendingJob = { id, job, signal, settle: resolve, reject }
    // In a thread already it is left to end there, as killing the thread would cost more; but see `runWatched()`.
    const onAbort = (): void => {
      this.#take(id)
      reject(abortErrorOf(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.set(id, pending)
    this.#options.queue.push(id, key, id)
    this.#startWaiting()
    try {
      return read(await promise)
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #startWaiting(): void {
    while (this.#running.size < this.#options.threads) {
      const id = this.#options.queue.shift(this.#moments++)
      const pending = id === null ? null : this.#take(id)
      if (pending === null) return
      this.#running.set(pending, this.#runInThread(pending))
    }
  }

  /** `null` if it does not wait. */
  #take(id: number): PendingJob | null {
    const pending = this.#waiting.get(id) ?? null
    this.#waiting.delete(id)
    this.#options.queue.remove(id)
    return pending
  }

  async #runInThread(pending: PendingJob): Promise<void> {
    try {
      pending.settle(await this.#runJob(pending))
    } catch (cause) {
      pending.reject(cause instanceof GatewayError ? cause : transformFailed(cause))
    } finally {
      this.#running.delete(pending)
      this.#startWaiting()
    }
  }

  async #runJob({ job, signal }: PendingJob): Promise<ThreadResult> {
    const isWatched = 'attachments' in job && job.attachments !== undefined
    const body = isWatched ? sharedBytes(job.body) : ownBytes(job.body)
    this.#piscina ??= this.#createPiscina()
    const piscina = await this.#piscina
    if (!isWatched) {
      const transferList = body.buffer instanceof ArrayBuffer ? [body.buffer] : []
      return piscina.run({ ...job, body }, { transferList })
    }
    const maxBufferBytes =
      this.#options.threadHeapMb * MEBIBYTE + body.byteLength * BUFFERS_PER_BODY
    return runWatched(
      piscina,
      { ...job, body },
      { maxBufferBytes, maxMs: ATTACHMENTS_MAX_MS, signal }
    )
  }

  /** Loaded with the first body that needs it: many gateways never get one. */
  async #createPiscina(): Promise<Piscina<ThreadJob, ThreadResult>> {
    const { threads, threadHeapMb, threadSemiSpaceMb, idleTimeoutMs } = this.#options
    const { Piscina } = await import('piscina')
    const piscina = new Piscina<ThreadJob, ThreadResult>({
      filename: WORKER_FILE,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: idleTimeoutMs,
      resourceLimits: {
        maxOldGenerationSizeMb: threadHeapMb,
        maxYoungGenerationSizeMb: SEMI_SPACES * threadSemiSpaceMb
      }
    })
    // The death of an idle thread hurts nobody: the next job starts another. Without a listener it would
    // end the process.
    piscina.on('error', () => {})
    return piscina
  }
}
