import type { SearchResult, StreamPart } from '../stream-part.ts'

/**
 * A web search as the two blocks that the Messages API has for one (kiro-protocol §9.4, A36): what was asked and
 * what was found, each as JSON text.
 */
export function toSearchBlocks(
  part: Extract<StreamPart, { type: 'search' }>
): readonly [call: string, found: string] {
  const id = `srvtoolu_${part.id}`
  const call = { type: 'server_tool_use', id, name: 'web_search', input: { query: part.query } }
  const content =
    part.problem === undefined
      ? part.results.map(toResult)
      : { type: 'web_search_tool_result_error', error_code: toErrorCode(part.problem) }
  const found = { type: 'web_search_tool_result', tool_use_id: id, content }
  return [JSON.stringify(call), JSON.stringify(found)]
}

/** The vendor's words, and the one for all other problems. */
const ErrorCodes = [
  'invalid_tool_input',
  'max_uses_exceeded',
  'query_too_long',
  'too_many_requests'
]

function toErrorCode(problem: string): string {
  return ErrorCodes.includes(problem) ? problem : 'unavailable'
}

function toResult({ title, url, snippet, publishedAt }: SearchResult): object {
  return {
    type: 'web_search_result',
    title,
    url,
    encrypted_content: snippet,
    page_age: publishedAt === undefined ? null : new Date(publishedAt).toISOString()
  }
}
