import { type Conversion, convertBody } from '../dialects/dialect.ts'
import { type LintOptions, type LintReport, lintRequest } from '../dialects/lint/lint-request.ts'
import { type AnswerCheck, checkAnswer, type JsonForm } from '../dialects/plan/json-answer.ts'
import { PDF_TOO_COSTLY } from '../dialects/request/pdf.ts'
import type { EncodedPayload } from '../dialects/request/payload-bytes.ts'
import {
  type PayloadDocument,
  type PayloadRewrite,
  readDocuments,
  rewritePayload
} from '../dialects/request/rewrite-payload.ts'
import type { RequestOptions } from '../dialects/request/to-upstream.ts'
import { abortErrorOf, type ErrorCode, GatewayError } from '../shared/errors.ts'
import { InlineLane, TOO_LONG } from './inline-lane.ts'
import { SharedHeap } from './shared-heap.ts'
import { type JobOwner, type JobTerms, type Lane, ThreadLane } from './thread-lane.ts'
import { type ConvertJob, type GotAttachments, type PdfText, resultOf } from './transform-job.ts'

export type { JobOwner } from './thread-lane.ts'

export interface TransformPoolOptions {
  /** Threads at most; they start with the first large body and end when idle. One more reads PDFs. */
  readonly threads: number
  /**
   * Bodies up to this size are transformed on the event loop, unless they take too long there.
   *
   * Measured (`test/bench/transform.bench.ts`): inline holds the loop for 0.6 ms per 100 KB, a thread's round
   * trip for 0.1 ms and another 0.1 ms per 100 KB, so that from 16 KB on a thread is easier on the loop. It also
   * adds half a millisecond of latency and half as much CPU time again. At 128 KiB the loop is held for 0.8 ms, which
   * no other stream notices: below that threads only cost, above they pay.
   */
  readonly inlineMaxBytes: number
  /** Large bodies that may wait for a thread. */
  readonly maxQueue: number
  /** Longest conversion of one request in a thread, in milliseconds of a CPU. */
  readonly timeoutMs: number
  /** Makes an empty one. */
  readonly createQueue: () => TurnQueue
  /** New connections wait for the event loop, which should not be held longer than it must. */
  readonly isCrowded?: () => boolean
  /** V8 heap of one thread in MiB; a body that needs more fails alone. */
  readonly threadHeapMb: number
  /** V8 heap of the thread that reads PDFs; large bodies are not converted at the same time. */
  readonly pdfHeapMb: number
  /** Memory that thread may have outside its heap, beside the PDF itself. */
  readonly pdfBufferBytes: number
  /** V8 semi-space of one thread in MiB, for short-lived objects, beside its heap. */
  readonly threadSemiSpaceMb: number
  readonly idleTimeoutMs: number
  /** Longest time that `close()` waits for running jobs. */
  readonly closeTimeoutMs: number
}

/** Jobs go to a thread instead of the event loop while so few wait there: beyond, the loop is sooner done with them. */
const MAX_MOVED = 16

/** Explaining takes several conversions, so even of small bodies only the smallest are explained on the event loop. */
const LINT_SHARE = 8

const MEBIBYTE = 1024 * 1024
/** A thread's own code takes so much of its heap, and a conversion so much per byte of its body. */
const OWN_HEAP_MB = 8
const HEAP_PER_BODY = 5

/** Longest reading of one PDF, from when its thread has begun with it. */
const PDF_MAX_MS = 3_000
/** The thread for PDFs is gone after this time: many conversations have none, and its heap is another's meanwhile. */
const PDF_IDLE_MS = 2_000

/**
 * Answers and schemas up to this size are checked on the event loop, within a few milliseconds. Measured: 1 ms for a
 * usual schema; what takes longer is checked again in a thread, whatever the cause.
 */
const CHECK_INLINE_CHARS = 8192
const CHECK_INLINE_MS = 20

/** Signal for jobs without a client. */
const NEVER = new AbortController().signal

/** Errors of a job that takes too much, and those possible at all in a thread. */
const TOO_COSTLY: readonly ErrorCode[] = ['GW_TRANSFORM_TIMEOUT', 'GW_BODY_TOO_LARGE']
const THREAD_FAILURES: readonly ErrorCode[] = [...TOO_COSTLY, 'GW_TRANSFORM_FAILED']

