import { threadId } from 'node:worker_threads'
import type { DialectName } from '../dialects/dialect.ts'
import type { LintOptions, LintReport } from '../dialects/lint/lint-request.ts'
import type { AnswerCheck, JsonForm } from '../dialects/plan/json-answer.ts'
import { tooCostly } from '../dialects/plan/json-body.ts'
import type { ReplyPlan } from '../dialects/plan/plan.ts'
import type { AttachmentNeeds, FetchedContent } from '../dialects/request/attachments.ts'
import type { RequestOptions } from '../dialects/request/to-upstream.ts'
import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import { ownsMemory } from '../shared/own-memory.ts'

/**
 * In shared memory: which thread runs a job, and the milliseconds of a CPU that it had spent before; 0 and 0 until it
 * has begun.
 */
export type JobMark = Int32Array<SharedArrayBuffer>

const THREAD = 0
const SPENT_MS = 1
const MARK_FIELDS = 2

export function createJobMark(): JobMark {
  return new Int32Array(new SharedArrayBuffer(MARK_FIELDS * Int32Array.BYTES_PER_ELEMENT))
}

/** Says in the thread of a job that this begins now. */
export function markBegin(mark: JobMark): void {
  Atomics.store(mark, SPENT_MS, millisecondsOf(process.threadCpuUsage()))
  Atomics.store(mark, THREAD, threadId)
}

/** Its id; 0, which no thread has, before it has begun. */
export function threadOf(mark: JobMark): number {
  return Atomics.load(mark, THREAD)
}

/** What the job has taken of a CPU, by what its thread has taken now. */
export function spentOn(mark: JobMark, usage: NodeJS.CpuUsage): number {
  return millisecondsOf(usage) - Atomics.load(mark, SPENT_MS)
}

function millisecondsOf({ user, system }: NodeJS.CpuUsage): number {
  return Math.floor((user + system) / 1000)
}

/** One request to transform. Crosses the thread border as bytes and a small record. */
export interface TransformJob {
  readonly dialect: DialectName
  /** The client's body as it came. */
  readonly body: Uint8Array
  readonly options: RequestOptions
  /** What was got for the body; given in the second run for one that needed it. */
  readonly attachments?: GotAttachments
}

/** What the attachments of a body came to. */
export interface GotAttachments {
  /** What URLs lead to. */
  readonly fetched: Readonly<Record<string, Exclude<FetchedContent, { kind: 'pdf' }> | PdfText>>
  /** Of the PDFs in the body, in their order. */
  readonly pdfs: readonly PdfText[]
}

/** A PDF to read. */
export interface PdfJob {
  /** The PDF. */
  readonly body: Uint8Array
  readonly pdf: true
}

/** What is in a PDF, in bytes: they are moved from thread to thread, and are on no heap on their way. */
export type PdfText =
  | { readonly kind: 'utf8'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly reason: string }

export interface PdfSuccess {
  readonly ok: true
  readonly text: PdfText
}

/** One request to explain instead of to send. */
export interface LintJob {
  readonly body: Uint8Array
  readonly lint: LintOptions
}

export interface LintSuccess {
  readonly ok: true
  readonly report: LintReport
}

/** One answer to check against the client's schema. */
export interface CheckJob {
  /** The answer's text in UTF-8. */
  readonly body: Uint8Array
  readonly form: JsonForm
}

export interface CheckSuccess {
  readonly ok: true
  readonly check: AnswerCheck
}

/** What a thread takes, and what it gives. */
export type ThreadJob = TransformJob | LintJob | CheckJob | PdfJob
/** Its thread says there when it has begun. */
export type MarkedJob = ThreadJob & { readonly mark: JobMark }
export type ThreadResult = TransformResult | LintSuccess | CheckSuccess | PdfSuccess

/** Errors travel as plain data: a class would lose its prototype on the way out of a thread. */
export type TransformResult =
  | TransformSuccess
  | TransformRefusal
  | TransformNeeds
  | TransformNeedsRoom

export interface TransformSuccess {
  readonly ok: true
  /**
   * The upstream's JSON body without `profileArn`, which belongs to the credential: it begins with
   * `{"conversationState"` so that the call can put the ARN in front without parsing it again.
   */
  readonly payload: Uint8Array
  readonly plan: ReplyPlan
}

