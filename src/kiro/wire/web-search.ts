import { randomInt } from 'node:crypto'
import { asJsonObject, type JsonObject, textMember, parseForeignObject } from '../../shared/json.ts'
import { cut, redactText, withoutQuotations } from './fault.ts'

/** See kiro-protocol §9.4. */
export interface FoundPage {
  readonly title: string
  readonly url: string
  readonly snippet: string
  /** Epoch ms. */
  readonly publishedAt?: number
}

export type SearchOutcome =
  | {
      readonly pages: readonly FoundPage[]
      readonly problem?: undefined
      readonly isUnfit?: undefined
    }
  /** `problem`: the upstream's words, only for the log. `isUnfit`: it does not take the query. */
  | { readonly pages: readonly []; readonly problem: string; readonly isUnfit?: boolean }

const MAX_PAGES = 20
const MAX_SNIPPET_CHARS = 4000
const MAX_TITLE_CHARS = 500
const MAX_URL_CHARS = 2000
const MAX_PROBLEM_CHARS = 200
/** Length of a shortened query: the real limit is unknown. */
const SURE_QUERY_CHARS = 200
const INVALID_PARAMS = -32_602

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const LOWER_ALPHANUMERIC = 'abcdefghijklmnopqrstuvwxyz0123456789'

export function makeSearchId(now: number): string {
  return `web_search_tooluse_${randomText(ALPHANUMERIC, 22)}_${now}_${randomText(LOWER_ALPHANUMERIC, 8)}`
}

/** The target form has the profile in the body, the path form in a header. */
export function searchBody(id: string, query: string, profileArn: string | null): string {
  const params = { name: 'web_search', arguments: { query } }
  const call = { id, jsonrpc: '2.0', method: 'tools/call', params }
  return JSON.stringify(profileArn === null ? call : { ...call, profileArn })
}

/** Shortens a refused query; `null` if it was short, so that its length cannot be why. */
export function cutQuery(query: string): string | null {
  if (query.length <= SURE_QUERY_CHARS) return null
  return query.slice(0, SURE_QUERY_CHARS).replace(/[\uD800-\uDBFF]$/, '')
}

/** Reads an answer with status 200; an unreadable one is a failed search. */
export function parseSearchAnswer(text: string): SearchOutcome {
  const envelope = parseForeignObject(text)
  if (envelope === null) return failed('the answer is not a JSON object')
  const error = asJsonObject(envelope['error'])
  if (error !== null) {
    const outcome = failed(textMember(error, 'message') ?? 'an error without a message')
    return { ...outcome, isUnfit: error['code'] === INVALID_PARAMS }
  }
  const result = asJsonObject(envelope['result'])
  const content: unknown = result?.['content']
  const first = Array.isArray(content) ? asJsonObject(content[0]) : null
  const words = first === null ? null : textMember(first, 'text')
  if (words === null) return failed('the answer has no text')
  if (result?.['isError'] === true) return failed(words)
  return readFinds(parseForeignObject(words))
}

function readFinds(finds: JsonObject | null): SearchOutcome {
  if (finds === null) return failed('the results are not a JSON object')
  const { results } = finds
  const problem = textMember(finds, 'error')
  if (problem !== null) return failed(problem)
  if (!Array.isArray(results)) return failed('there is no list of results')
  const pages: FoundPage[] = []
  for (const item of results) {
    const page = readPage(asJsonObject(item) ?? {})
    if (page !== null) pages.push(page)
    if (pages.length === MAX_PAGES) break
  }
  return { pages }
}

function readPage(item: JsonObject): FoundPage | null {
  const url = textMember(item, 'url')
  if (url === null || url.length > MAX_URL_CHARS) return null
  const { publishedDate } = item
  return {
    title: (textMember(item, 'title') ?? url).slice(0, MAX_TITLE_CHARS).toWellFormed(),
    url,
    snippet: (textMember(item, 'snippet') ?? '').slice(0, MAX_SNIPPET_CHARS).toWellFormed(),
    ...(isTime(publishedDate) && { publishedAt: publishedDate })
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime())
}

function failed(problem: string) {
  return {
    pages: [] as const,
    problem: cut(withoutQuotations(redactText(problem, MAX_PROBLEM_CHARS)), MAX_PROBLEM_CHARS)
  }
}

function randomText(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('')
}
