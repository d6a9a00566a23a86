import type { Usage } from '../stream-part.ts'

/** Usage in the words of a response; cached tokens are a part of `input_tokens` there (kiro-protocol §6.3). */
export function toResponseUsage(usage: Usage): object {
  const { cacheReadTokens = 0, cacheWriteTokens = 0, reasoningTokens = 0, credits } = usage
  const inputTokens = usage.inputTokens + cacheReadTokens + cacheWriteTokens
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cacheReadTokens, cache_write_tokens: cacheWriteTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + usage.outputTokens,
    ...(credits !== undefined && { credits_used: credits })
  }
}
