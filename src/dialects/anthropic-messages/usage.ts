import type { Usage } from '../stream-part.ts'

/** Usage in Anthropic's words; the cache counts appear together or, where nothing is known, not at all. Searches are counted once there were any. */
export function toAnthropicUsage(usage: Usage, searches = 0): object {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage
  const isCacheKnown = cacheReadTokens !== undefined || cacheWriteTokens !== undefined
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    ...(isCacheKnown && {
      cache_read_input_tokens: cacheReadTokens ?? 0,
      cache_creation_input_tokens: cacheWriteTokens ?? 0
    }),
    ...(searches > 0 && { server_tool_use: { web_search_requests: searches } })
  }
}
