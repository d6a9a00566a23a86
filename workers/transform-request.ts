import { getPriority, setPriority } from 'node:os'
import { resourceLimits } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import { convertRequest } from '../src/dialects/dialect.ts'
import { lintRequest } from '../src/dialects/lint/lint-request.ts'
import { checkAnswer } from '../src/dialects/plan/json-answer.ts'
import {
  type AttachmentContent,
  type AttachmentContents,
  AttachmentNeeded,
  attachmentNeedsOf,
  inlineAttachments
} from '../src/dialects/request/attachments.ts'
import { PayloadRoomNeeded } from '../src/dialects/request/payload-bytes.ts'
import { readPdfText } from '../src/dialects/request/pdf.ts'
import { GatewayError } from '../src/shared/errors.ts'
import { ownsMemory } from '../src/shared/own-memory.ts'
import {
  type GotAttachments,
  type JobMark,
  type LintJob,
  type LintSuccess,
  markBegin,
  type MarkedJob,
  type PdfSuccess,
  type PdfText,
  type TransformJob,
  type TransformResult
} from '../src/transform/transform-job.ts'

/** So much nicer than the event loops: of busy cores they have three quarters, should they need that, and the next turn. */
const NICENESS = 5
const MAX_NICENESS = 19

standBack()

/** Longest check of an answer. Sensible schemas take a few milliseconds; meanwhile others wait for the thread. */
const CHECK_MS = 2000

/**
 * What piscina calls in a thread: one job in, one result out, both as bytes and plain data. A refusal is a
 * result too; any other error is a bug and fails the job. Bytes are moved, not copied, where they have a buffer
 * of their own.
 */
export default async function transformRequest(job: MarkedJob): Promise<unknown> {
  if ('pdf' in job) return moved(await readPdf(job.body, job.mark))
  markBegin(job.mark)
  if ('form' in job) return { ok: true, check: checkAnswer(decode(job.body), job.form, CHECK_MS) }
  return moved(toResult(job))
}

function moved(result: TransformResult | LintSuccess | PdfSuccess): unknown {
  const buffers = bytesOf(result).flatMap((bytes) => (ownsMemory(bytes) ? [bytes.buffer] : []))
  return buffers.length === 0
    ? result
    : move({ [transferableSymbol]: buffers, [valueSymbol]: result })
}

/** What the limits of this thread leave for objects that live long. */
const HEAP_BYTES = (resourceLimits.maxOldGenerationSizeMb ?? Infinity) * 1024 * 1024

function toResult(job: TransformJob | LintJob): TransformResult | LintSuccess {
  try {
    return 'lint' in job ? explain(job) : convert(job)
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

function bytesOf(result: TransformResult | LintSuccess | PdfSuccess): readonly Uint8Array[] {
  if ('payload' in result) return [result.payload]
  if ('needs' in result) return [result.body, ...result.answers, ...result.needs.pdfs]
  if ('payloadBytes' in result) return [result.body, ...result.answers]
  return 'text' in result && result.text.kind === 'utf8' ? [result.text.bytes] : []
}

function explain({ body, lint }: LintJob): LintSuccess {
  const request = { ...lint.request, heapBytes: HEAP_BYTES }
  return { ok: true, report: lintRequest(body, { ...lint, request }) }
}

function convert({ dialect, body, options, attachments }: TransformJob): TransformResult {
  const { answers = [] } = options
  const whole = attachments === undefined ? body : inlineAttachments(body, toContents(attachments))
  try {
    return { ok: true, ...convertRequest(dialect, whole, { ...options, heapBytes: HEAP_BYTES }) }
  } catch (error) {
    if (error instanceof PayloadRoomNeeded) {
      const { payloadBytes, bodyBytes } = error
      return { ok: false, payloadBytes, bodyBytes, body, answers }
    }
    if (!(error instanceof AttachmentNeeded) || attachments !== undefined) throw error
    return { ok: false, needs: attachmentNeedsOf(body), body, answers }
  }
}

function toContents({ fetched, pdfs }: GotAttachments): AttachmentContents {
  const contents = Object.entries(fetched).map(([url, content]) => [url, toContent(content)])
  return { fetched: Object.fromEntries(contents), pdfs: pdfs.map(toContent) }
}

function toContent(content: AttachmentContent | PdfText): AttachmentContent {
  return content.kind === 'utf8' ? { kind: 'text', text: decode(content.bytes) } : content
}

/** Until the library has been loaded the thread is busy with itself. */
async function readPdf(body: Uint8Array, mark: JobMark): Promise<PdfSuccess> {
  const content = await readPdfText(body, { onBegin: () => markBegin(mark) })
  if (content.kind === 'failed') return { ok: true, text: content }
  return { ok: true, text: { kind: 'utf8', bytes: new TextEncoder().encode(content.text) } }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

/**
 * Leaves the CPU to the event loops, whose streams must not wait for a conversion. Linux knows this of a single thread,
 * other systems only of the whole process.
 */
function standBack(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(Math.min(MAX_NICENESS, getPriority() + NICENESS))
  } catch {
    // A sandbox may forbid it; conversions are right all the same.
  }
}