/**
 * Transforms requests, small ones here and large ones in threads, each for a bounded time: a job that takes longer,
 * or whose client has left, ends with its thread.
 *
 * ```
 *   small ──▶ inline ─────────────────▶ result
 *               └─takes too long─▶┐        (or would, while new connections wait)
 *   large ────────────────────▶ threads ─▶ result
 *   a PDF ──▶ its own thread ──▶ text ──▶ (with the body) ──▶ threads
 * ```
 * Keys take turns in each of the three, by what their jobs have cost.
 */
export class TransformPool {
  readonly #options: TransformPoolOptions
  readonly #inline: InlineLane
  readonly #conversions: ThreadLane
  readonly #pdfs: ThreadLane
  #refusal: Error | null = null
  #closing: Promise<void> | null = null

  constructor(options: TransformPoolOptions) {
    const { threads, threadHeapMb, pdfHeapMb, threadSemiSpaceMb, idleTimeoutMs } = options
    const { maxQueue, createQueue, isCrowded = () => false } = options
    const heap = new SharedHeap(threadHeapMb * threads)
    const common = { maxQueue, heap, semiSpaceMb: threadSemiSpaceMb }
    this.#options = options
    this.#inline = new InlineLane({
      queue: createQueue(),
      isCrowded,
      haveThreadsRoom: () => this.#conversions.waiting < Math.min(maxQueue / 2, MAX_MOVED)
    })
    this.#conversions = new ThreadLane({
      ...common,
      threads,
      queue: createQueue(),
      heapMb: threadHeapMb,
      idleTimeoutMs
    })
    this.#pdfs = new ThreadLane({
      ...common,
      threads: 1,
      queue: createQueue(),
      heapMb: pdfHeapMb,
      idleTimeoutMs: Math.min(idleTimeoutMs, PDF_IDLE_MS)
    })
  }

  /** Bodies up to this size are transformed on the event loop. */
  get inlineMaxBytes(): number {
    return this.#options.inlineMaxBytes
  }

  /** Jobs that wait for a thread now. */
  get waiting(): number {
    return this.#conversions.waiting + this.#pdfs.waiting
  }

  /** Jobs in threads now, those of clients that have left included. */
  get running(): number {
    return this.#conversions.running + this.#pdfs.running
  }

  /**
   * Transforms one request, or gives body and answers back with what they need first: their attachments, or more
   * `payloadRoomBytes`. Takes the job's body and answers: their bytes may have moved to a thread afterwards.
   *
   * @throws {GatewayError} what the request deserves (GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN,
   *   GW_TRANSFORM_TIMEOUT); `signal`'s own error as soon as it aborts (`abortErrorOf`); GW_TRANSFORM_QUEUE_FULL when
   *   `maxQueue` jobs wait already, at once or for one of a key with fewer of them;
   *   GW_TRANSFORM_FAILED for bugs; GW_DRAINING after `close()`.
   */
  async run(job: ConvertJob, owner: JobOwner): Promise<Conversion> {
    this.#throwIfOver(owner.signal)
    const bytes = job.body.byteLength + answersBytesOf(job.options)
    // What attachments come to may be large, however small the body is.
    const { attachments, dialect, body, options } = job
    if (attachments === undefined && this.#isInline(bytes, owner.key)) {
      const convert = (): Conversion => convertBody(dialect, body, options)
      const result = await this.#inline.run(convert, bytes, owner)
      if (result !== TOO_LONG) return result
      this.#throwIfOver(owner.signal)
    }
    const terms = this.#termsFor(bytes + (attachments === undefined ? 0 : bytesOf(attachments)))
    const result = await this.#conversions.run(job, terms, owner)
    return resultOf(result, 'converted', 'attachments-needed', 'room-needed')
  }

  /**
   * Explains one request. Takes the body as `run()` does.
   *
   * @throws {GatewayError} as `run()`, but never for what is wrong with the request: the report says that
   */
  async lint(body: Uint8Array, lint: LintOptions, owner: JobOwner): Promise<LintReport> {
    this.#throwIfOver(owner.signal)
    const bytes = body.byteLength + answersBytesOf(lint.request)
    const cost = bytes * LINT_SHARE
    if (this.#isInline(cost, owner.key)) {
      const report = await this.#inline.run(() => lintRequest(body, lint), cost, owner)
      if (report !== TOO_LONG) return report
      this.#throwIfOver(owner.signal)
    }
    const job = { type: 'lint', body, lint } as const
    const result = await this.#conversions.run(job, this.#termsFor(bytes), owner)
    return resultOf(result, 'report').report
  }

  /**
   * Checks an answer against what its client asked for. The answer has been paid for, so it waits even when the queue is
   * full, and the death of its thread does not count as a verdict.
   *
   * @throws {GatewayError} `signal`'s own error; GW_DRAINING after `close()`
   */
  async check(text: string, form: JsonForm, owner: JobOwner): Promise<AnswerCheck> {
    this.#throwIfOver(owner.signal)
    if (this.#isCheckedInline(text, form)) {
      const check = checkAnswer(text, form, CHECK_INLINE_MS)
      if (check.isComplete) return check
    }
    const body = Buffer.from(text)
    const terms = { ...this.#termsFor(body.byteLength), isPaidFor: true }
    try {
      const result = await this.#conversions.run({ type: 'check', body, form }, terms, owner)
      return resultOf(result, 'check').check
    } catch (cause) {
      if (!(cause instanceof GatewayError && THREAD_FAILURES.includes(cause.code))) throw cause
      const { problems } = checkAnswer(text, { type: 'value' }, CHECK_INLINE_MS)
      return { problems, isComplete: problems.length > 0 }
    }
  }

  /**
   * The outline of a request to the upstream, as a member of a JSON text: in a thread, whatever its size. Takes the bytes.
   *
   * @throws {GatewayError} as `run()`
   */
  async outline(body: Uint8Array): Promise<string> {
    const owner = { key: '', signal: NEVER }
    const terms = this.#termsFor(body.byteLength)
    const result = await this.#conversions.run({ type: 'outline', body }, terms, owner)
    return resultOf(result, 'outline').members
  }

  /**
   * Changes a request to the upstream that was refused, or that is to be asked again. Reads the bytes and keeps them as they
   * are: a socket may still send them, so that a thread gets a copy. The rounds before another one have been paid for, so that
   * waits even when the queue is full. Returns `null` where it cannot be changed so.
   *
   * @throws {GatewayError} as `run()`
   */
  async rewrite(
    payload: Uint8Array,
    rewrite: PayloadRewrite,
    owner: JobOwner
  ): Promise<EncodedPayload | null> {
    const inline = await this.#runHere(() => rewritePayload(payload, rewrite), payload, owner)
    if (inline !== TOO_LONG) return inline
    const job = { type: 'rewrite', body: new Uint8Array(payload), rewrite } as const
    const isPaidFor = rewrite.kind === 'follow-up'
    const terms = { ...this.#termsFor(payload.byteLength), isPaidFor }
    const result = await this.#conversions.run(job, terms, owner)
    return resultOf(result, 'rewritten').payload
  }

  /** Returns the documents of a request to the upstream. @throws {GatewayError} as `rewrite()` */
  async documents(payload: Uint8Array, owner: JobOwner): Promise<readonly PayloadDocument[]> {
    const inline = await this.#runHere(() => readDocuments(payload), payload, owner)
    if (inline !== TOO_LONG) return inline
    const job = { type: 'documents', body: new Uint8Array(payload) } as const
    const result = await this.#conversions.run(job, this.#termsFor(payload.byteLength), owner)
    return resultOf(result, 'documents').documents
  }

  /** Runs a small job on the event loop; `TOO_LONG` for one that is not. */
  async #runHere<T>(
    run: () => T,
    { byteLength }: Uint8Array,
    owner: JobOwner
  ): Promise<T | typeof TOO_LONG> {
    this.#throwIfOver(owner.signal)
    if (!this.#isInline(byteLength, owner.key)) return TOO_LONG
    const result = await this.#inline.run(run, byteLength, owner)
    if (result === TOO_LONG) this.#throwIfOver(owner.signal)
    return result
  }

  /**
   * Reads one PDF, in a thread that does nothing else: a library that others' files can keep busy is trusted with
   * nothing more. Takes the bytes.
   *
   * Gives a failure for one that takes too much time or memory.
   *
   * @throws {GatewayError} as `run()`, but never for what is wrong with the PDF
   */
  async readPdf(body: Uint8Array, owner: JobOwner): Promise<PdfText> {
    this.#throwIfOver(owner.signal)
    const { pdfHeapMb, pdfBufferBytes } = this.#options
    const terms: JobTerms = {
      heapMb: pdfHeapMb,
      maxMs: PDF_MAX_MS,
      isTooMuch: fillsMoreThan(pdfBufferBytes + body.byteLength)
    }
    try {
      const result = await this.#pdfs.run({ type: 'pdf', body }, terms, owner)
      return resultOf(result, 'pdf').text
    } catch (cause) {
      if (!(cause instanceof GatewayError && TOO_COSTLY.includes(cause.code))) throw cause
      return { kind: 'failed', reason: PDF_TOO_COSTLY }
    }
  }

  #isInline(bytes: number, key: string): boolean {
    return bytes <= this.#options.inlineMaxBytes && this.#inline.mayTake(bytes, key)
  }

  #isCheckedInline(text: string, form: JsonForm): boolean {
    if (form.type !== 'schema') return text.length <= this.#options.inlineMaxBytes
    const max = CHECK_INLINE_CHARS
    return text.length <= max && form.schemaJson.length <= max
  }

  /** A body that fits beside a PDF has only the heap that this one leaves; a larger one all of it. */
  #termsFor(bytes: number): JobTerms {
    const { threadHeapMb, pdfHeapMb, timeoutMs } = this.#options
    const besideMb = Math.max(0, threadHeapMb - pdfHeapMb)
    const neededMb = OWN_HEAP_MB + (bytes * HEAP_PER_BODY) / MEBIBYTE
    const heapMb = neededMb <= besideMb ? besideMb : threadHeapMb
    return { heapMb, maxMs: timeoutMs }
  }

  #throwIfOver(signal: AbortSignal): void {
    if (this.#refusal !== null) throw this.#refusal
    if (signal.aborted) throw abortErrorOf(signal)
  }

  /** Refuses waiting and new jobs, lets running ones finish within `closeTimeoutMs`, then ends the threads. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends the threads now; what waits and what runs fails with `error`. */
  async destroy(error: Error): Promise<void> {
    this.#refuse(error)
    await this.#conversions.destroy(error)
    await this.#pdfs.destroy(error)
  }

  async #close(): Promise<void> {
    const error = new GatewayError('GW_DRAINING')
    this.#refuse(error)
    const { promise: timeout, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#options.closeTimeoutMs)
    const idle = Promise.all([this.#conversions.whenIdle(), this.#pdfs.whenIdle()])
    await Promise.race([idle, timeout])
    clearTimeout(timer)
    await this.destroy(error)
  }

  #refuse(error: Error): void {
    this.#refusal ??= error
    this.#conversions.refuseWaiting(error)
    this.#pdfs.refuseWaiting(error)
  }
}

