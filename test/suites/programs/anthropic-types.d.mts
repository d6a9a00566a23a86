// The types of all answers that the gateway gives in Anthropic's API, as Anthropic's SDK declares them.
import type Anthropic from '@anthropic-ai/sdk'

export interface AnswerTypes {
  message: Anthropic.Message
  messageEvent: Anthropic.RawMessageStreamEvent | Anthropic.ErrorResponse | { type: 'ping' }
  tokenCount: Anthropic.MessageTokensCount
  model: Anthropic.ModelInfo
  models: {
    data: Anthropic.ModelInfo[]
    has_more: boolean
    first_id: string | null
    last_id: string | null
  }
  error: Anthropic.ErrorResponse
}
