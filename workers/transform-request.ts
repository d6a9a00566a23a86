import { move, transferableSymbol, valueSymbol } from 'piscina'
import { convertRequest } from '../src/dialects/convert-request.ts'
import { GatewayError } from '../src/shared/errors.ts'
import type { TransformJob, TransformResult } from '../src/transform/transform-job.ts'

/**
 * What piscina calls in a thread: one job in, one result out, both as bytes and plain data. A refusal is a
 * result too; any other error is a bug and fails the job. Bytes are moved, not copied, where they have a buffer
 * of their own.
 */
export default function transformRequest(job: TransformJob): unknown {
  const result = toResult(job)
  if (!result.ok) return result
  const { buffer, byteLength } = result.payload
  if (buffer.byteLength !== byteLength) return result
  return move({ [transferableSymbol]: [buffer], [valueSymbol]: result })
}

function toResult({ dialect, body, options }: TransformJob): TransformResult {
  try {
    return { ok: true, ...convertRequest(dialect, body, options) }
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
