import { AttachmentNeeded } from '../dialects/attachments.ts'
import { attachmentNeedsOf, convertRequest } from '../dialects/convert-request.ts'
import { type LintOptions, lintRequest } from '../dialects/lint/lint-request.ts'
import type { LintReport } from '../dialects/lint/report.ts'
import { PayloadRoomNeeded } from '../dialects/payload-bytes.ts'
import { GatewayError } from '../shared/errors.ts'
import { AttachmentsNeeded, RoomNeeded } from './what-is-needed.ts'
import { transformFailed } from './thread-result.ts'
import type { TransformJob, TransformSuccess } from './transform-job.ts'

/** Transforms a request on the event loop, with the errors of a thread. */
export function transformInline({ dialect, body, options }: TransformJob): TransformSuccess {
  try {
    return { ok: true, ...convertRequest(dialect, body, options) }
  } catch (cause) {
    if (cause instanceof AttachmentNeeded)
      throw new AttachmentsNeeded(attachmentNeedsOf(body), body)
    if (cause instanceof PayloadRoomNeeded)
      throw new RoomNeeded({ payloadBytes: cause.payloadBytes, bodyBytes: cause.bodyBytes, body })
    throw cause instanceof GatewayError ? cause : transformFailed(cause)
  }
}

/** The same for an explanation. */
export function lintInline(body: Uint8Array, lint: LintOptions): LintReport {
  try {
    return lintRequest(body, lint)
  } catch (cause) {
    throw transformFailed(cause)
  }
}
