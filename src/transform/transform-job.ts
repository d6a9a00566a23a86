import type { FetchedContent } from '../dialects/attachments.ts'
import type { AttachmentNeeds } from '../dialects/convert-request.ts'
import type { AnswerCheck, JsonForm } from '../dialects/json-answer.ts'
import type { LintOptions } from '../dialects/lint/lint-request.ts'
import type { LintReport } from '../dialects/lint/report.ts'
import type { DialectName, ReplyPlan } from '../dialects/reply-plan.ts'
import type { RequestOptions } from '../dialects/request-options.ts'
import type { ErrorCode } from '../shared/errors.ts'

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
  readonly pdf: PdfReading
}

/** How far its thread has come. */
export interface PdfReading {
  /** In shared memory: 1 as soon as it has begun to read. */
  readonly progress: Int32Array<SharedArrayBuffer>
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

/** The body can't be converted before these attachments have been got. */
export interface TransformNeeds {
  readonly ok: false
  readonly needs: AttachmentNeeds
  /** Comes back to who gave it. */
  readonly body: Uint8Array
}

/** The body can't be converted before there is memory for what becomes of it. */
export interface TransformNeedsRoom {
  readonly ok: false
  readonly payloadBytes: number
  /** Of all that it is made of, attachments included. */
  readonly bodyBytes: number
  /** Comes back to who gave it. */
  readonly body: Uint8Array
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
