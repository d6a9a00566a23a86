import type { ReplyPlan } from '../reply-plan.ts'
import type { EndReason } from '../stream-part.ts'

/** OpenAI's words for why an answer ended (kiro-protocol §10.1). */
const FinishReasons = {
  stop: 'stop',
  tool: 'tool_calls',
  length: 'length',
  context: 'length',
  'stop-sequence': 'stop',
  filter: 'content_filter',
  pause: 'stop'
} as const satisfies Record<EndReason, string>

/** The reason in the words that the client of a request knows. */
export function toFinishReason(
  reason: EndReason,
  { isLegacyCall }: Pick<ReplyPlan, 'isLegacyCall'>
): string {
  return reason === 'tool' && isLegacyCall === true ? 'function_call' : FinishReasons[reason]
}
