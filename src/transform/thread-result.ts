import { tooCostly } from '../dialects/conversion-cost.ts'
import type { AnswerCheck } from '../dialects/json-answer.ts'
import type { LintReport } from '../dialects/lint/report.ts'
import { GatewayError } from '../shared/errors.ts'
import { AttachmentsNeeded, RoomNeeded } from './what-is-needed.ts'
import type { PdfText, ThreadResult, TransformRefusal, TransformSuccess } from './transform-job.ts'

/**
 * What a conversion came to.
 *
 * @throws {AttachmentsNeeded | RoomNeeded | GatewayError} for all but a success
 */
export function successOf(result: ThreadResult): TransformSuccess {
  if (result.ok && 'plan' in result) return result
  if (result.ok) throw new Error('a conversion gave a report')
  if ('needs' in result) throw new AttachmentsNeeded(result.needs, result.body)
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

function toGatewayError(refusal: TransformRefusal): GatewayError {
  const { code, message, param, details } = refusal
  return new GatewayError(code, undefined, {
    message,
    ...(param !== undefined && { param }),
    ...(details !== undefined && { details })
  })
}
