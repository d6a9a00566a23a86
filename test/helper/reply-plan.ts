import type { AnswerIdentity } from '../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'

/** A streamed answer without anything special; tests name what they need otherwise. */
export function replyPlan(changes: Partial<ReplyPlan> = {}): ReplyPlan {
  return {
    dialect: 'openai-chat',
    model: 'claude-haiku-4.5',
    upstreamModel: 'claude-haiku-4.5',
    isStream: true,
    wantsUsage: true,
    toolNames: {},
    stopSequences: [],
    reasoning: 'none',
    isSingleToolCall: false,
    isJsonAnswer: false,
    inputTokens: 900,
    contextWindow: 200_000,
    textCallForms: {},
    rounds: null,
    toolForms: {},
    echo: '{}',
    keepsItems: false,
    repairs: [],
    borderline: [],
    keptBytes: 0,
    ...changes
  }
}

export const openAiIdentity: AnswerIdentity = { id: 'chatcmpl-1f', created: 1_760_000_000 }
export const anthropicIdentity: AnswerIdentity = { id: 'msg_1f', created: 1_760_000_000 }
export const responsesIdentity: AnswerIdentity = {
  id: 'resp_0123456789abcdef0123456789abcdef',
  created: 1_760_000_000
}
