import type { Usage } from './stream-part.ts'

/** What several rounds of one answer cost together. */
export function addUsage(first: Usage | null, second: Usage): Usage {
  if (first === null) return second
  const { inputTokens, outputTokens } = second
  return {
    inputTokens: first.inputTokens + inputTokens,
    outputTokens: first.outputTokens + outputTokens,
    ...sumOf('cacheReadTokens', first, second),
    ...sumOf('cacheWriteTokens', first, second),
    ...sumOf('reasoningTokens', first, second),
    ...sumOf('credits', first, second)
  }
}

/** Known as soon as it is for one of them. */
function sumOf(
  name: 'cacheReadTokens' | 'cacheWriteTokens' | 'reasoningTokens' | 'credits',
  first: Usage,
  second: Usage
): Partial<Usage> {
  if (first[name] === undefined && second[name] === undefined) return {}
  return { [name]: (first[name] ?? 0) + (second[name] ?? 0) }
}
