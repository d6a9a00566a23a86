import { threadId } from 'node:worker_threads'
import type { Conversion, DialectName } from '../dialects/dialect.ts'
import type { LintOptions, LintReport } from '../dialects/lint/lint-request.ts'
import type { AnswerCheck, JsonForm } from '../dialects/plan/json-answer.ts'
import { tooCostly } from '../dialects/plan/json-body.ts'
import type { FetchedContent } from '../dialects/request/attachments.ts'
import type { EncodedPayload } from '../dialects/request/payload-bytes.ts'
import type { PayloadDocument, PayloadRewrite } from '../dialects/request/rewrite-payload.ts'
import type { RequestOptions } from '../dialects/request/to-upstream.ts'
import { codeOf, type ErrorData, GatewayError } from '../shared/errors.ts'
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

/** CPU time of the job, by that of its thread. */
export function spentOn(mark: JobMark, usage: NodeJS.CpuUsage): number {
  return millisecondsOf(usage) - Atomics.load(mark, SPENT_MS)
}

function millisecondsOf({ user, system }: NodeJS.CpuUsage): number {
  return Math.floor((user + system) / 1000)
}

/** A job for a thread. Crosses the thread border as bytes and a small record. */
export type ThreadJob =
  | ConvertJob
  | LintJob
  | CheckJob
  | PdfJob
  | OutlineJob
  | RewriteJob
  | DocumentsJob

/** Its thread says there when it has begun. */
export type MarkedJob = ThreadJob & { readonly mark: JobMark }

/** One request to convert. */
export interface ConvertJob {
  readonly type: 'convert'
  readonly dialect: DialectName
  /** The client's body as it came. */
  readonly body: Uint8Array
  readonly options: RequestOptions
  /** Contents of the body's attachments, in the second run of a body that needs some. */
  readonly attachments?: GotAttachments
}

/** Contents of the attachments of a body. */
export interface GotAttachments {
  /** Contents by URL. */
  readonly fetched: Readonly<Record<string, FetchedContent | PdfText>>
  /** Texts of the PDFs in the body, in their order. */
  readonly pdfs: readonly PdfText[]
}

/** One request to explain instead of to send. */
export interface LintJob {
  readonly type: 'lint'
  readonly body: Uint8Array
  readonly lint: LintOptions
}

/** One answer to check against the client's schema. */
export interface CheckJob {
  readonly type: 'check'
  /** The answer's text in UTF-8. */
  readonly body: Uint8Array
  readonly form: JsonForm
}

/** A request to the upstream of which an outline is wanted. */
export interface OutlineJob {
  readonly type: 'outline'
  readonly body: Uint8Array
}

/** A request to the upstream that is to be changed. */
export interface RewriteJob {
  readonly type: 'rewrite'
  readonly body: Uint8Array
  readonly rewrite: PayloadRewrite
}

/** A request to the upstream whose documents are wanted. */
export interface DocumentsJob {
  readonly type: 'documents'
  readonly body: Uint8Array
}

/** A PDF to read. */
export interface PdfJob {
  readonly type: 'pdf'
  readonly body: Uint8Array
}

/** The text of a PDF, in bytes: they are moved from thread to thread and are on no heap on their way. */
export type PdfText =
  | { readonly kind: 'utf8'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly reason: string }

/** The result of a thread's job. */
export type ThreadResult =
  | Conversion
  | { readonly type: 'report'; readonly report: LintReport }
  | { readonly type: 'check'; readonly check: AnswerCheck }
  | { readonly type: 'pdf'; readonly text: PdfText }
  | { readonly type: 'outline'; readonly members: string }
  /** `null` where it cannot be changed so. */
  | { readonly type: 'rewritten'; readonly payload: EncodedPayload | null }
  | { readonly type: 'documents'; readonly documents: readonly PayloadDocument[] }
  | { readonly type: 'refused'; readonly error: ErrorData }

/**
 * The result of a job, which is one of these types.
 *
 * @throws {GatewayError} what a thread has refused
 */
export function resultOf<T extends ThreadResult['type']>(
  result: ThreadResult,
  ...types: readonly T[]
): Extract<ThreadResult, { type: T }> {
  const isOf = (one: ThreadResult): one is Extract<ThreadResult, { type: T }> =>
    types.some((type) => type === one.type)
  if (isOf(result)) return result
  if (result.type === 'refused') throw GatewayError.ofData(result.error)
  throw new Error(`a job gave a result of another one: ${result.type}`)
}

/** A bug in a conversion, or the end of its thread: it has one job at a time, so that is what took too much. */
export function transformFailed(cause: unknown): GatewayError {
  if (codeOf(cause) === 'ERR_WORKER_OUT_OF_MEMORY') return tooCostly() // its heap was full
  const detail = cause instanceof Error ? cause.message : undefined
  return new GatewayError('GW_TRANSFORM_FAILED', detail, { cause })
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

function answersOf(job: ThreadJob): readonly Uint8Array[] {
  if (job.type === 'convert') return job.options.answers ?? []
  return job.type === 'lint' ? (job.lint.request.answers ?? []) : []
}
