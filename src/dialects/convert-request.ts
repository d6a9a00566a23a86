import { toUpstreamRequest as fromMessages } from './anthropic-messages/request.ts'
import { toUpstreamRequest as fromChat } from './openai-chat/request.ts'
import { toUpstreamRequest as fromResponses } from './openai-responses/request.ts'
import type { DialectName } from './reply-plan.ts'
import type { RequestOptions } from './request-options.ts'
import type { UpstreamRequest } from './upstream-request.ts'

const CONVERTERS: Readonly<
  Record<DialectName, (body: Uint8Array, options: RequestOptions) => UpstreamRequest>
> = {
  'anthropic-messages': fromMessages,
  'openai-chat': fromChat,
  'openai-responses': fromResponses
}

/**
 * Makes the upstream's request of a client's body in any dialect. Pure but for a random conversation id
 * where nothing tells the session.
 *
 * @throws {GatewayError} GW_BODY_INVALID, GW_MODEL_UNKNOWN
 */
export function convertRequest(
  dialect: DialectName,
  body: Uint8Array,
  options: RequestOptions
): UpstreamRequest {
  return CONVERTERS[dialect](body, options)
}
