import { Repairs } from '../kiro/rules/repairs.ts'
import { toUpstreamRequest as fromMessages } from './anthropic-messages/request.ts'
import { toUpstreamRequest as fromChat } from './openai-chat/request.ts'
import { itemReferencesOf as ofResponses } from './openai-responses/input.ts'
import { toUpstreamRequest as fromResponses } from './openai-responses/request.ts'
import { parseJsonBody } from './plan/json-body.ts'
import type { DialectName } from './plan/plan.ts'
import { findAttachments } from './request/attachments.ts'
import type { RequestOptions, UpstreamRequest } from './request/to-upstream.ts'

type Converter = (body: Uint8Array, options: RequestOptions, repairs: Repairs) => UpstreamRequest

const CONVERTERS: Readonly<Record<DialectName, Converter>> = {
  'anthropic-messages': fromMessages,
  'openai-chat': fromChat,
  'openai-responses': fromResponses
}

/** Whether a client API of that name is known. */
export function isDialectName(name: string): name is DialectName {
  return Object.hasOwn(CONVERTERS, name)
}

/** What a request must have got before it can be converted. */
export interface AttachmentNeeds {
  readonly urls: readonly string[]
  /** Those that it carries, which only have to be turned into text. Each has memory of its own. */
  readonly pdfs: readonly Uint8Array<ArrayBuffer>[]
}

/**
 * The attachments of a body that `convertRequest()` could not read.
 *
 * @throws {GatewayError} GW_BODY_INVALID for one that is no JSON
 */
export function attachmentNeedsOf(body: Uint8Array): AttachmentNeeds {
  const attachments = findAttachments(parseJsonBody(body)).map((block) => block.attachment)
  return {
    urls: [...new Set(attachments.flatMap((one) => (one.kind === 'url' ? [one.url] : [])))],
    pdfs: attachments.flatMap((one) => (one.kind === 'pdf' ? [decodeBase64(one.base64)] : []))
  }
}

/** In memory of its own, however small it is. */
function decodeBase64(base64: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/**
 * Makes the upstream's request of a client's body in any dialect. Pure but for a random conversation id
 * where nothing tells the session. What is repaired is noted in `repairs`, and its codes in the plan.
 *
 * @throws {AttachmentNeeded} for a body with attachments that have to be got first
 * @throws {PayloadRoomNeeded} for one that becomes so large that memory must be set aside for it first
 * @throws {GatewayError} GW_BODY_INVALID, GW_MODEL_UNKNOWN
 */
export function convertRequest(
  dialect: DialectName,
  body: Uint8Array,
  options: RequestOptions,
  repairs = new Repairs()
): UpstreamRequest {
  return CONVERTERS[dialect](body, options, repairs)
}

const NoReferences = (): readonly string[] => []

const Finders: Readonly<Record<DialectName, (body: Uint8Array) => readonly string[]>> = {
  'openai-chat': NoReferences,
  'openai-responses': ofResponses,
  'anthropic-messages': NoReferences
}

/** The ids of parts of earlier answers that a body refers to, each once; for `RequestOptions.answers`. */
export function itemReferencesOf(dialect: DialectName, body: Uint8Array): readonly string[] {
  return Finders[dialect](body)
}
