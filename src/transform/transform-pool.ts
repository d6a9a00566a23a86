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
import { TOO_LONG } from '../shared/run-within.ts'
import { withinTime } from '../shared/within-time.ts'
import { InlineLane } from './inline-lane.ts'
import { SharedHeap } from './shared-heap.ts'
import { type JobOwner, type JobOptions, ThreadLane } from './thread-lane.ts'
import { type ConvertJob, type GotAttachments, type PdfText, resultOf } from './transform-job.ts'

export type { JobOwner } from './thread-lane.ts'

export interface TransformPoolOptions {
  /** Threads start with the first large body and end when idle. One more reads PDFs. */
  readonly threads: number
  /**
   * Measured: inline holds the loop for 0.6 ms per 100 KB, a thread's
   * round trip for 0.1 ms plus 0.1 ms per 100 KB, but it adds half a millisecond and half as much CPU time.
   * At 128 KiB the loop is held for 0.8 ms, which no stream notices: below that threads only cost, above
   * they pay.
   */
  readonly inlineMaxBytes: number
  readonly maxQueue: number
  /** CPU milliseconds of a conversion in a thread. */
  readonly timeoutMs: number
  /** New connections wait for the event loop. */
  readonly isCrowded?: () => boolean
  /** MiB for one thread; a body that needs more fails alone. */
  readonly threadHeapMb: number
  /** MiB for the thread that reads PDFs; no large body is converted meanwhile. */
  readonly pdfHeapMb: number
  /** Memory of the PDF thread outside its heap, besides the PDF. */
  readonly pdfBufferBytes: number
  /** MiB for one thread's short-lived objects, besides its heap. */
  readonly threadSemiSpaceMb: number
  readonly idleTimeoutMs: number
  /** Longest wait of `close()` for running jobs. */
  readonly closeTimeoutMs: number
}

/** Jobs move from the loop to a thread while fewer wait there: beyond, the loop is done sooner. */
const MAX_MOVED = 16

/** A lint takes several conversions, so that only smaller bodies run on the event loop. */
const LINT_SHARE = 8

const MEBIBYTE = 1024 * 1024
/** Heap of a thread's own code, and of a conversion per byte of its body. */
const OWN_HEAP_MB = 8
const HEAP_PER_BODY = 5

/** Limit from when the thread has begun. */
const PDF_MAX_MS = 3_000
/** Idle time of the PDF thread: many conversations have none, and others can use its heap. */
const PDF_IDLE_MS = 2_000

/** Measured: 1 ms for a usual schema; slower ones are checked again in a thread. */
const CHECK_INLINE_CHARS = 8192
const CHECK_INLINE_MS = 20

const NEVER = new AbortController().signal

/** Errors of a job that takes too much; the next adds all others that a thread's job may end with. */
const TOO_COSTLY: readonly ErrorCode[] = ['GW_TRANSFORM_TIMEOUT', 'GW_BODY_TOO_LARGE']
const THREAD_FAILURES: readonly ErrorCode[] = [...TOO_COSTLY, 'GW_TRANSFORM_FAILED']

