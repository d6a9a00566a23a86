import { resourceLimits, threadId } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import { AttachmentNeeded } from '../src/dialects/attachments.ts'
import { attachmentNeedsOf, convertRequest } from '../src/dialects/convert-request.ts'
import { inlineAttachments } from '../src/dialects/inline-attachments.ts'
import { checkAnswer } from '../src/dialects/json-answer.ts'
import { lintRequest } from '../src/dialects/lint/lint-request.ts'
import { GatewayError } from '../src/shared/errors.ts'
import { ownsMemory } from '../src/shared/own-memory.ts'
import type { AttachmentContent } from '../src/dialects/attachments.ts'
import { PDF_TOO_COSTLY, readPdfText } from '../src/dialects/pdf-text.ts'
import {
  type LintJob,
  type LintSuccess,
  PDF_CELL,
  type PdfReading,
  THREAD_CELL,
  type ThreadJob,
  type TransformJob,
  type TransformResult
} from '../src/transform/transform-job.ts'

/** Longest check of an answer. Sensible schemas take a few milliseconds; meanwhile others wait for the thread. */
const CHECK_MS = 2000

/**
 * What piscina calls in a thread: one job in, one result out, both as bytes and plain data. A refusal is a
 * result too; any other error is a bug and fails the job. Bytes are moved, not copied, where they have a buffer
 * of their own.
 */
export default async function transformRequest(job: ThreadJob): Promise<unknown> {
  if ('form' in job) return { ok: true, check: checkAnswer(decode(job.body), job.form, CHECK_MS) }
  const result = await toResult(job)
  const bytes = bytesOf(result)
  if (bytes === null || !ownsMemory(bytes)) return result
  return move({ [transferableSymbol]: [bytes.buffer], [valueSymbol]: result })
}

/** What the limits of this thread leave for objects that live long. */
const HEAP_BYTES = (resourceLimits.maxOldGenerationSizeMb ?? Infinity) * 1024 * 1024

async function toResult(job: TransformJob | LintJob): Promise<TransformResult | LintSuccess> {
  try {
    return 'lint' in job ? explain(job) : await convert(job)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const { code, message, param, details } = error
    return {
      ok: false,
      code,
      message,
      ...(param !== undefined && { param }),
      ...(details !== undefined && { details })
    }
  }
}

function bytesOf(result: TransformResult | LintSuccess): Uint8Array | null {
  if ('payload' in result) return result.payload
  return 'needs' in result ? result.body : null
}

function explain({ body, lint }: LintJob): LintSuccess {
  const request = { ...lint.request, heapBytes: HEAP_BYTES }
  return { ok: true, report: lintRequest(body, { ...lint, request }) }
}

async function convert({
  dialect,
  body,
  options,
  attachments,
  pdfs
}: TransformJob): Promise<TransformResult> {
  const whole =
    attachments === undefined
      ? body
      : await inlineAttachments(body, { fetched: attachments, readPdf: pdfReader(pdfs) })
  try {
    return { ok: true, ...convertRequest(dialect, whole, { ...options, heapBytes: HEAP_BYTES }) }
  } catch (error) {
    if (!(error instanceof AttachmentNeeded) || attachments !== undefined) throw error
    return { ok: false, needs: attachmentNeedsOf(body), body }
  }
}

/** Tells who watches the thread which PDF it is at, and does not try those again that ended one. */
function pdfReader(pdfs: PdfReading | undefined): (base64: string) => Promise<AttachmentContent> {
  if (pdfs === undefined) return (base64) => readPdfText(base64)
  const { progress, costly } = pdfs
  Atomics.store(progress, THREAD_CELL, threadId)
  return async (base64) => {
    const number = Atomics.add(progress, PDF_CELL, 1) + 1
    if (costly.includes(number)) return { kind: 'failed', reason: PDF_TOO_COSTLY }
    return readPdfText(base64)
  }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
