import { asJsonObject, type JsonObject } from '../../src/shared/json.ts'
import { foundPages, queryOf, searchWeb } from '../../src/simulator/web-search.ts'

const INVALID_REQUEST = -32_600
const METHOD_NOT_FOUND = -32_601
const INVALID_PARAMS = -32_602
const INTERNAL_ERROR = -32_603
const LONG_QUERY_CHARS = 200

/** Requested by `fault:<name>` in the query (`docs/lab/simulator.md`). */
export const SEARCH_FAULTS = [
  'refused',
  'error',
  'long',
  'failed',
  'garbled',
  'none',
  'stall'
] as const

type SearchFault = (typeof SEARCH_FAULTS)[number]

export function faultOfSearch(request: JsonObject): SearchFault | null {
  const query = queryOf(request) ?? ''
  return SEARCH_FAULTS.find((name) => query.includes(`fault:${name}`)) ?? null
}

const WEB_SEARCH = {
  name: 'web_search',
  description: 'Search the web',
  inputSchema: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }
}

/** Answers `tools/list` and `tools/call` (kiro-protocol §9.4) if they are proper JSON-RPC and ask for no fault. */
export function searchStrictly(request: JsonObject): JsonObject {
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
  if (fault === 'garbled') {
    return { ...envelope, result: { content: [{ type: 'text', text: '{"results":' }] } }
  }
  if (fault !== 'failed' && fault !== 'none') return searchWeb(request)
  const error = fault === 'failed' ? 'failed' : null
  return foundPages(request, { results: [], totalResults: 0, query, error })
}