/** Earlier answers that a body refers to, see `RequestOptions`. */
export type Answers = readonly Uint8Array[]

/** The body can't be converted before these attachments have been got. */
export interface TransformNeeds {
  readonly ok: false
  readonly needs: AttachmentNeeds
  /** Come back to who gave them, as do the answers. */
  readonly body: Uint8Array
  readonly answers: Answers
}

/** The body can't be converted before there is memory for what becomes of it. */
export interface TransformNeedsRoom {
  readonly ok: false
  readonly payloadBytes: number
  /** Of all that it is made of, attachments included. */
  readonly bodyBytes: number
  /** Come back to who gave them, as do the answers. */
  readonly body: Uint8Array
  readonly answers: Answers
}

export interface TransformRefusal {
  readonly ok: false
  readonly code: ErrorCode
  /** For the client. */
  readonly message: string
  readonly param?: string
  /** Machine-readable facts for the client, see `GatewayErrorOptions.details`. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * What a conversion came to.
 *
 * @throws {AttachmentsNeeded | RoomNeeded | GatewayError} for all but a success
 */
export function successOf(result: ThreadResult): TransformSuccess {
  if (result.ok && 'plan' in result) return result
  if (result.ok) throw new Error('a conversion gave a report')
  if ('needs' in result) throw new AttachmentsNeeded(result)
  if ('payloadBytes' in result) throw new RoomNeeded(result)
  throw toGatewayError(result)
}

/**
 * What an explanation came to.
 *
 * @throws {GatewayError} for a body that is too much to be explained
 */
export function reportOf(result: ThreadResult): LintReport {
  if (result.ok && 'report' in result) return result.report
  if (!result.ok && 'code' in result) throw toGatewayError(result)
  throw new Error('an explanation gave no report')
}

/** What a check came to. */
export function checkOf(result: ThreadResult): AnswerCheck {
  if (result.ok && 'check' in result) return result.check
  throw new Error('a check gave no verdict')
}

/** What a PDF came to. */
export function pdfTextOf(result: ThreadResult): PdfText {
  if (result.ok && 'text' in result) return result.text
  throw new Error('a PDF gave no text')
}

/** A bug in a conversion, or the end of its thread: it has one job at a time, so that is what took too much. */
export function transformFailed(cause: unknown): GatewayError {
  if (isHeapFull(cause)) return tooCostly()
  const detail = cause instanceof Error ? cause.message : undefined
  return new GatewayError('GW_TRANSFORM_FAILED', detail, { cause })
}

/** Whether a thread has ended because its heap was full. */
export function isHeapFull(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
}

/** The body in a buffer of its own, which can be moved: small reads share the buffer of a pool. */
export function ownBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(body)
}

/** The memory that moves to a thread with a job: none of its bytes is there twice. */
export function movedWith(job: ThreadJob): ArrayBuffer[] {
  const all = [job.body, ...answersOf(job)]
  return [...new Set(all.flatMap((bytes) => (ownsMemory(bytes) ? [bytes.buffer] : [])))]
}

function answersOf(job: ThreadJob): Answers {
  if ('options' in job) return job.options.answers ?? []
  return 'lint' in job ? (job.lint.request.answers ?? []) : []
}

function toGatewayError(refusal: TransformRefusal): GatewayError {
  const { code, message, param, details } = refusal
  return new GatewayError(code, undefined, {
    message,
    ...(param !== undefined && { param }),
    ...(details !== undefined && { details })
  })
}

/** A body that can't be converted before its attachments have been got; it and its answers come back with this. */
export class AttachmentsNeeded extends Error {
  readonly needs: AttachmentNeeds
  readonly body: Uint8Array
  readonly answers: Answers

  constructor({ needs, body, answers }: Omit<TransformNeeds, 'ok'>) {
    super('attachments are needed')
    this.needs = needs
    this.body = body
    this.answers = answers
  }
}

/** A body that can't be converted before there is memory for its payload; the same come back with this. */
export class RoomNeeded extends Error {
  readonly payloadBytes: number
  readonly bodyBytes: number
  readonly body: Uint8Array
  readonly answers: Answers

  constructor({ payloadBytes, bodyBytes, body, answers }: Omit<TransformNeedsRoom, 'ok'>) {
    super('memory is needed')
    this.payloadBytes = payloadBytes
    this.bodyBytes = bodyBytes
    this.body = body
    this.answers = answers
  }
}
