import { move, transferableSymbol, valueSymbol } from 'piscina'
import { AttachmentNeeded } from '../src/dialects/attachments.ts'
import { attachmentNeedsOf, convertRequest } from '../src/dialects/convert-request.ts'
import { inlineAttachments } from '../src/dialects/inline-attachments.ts'
import { lintRequest } from '../src/dialects/lint/lint-request.ts'
import { GatewayError } from '../src/shared/errors.ts'
import { ownsMemory } from '../src/shared/own-memory.ts'
import type { ThreadJob, TransformJob, TransformResult } from '../src/transform/transform-job.ts'
import { readPdfText } from '../src/dialects/pdf-text.ts'

/**
 * What piscina calls in a thread: one job in, one result out, both as bytes and plain data. A refusal is a
 * result too; any other error is a bug and fails the job. Bytes are moved, not copied, where they have a buffer
 * of their own.
 */
export default async function transformRequest(job: ThreadJob): Promise<unknown> {
  if ('lint' in job) return { ok: true, report: lintRequest(job.body, job.lint) }
  const result = await toResult(job)
  const bytes = result.ok ? result.payload : 'needs' in result ? result.body : null
  if (bytes === null || !ownsMemory(bytes)) return result
  return move({ [transferableSymbol]: [bytes.buffer], [valueSymbol]: result })
}

async function toResult(job: TransformJob): Promise<TransformResult> {
  try {
    return await convert(job)
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

async function convert({
  dialect,
  body,
  options,
  attachments
}: TransformJob): Promise<TransformResult> {
  const whole =
    attachments === undefined
      ? body
      : await inlineAttachments(body, { fetched: attachments, readPdf: readPdfText })
  try {
    return { ok: true, ...convertRequest(dialect, whole, options) }
  } catch (error) {
    if (!(error instanceof AttachmentNeeded) || attachments !== undefined) throw error
    return { ok: false, needs: attachmentNeedsOf(body), body }
  }
}
