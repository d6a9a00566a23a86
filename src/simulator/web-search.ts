import { asJsonObject, type JsonObject, textMember } from '../kiro/json-object.ts'

/** 2026-01-01, in milliseconds. */
const PUBLISHED_AT = 1_767_225_600_000
const METHOD_NOT_FOUND = -32_601
const INVALID_PARAMS = -32_602

/** Answers `tools/list` and `tools/call` of `web_search` (kiro-protocol §9.4), always with the same finds. */
export function searchWeb(request: JsonObject): JsonObject {
  const { id, method } = request
  const envelope = { id: id ?? null, jsonrpc: '2.0' }
  if (method === 'tools/list') return { ...envelope, result: { tools: [WEB_SEARCH] } }
  if (method !== 'tools/call')
    return { ...envelope, error: rpcError(METHOD_NOT_FOUND, 'Unknown method') }
  const params = asJsonObject(request['params']) ?? {}
  const query = textMember(asJsonObject(params['arguments']) ?? {}, 'query')
  if (params['name'] !== 'web_search' || query === null) {
    return { ...envelope, error: rpcError(INVALID_PARAMS, 'web_search needs a query') }
  }
  const found = { results: resultsFor(query), totalResults: 2, query, error: null }
  const content = [{ type: 'text', text: JSON.stringify(found) }]
  return { ...envelope, result: { content, isError: false } }
}

const WEB_SEARCH = {
  name: 'web_search',
  description: 'Search the web',
  inputSchema: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }
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

function rpcError(code: number, message: string): JsonObject {
  return { code, message }
}
