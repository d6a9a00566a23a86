import { asJsonObject, type JsonObject, textMember } from '../shared/json.ts'

/** 2026-01-01. */
const PUBLISHED_AT = 1_767_225_600_000

/** Answers `tools/call` of `web_search` (kiro-protocol §9.4), always with the same results. */
export function searchWeb(request: JsonObject): JsonObject {
  const query = queryOf(request) ?? ''
  const results = resultsFor(query)
  return foundPages(request, { results, totalResults: results.length, query, error: null })
}

export function foundPages(request: JsonObject, found: JsonObject): JsonObject {
  const content = [{ type: 'text', text: JSON.stringify(found) }]
  const result = { content, isError: found['error'] !== null }
  return { id: request['id'] ?? null, jsonrpc: '2.0', result }
}

export function queryOf(request: JsonObject): string | null {
  const params = asJsonObject(request['params']) ?? {}
  return textMember(asJsonObject(params['arguments']) ?? {}, 'query')
}

function resultsFor(query: string): JsonObject[] {
  return [1, 2].map((number) => ({
    title: `Simulated result ${number} for ${query}`,
    url: `https://example.com/${number}?q=${encodeURIComponent(query)}`,
    snippet: `The simulator found this about ${query}.`,
    publishedDate: number === 1 ? PUBLISHED_AT : null,
    id: `result-${number}`,
    domain: 'example.com',
    maxVerbatimWordLimit: 30,
    publicDomain: false
  }))
}
