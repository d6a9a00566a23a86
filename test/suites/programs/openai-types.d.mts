// The types of all answers that the gateway gives in OpenAI's APIs, as OpenAI's SDK declares them.
import type OpenAI from 'openai'

export interface AnswerTypes {
  chatCompletion: OpenAI.Chat.Completions.ChatCompletion
  chatChunk: OpenAI.Chat.Completions.ChatCompletionChunk
  response: OpenAI.Responses.Response
  responseEvent: OpenAI.Responses.ResponseStreamEvent
  inputTokens: OpenAI.Responses.InputTokens.InputTokenCountResponse
  model: OpenAI.Models.Model
  models: { object: 'list'; data: OpenAI.Models.Model[] }
  error: { error: OpenAI.ErrorObject }
}