/**
 * Transforms requests, small ones here and large ones in threads, each bounded in time: a job that takes longer, or whose
 * client has left, ends with its thread. In each lane keys take turns, by the cost of their jobs.
 *
 *   small ──▶ inline ─────────────────▶ result
 *               └─takes too long─▶┐        (or would, while new connections wait)
 *   large ────────────────────▶ threads ─▶ result
 *   a PDF ──▶ its own thread ──▶ text ──▶ (with the body) ──▶ threads
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
    const { maxQueue, isCrowded = () => false } = options
    const heap = new SharedHeap(threadHeapMb * threads)
    const common = { maxQueue, heap, semiSpaceMb: threadSemiSpaceMb }
    this.#options = options
    this.#inline = new InlineLane({
      isCrowded,
      haveThreadsRoom: () => this.#conversions.waiting < Math.min(maxQueue / 2, MAX_MOVED)
    })
    this.#conversions = new ThreadLane({
      ...common,
      threads,
      heapMb: threadHeapMb,
      idleTimeoutMs
    })
    this.#pdfs = new ThreadLane({
      ...common,
      threads: 1,
      heapMb: pdfHeapMb,
      idleTimeoutMs: Math.min(idleTimeoutMs, PDF_IDLE_MS)
    })
  }

  get inlineMaxBytes(): number {
    return this.#options.inlineMaxBytes
  }

  get waiting(): number {
    return this.#conversions.waiting + this.#pdfs.waiting
  }

  /** Includes jobs of clients that have left. */
  get running(): number {
    return this.#conversions.running + this.#pdfs.running
  }

  /**
   * Returns body and answers if it first needs attachments, `payloadRoomBytes` or the whole conversation. Takes their bytes.
   * @throws {GatewayError} what the request deserves (GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN,
   * GW_TRANSFORM_TIMEOUT); `signal`'s own error as soon as it aborts (`abortErrorOf`);
   * GW_TRANSFORM_QUEUE_FULL if `maxQueue` jobs wait, at once or for one of a key with fewer;
   * GW_TRANSFORM_FAILED for bugs; GW_DRAINING after `close()`
   */
  async run(job: ConvertJob, owner: JobOwner): Promise<Conversion> {
    this.#throwIfOver(owner.signal)
    const bytes = job.body.byteLength + answersBytesOf(job.options)
    // Attachments may be large even if the body is small.
    const { attachments, dialect, body, options } = job
    if (attachments === undefined && this.#isInline(bytes, owner.key)) {
      const convert = (): Conversion => convertBody(dialect, body, options)
      const result = await this.#inline.run(convert, bytes, owner)
      if (result !== TOO_LONG) return result
      this.#throwIfOver(owner.signal)
    }
    const jobOptions = this.#optionsFor(
      bytes + (attachments === undefined ? 0 : bytesOf(attachments))
    )
    const result = await this.#conversions.run(job, jobOptions, owner)
    return resultOf(result, 'converted', 'attachments-needed', 'room-needed', 'whole-needed')
  }

  /** @throws {GatewayError} as `run()`, but reports what is wrong with the request */
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
    const result = await this.#conversions.run(job, this.#optionsFor(bytes), owner)
    return resultOf(result, 'report').report
  }

  /**
   * Waits although the queue is full, as the answer is paid for. Its thread's death is not a verdict.
   * @throws {GatewayError} `signal`'s own error; GW_DRAINING after `close()`
   */
  async check(text: string, form: JsonForm, owner: JobOwner): Promise<AnswerCheck> {
    this.#throwIfOver(owner.signal)
    if (this.#isCheckedInline(text, form)) {
      const check = checkAnswer(text, form, CHECK_INLINE_MS)
      if (check.isComplete) return check
    }
    const body = Buffer.from(text)
    const jobOptions = { ...this.#optionsFor(body.byteLength), isPaidFor: true }
    try {
      const result = await this.#conversions.run({ type: 'check', body, form }, jobOptions, owner)
      return resultOf(result, 'check').check
    } catch (cause) {
      if (!(cause instanceof GatewayError && THREAD_FAILURES.includes(cause.code))) throw cause
      const { problems } = checkAnswer(text, { type: 'value' }, CHECK_INLINE_MS)
      return { problems, isComplete: problems.length > 0 }
    }
  }

  /**
   * Takes the bytes.
   * @throws {GatewayError} as `run()`
   */
  async outline(body: Uint8Array): Promise<string> {
    const owner = { key: '', signal: NEVER }
    const jobOptions = this.#optionsFor(body.byteLength)
    const result = await this.#conversions.run({ type: 'outline', body }, jobOptions, owner)
    return resultOf(result, 'outline').members
  }

  /**
   * `null` if it cannot be changed. A socket may still send the bytes: a thread gets a copy. Waits although
   * the queue is full, since earlier rounds are paid for.
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
    const jobOptions = { ...this.#optionsFor(payload.byteLength), isPaidFor }
    const result = await this.#conversions.run(job, jobOptions, owner)
    return resultOf(result, 'rewritten').payload
  }

  /** @throws {GatewayError} as `rewrite()` */
  async documents(payload: Uint8Array, owner: JobOwner): Promise<readonly PayloadDocument[]> {
    const inline = await this.#runHere(() => readDocuments(payload), payload, owner)
    if (inline !== TOO_LONG) return inline
    const job = { type: 'documents', body: new Uint8Array(payload) } as const
    const result = await this.#conversions.run(job, this.#optionsFor(payload.byteLength), owner)
    return resultOf(result, 'documents').documents
  }

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
   * Uses a thread of its own, because others' files can keep the library busy. Takes the bytes.
   * @throws {GatewayError} as `run()`, but returns what is wrong with the PDF
   */
  async readPdf(body: Uint8Array, owner: JobOwner): Promise<PdfText> {
    this.#throwIfOver(owner.signal)
    const { pdfHeapMb, pdfBufferBytes } = this.#options
    const jobOptions: JobOptions = {
      heapMb: pdfHeapMb,
      maxMs: PDF_MAX_MS,
      isTooMuch: fillsMoreThan(pdfBufferBytes + body.byteLength)
    }
    try {
      const result = await this.#pdfs.run({ type: 'pdf', body }, jobOptions, owner)
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

  /** A body that fits beside a PDF gets the heap that this leaves, a larger one all of it. */
  #optionsFor(bytes: number): JobOptions {
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

  /** Refuses new and waiting jobs, and waits up to `closeTimeoutMs` for running ones. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends threads at once; waiting and running jobs fail with `error`. */
  async destroy(error: Error): Promise<void> {
    this.#refuse(error)
    await this.#conversions.destroy(error)
    await this.#pdfs.destroy(error)
  }

  async #close(): Promise<void> {
    const error = new GatewayError('GW_DRAINING')
    this.#refuse(error)
    const idle = Promise.all([this.#conversions.whenIdle(), this.#pdfs.whenIdle()])
    await withinTime(idle, this.#options.closeTimeoutMs)
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

/** Watches array buffers, which the heap limit does not count. */
function fillsMoreThan(maxBytes: number): NonNullable<JobOptions['isTooMuch']> {
  return async ({ threads: [thread] }) => {
    // A thread that has ended has no figures.
    const statistics = await thread?.getHeapStatistics().catch(() => null)
    return (statistics?.external_memory ?? 0) > maxBytes
  }
}
