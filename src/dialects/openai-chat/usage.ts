import type { Usage } from '../stream-part.ts'

/** Usage in OpenAI's words; cached tokens are a part of `prompt_tokens` there (kiro-protocol §6.3). */
export function toOpenAiUsage(usage: Usage): object {
  const { cacheReadTokens, cacheWriteTokens, reasoningTokens, credits } = usage
  const promptTokens = usage.inputTokens + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: promptTokens + usage.outputTokens,
    ...(cacheReadTokens !== undefined && {
      prompt_tokens_details: { cached_tokens: cacheReadTokens }
    }),
    ...(reasoningTokens !== undefined && {
      completion_tokens_details: { reasoning_tokens: reasoningTokens }
    }),
    ...(credits !== undefined && { credits_used: credits })
  }
}
