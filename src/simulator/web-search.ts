import { asJsonObject, type JsonObject, textMember } from '../shared/json.ts'

/** 2026-01-01. */
const PUBLISHED_AT = 1_767_225_600_000
const INVALID_REQUEST = -32_600
const METHOD_NOT_FOUND = -32_601
const INVALID_PARAMS = -32_602
const INTERNAL_ERROR = -32_603
const LONG_QUERY_CHARS = 200

/** Requested by `fault:<name>` in the query (`docs/simulator.md`). */
export const SEARCH_FAULTS = [
  'refused',
  'error',
  'long',
  'failed',
  'garbled',
  'none',
  'stall'
] as const

export type SearchFault = (typeof SEARCH_FAULTS)[number]

export function faultOfSearch(request: JsonObject): SearchFault | null {
  const query = queryOf(request) ?? ''
  return SEARCH_FAULTS.find((name) => query.includes(`fault:${name}`)) ?? null
}

/** Answers `tools/list` and `tools/call` of `web_search` (kiro-protocol §9.4), always with the same results. */
export function searchWeb(request: JsonObject): JsonObject {
  const { id, method, jsonrpc } = request
  const envelope = { id: id ?? null, jsonrpc: '2.0' }
  const failed = (code: number, message: string) => ({ ...envelope, error: { code, message } })
  if (jsonrpc !== '2.0' || typeof id !== 'string' || id === '') {
    return failed(INVALID_REQUEST, 'Invalid request')
  }
  if (method === 'tools/list') return { ...envelope, result: { tools: [WEB_SEARCH] } }
  if (method !== 'tools/call') return failed(METHOD_NOT_FOUND, 'Unknown method')
  const query = queryOf(request)
  if (asJsonObject(request['params'])?.['name'] !== 'web_search' || query === null) {
    return failed(INVALID_PARAMS, 'web_search needs a query')
  }
  const fault = faultOfSearch(request)
  if (fault === 'long' && query.length > LONG_QUERY_CHARS) {
    return failed(INVALID_PARAMS, 'The query is too long')
  }
  if (fault === 'error') return failed(INTERNAL_ERROR, 'The search is not available')
  return { ...envelope, result: resultOf(query, fault) }
}

const WEB_SEARCH = {
  name: 'web_search',
  description: 'Search the web',
  inputSchema: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }
}

function queryOf(request: JsonObject): string | null {
  const params = asJsonObject(request['params']) ?? {}
  return textMember(asJsonObject(params['arguments']) ?? {}, 'query')
}

function resultOf(query: string, fault: SearchFault | null): JsonObject {
  if (fault === 'garbled') return { content: [{ type: 'text', text: '{"results":' }] }
  const isError = fault === 'failed'
  const results = fault === 'none' || isError ? [] : resultsFor(query)
  const found = { results, totalResults: results.length, query, error: isError ? 'failed' : null }
  return { content: [{ type: 'text', text: JSON.stringify(found) }], isError }
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