function answersBytesOf({ answers = [] }: RequestOptions): number {
  return answers.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function bytesOf({ fetched, pdfs }: GotAttachments): number {
  let bytes = 0
  for (const content of [...Object.values(fetched), ...pdfs]) {
    if (content.kind === 'utf8') bytes += content.bytes.byteLength
    else if (content.kind === 'text') bytes += content.text.length
    else if (content.kind !== 'failed') bytes += content.base64.length
  }
  return bytes
}

/** Says when reading a PDF has taken too many array buffers, which a heap's limit does not count. */
function fillsMoreThan(maxBytes: number): (lane: Lane) => Promise<boolean> {
  return async ({ threads: [thread] }) => {
    // A thread that has ended has no figures.
    const statistics = await thread?.getHeapStatistics().catch(() => null)
    return (statistics?.external_memory ?? 0) > maxBytes
  }
}

/** Order of the waiting jobs, by key. Given from above, as this folder knows nothing of admission. */
export interface TurnQueue {
  push(id: number, key: string): void
  /** False if no job of this id waits. */
  remove(id: number): boolean
  /** Takes out the job whose turn it is. */
  shift(): number | null
  /** A job of this key has taken so long; keys with costly jobs have their next turns later. */
  charge(key: string, costMs: number): void
  /** The job that may be refused in favour of one more of this key; `null` where that would not be fairer. */
  evictionFor(key: string): number | null
}
