import { Piscina } from 'piscina'
import { AttachmentNeeded } from '../dialects/attachments.ts'
import { attachmentNeedsOf, convertRequest } from '../dialects/convert-request.ts'
import { abortErrorOf } from '../shared/abort-error.ts'
import { GatewayError } from '../shared/errors.ts'
import { AttachmentsNeeded } from './attachments-needed.ts'
import type {
  TransformJob,
  TransformRefusal,
  TransformResult,
  TransformSuccess
} from './transform-job.ts'

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

const WORKER_FILE = new URL('../../workers/transform-request.ts', import.meta.url).href

/** One body on its way through a thread. */
interface PendingJob {
  readonly job: TransformJob
  readonly resolve: (success: TransformSuccess) => void
  readonly reject: (error: Error) => void
}

/**
 * Transforms requests, small ones here and large ones in threads.
 *
 * Never more jobs in threads than threads: whoever comes later waits in this queue, where a client that
 * leaves is forgotten at once and where the death of a thread strands nobody.
 */
export class TransformPool {
  readonly #options: TransformPoolOptions
  readonly #waiting = new Set<PendingJob>()
  readonly #running = new Map<PendingJob, Promise<void>>()
  #piscina: Piscina<TransformJob, TransformResult> | null = null
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
   * @throws {GatewayError} what the request deserves (GW_BODY_INVALID, GW_MODEL_UNKNOWN); `signal`'s own
   *   error as soon as it aborts (`abortErrorOf`); GW_TRANSFORM_QUEUE_FULL at once when `maxQueue` jobs wait already;
   *   GW_TRANSFORM_FAILED for a thread that died and for bugs; GW_DRAINING after `close()`.
   */
  run(job: TransformJob, signal: AbortSignal): Promise<TransformSuccess> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal)
    if (signal.aborted) return Promise.reject(abortErrorOf(signal))
    // Reading attachments takes too long for the event loop, however small they are.
    const isSmall = job.body.byteLength <= this.#options.inlineMaxBytes
    if (isSmall && job.attachments === undefined) return transformInline(job)
    const isBusy = this.#running.size >= this.#options.threads
    if (isBusy && this.#waiting.size >= this.#options.maxQueue) {
      return Promise.reject(
        new GatewayError('GW_TRANSFORM_QUEUE_FULL', undefined, { retryAfterS: 1 })
      )
    }
    return this.#enqueue(job, signal)
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
    await this.#piscina?.destroy()
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
    for (const pending of this.#waiting) pending.reject(error)
    this.#waiting.clear()
  }

  async #enqueue(job: TransformJob, signal: AbortSignal): Promise<TransformSuccess> {
    const { promise, resolve, reject } = Promise.withResolvers<TransformSuccess>()
    const pending: PendingJob = { job, resolve, reject }
    // A job that is in a thread already is left to end there: killing the thread would cost more.
    const onAbort = (): void => {
      this.#waiting.delete(pending)
      reject(abortErrorOf(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.add(pending)
    this.#startWaiting()
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #startWaiting(): void {
    for (const pending of this.#waiting) {
      if (this.#running.size >= this.#options.threads) return
      this.#waiting.delete(pending)
      this.#running.set(pending, this.#runInThread(pending))
    }
  }

  async #runInThread(pending: PendingJob): Promise<void> {
    const body = ownBytes(pending.job.body)
    try {
      this.#piscina ??= this.#createPiscina()
      const job = { ...pending.job, body }
      const result = await this.#piscina.run(job, { transferList: [body.buffer] })
      if (result.ok) pending.resolve(result)
      else if ('needs' in result) {
        pending.reject(new AttachmentsNeeded(result.needs, result.body))
      } else pending.reject(toGatewayError(result))
    } catch (cause) {
      pending.reject(transformFailed(cause))
    } finally {
      this.#running.delete(pending)
      this.#startWaiting()
    }
  }

  #createPiscina(): Piscina<TransformJob, TransformResult> {
    const { threads, threadHeapMb, threadSemiSpaceMb, idleTimeoutMs } = this.#options
    const piscina = new Piscina<TransformJob, TransformResult>({
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

async function transformInline({
  dialect,
  body,
  options
}: TransformJob): Promise<TransformSuccess> {
  try {
    return { ok: true, ...convertRequest(dialect, body, options) }
  } catch (cause) {
    if (cause instanceof AttachmentNeeded)
      throw new AttachmentsNeeded(attachmentNeedsOf(body), body)
    throw cause instanceof GatewayError ? cause : transformFailed(cause)
  }
}

/** The body in a buffer of its own, which can be moved: small reads share the buffer of a pool. */
function ownBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(body)
}

function toGatewayError(refusal: TransformRefusal): GatewayError {
  const { code, message, param, details } = refusal
  return new GatewayError(code, undefined, {
    message,
    ...(param !== undefined && { param }),
    ...(details !== undefined && { details })
  })
}

function transformFailed(cause: unknown): GatewayError {
  const detail = cause instanceof Error ? cause.message : undefined
  return new GatewayError('GW_TRANSFORM_FAILED', detail, { cause })
}
