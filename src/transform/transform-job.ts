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

/** Shared memory: id of the job's thread, and that thread's CPU milliseconds before; 0 and 0 until the job begins. */
export type JobMark = Int32Array<SharedArrayBuffer>

const THREAD = 0
const SPENT_MS = 1
const MARK_FIELDS = 2

export function createJobMark(): JobMark {
  return new Int32Array(new SharedArrayBuffer(MARK_FIELDS * Int32Array.BYTES_PER_ELEMENT))
}

export function markBegin(mark: JobMark): void {
  Atomics.store(mark, SPENT_MS, millisecondsOf(process.threadCpuUsage()))
  Atomics.store(mark, THREAD, threadId)
}

/** 0, which no thread has, before the job begins. */
export function threadOf(mark: JobMark): number {
  return Atomics.load(mark, THREAD)
}

export function spentOn(mark: JobMark, usage: NodeJS.CpuUsage): number {
  return millisecondsOf(usage) - Atomics.load(mark, SPENT_MS)
}

function millisecondsOf({ user, system }: NodeJS.CpuUsage): number {
  return Math.floor((user + system) / 1000)
}

export type ThreadJob = ConvertJob | LintJob | CheckJob | RewriteJob | ReadJob

export type MarkedJob = ThreadJob & { readonly mark: JobMark }

export interface ConvertJob {
  readonly type: 'convert'
  readonly dialect: DialectName
  readonly body: Uint8Array
  readonly options: RequestOptions
  /** Attachments for the second run of a body that needs some. */
  readonly attachments?: GotAttachments
}

export interface GotAttachments {
  /** Keyed by URL. */
  readonly fetched: Readonly<Record<string, FetchedContent | PdfText>>
  readonly pdfs: readonly PdfText[]
}

export interface LintJob {
  readonly type: 'lint'
  readonly body: Uint8Array
  readonly lint: LintOptions
}

export interface CheckJob {
  readonly type: 'check'
  readonly body: Uint8Array
  readonly form: JsonForm
}

export interface RewriteJob {
  readonly type: 'rewrite'
  readonly body: Uint8Array
  readonly rewrite: PayloadRewrite
}

/** Reads the text of a PDF, the outline of a payload, or its documents. */
export interface ReadJob {
  readonly type: 'pdf' | 'outline' | 'documents'
  readonly body: Uint8Array
}

/** Bytes, which are moved between threads without a copy on a heap. */
export type PdfText =
  | { readonly kind: 'utf8'; readonly bytes: Uint8Array }
  | { readonly kind: 'failed'; readonly reason: string }

export type ThreadResult =
  | Conversion
  | { readonly type: 'report'; readonly report: LintReport }
  | { readonly type: 'check'; readonly check: AnswerCheck }
  | { readonly type: 'pdf'; readonly text: PdfText }
  | { readonly type: 'outline'; readonly members: string }
  /** `null`: cannot be changed so. */
  | { readonly type: 'rewritten'; readonly payload: EncodedPayload | null }
  | { readonly type: 'documents'; readonly documents: readonly PayloadDocument[] }
  | { readonly type: 'refused'; readonly error: ErrorData }

/** @throws {GatewayError} a thread's refusal */
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

/** A bug in a conversion, or the end of its thread, which has one job at a time. */
export function transformFailed(cause: unknown): GatewayError {
  if (codeOf(cause) === 'ERR_WORKER_OUT_OF_MEMORY') return tooCostly() // its heap was full
  const detail = cause instanceof Error ? cause.message : undefined
  return new GatewayError('GW_TRANSFORM_FAILED', detail, { cause })
}

/** Copies small reads out of their shared pool, so that the buffer can be moved. */
export function ownBytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
  return isOwn ? new Uint8Array(buffer) : new Uint8Array(body)
}

export function movedWith(job: ThreadJob): ArrayBuffer[] {
  const all = [job.body, ...answersOf(job)]
  return [...new Set(all.flatMap((bytes) => (ownsMemory(bytes) ? [bytes.buffer] : [])))]
}

function answersOf(job: ThreadJob): readonly Uint8Array[] {
  if (job.type === 'convert') return job.options.answers ?? []
  return job.type === 'lint' ? (job.lint.request.answers ?? []) : []
}
