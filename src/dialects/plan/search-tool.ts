import { type Conversation, isBlank, type ToolDefinition } from '../../kiro/wire/message.ts'
import type { FoundPage } from '../../kiro/wire/web-search.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { ownText } from '../../shared/own-memory.ts'
import { invalidPart, refuseLong } from './json-body.ts'

export interface WebSearchWish {
  readonly maxUses: number
  /** Hosts with or without a path; empty for all. */
  readonly allowedDomains: readonly string[]
  readonly blockedDomains: readonly string[]
  /** User's location in words; `''` if unknown. */
  readonly location: string
  readonly source: string
}

export interface OpeningSearch {
  readonly query: string
  /** The words ask for nothing else: the results are the answer. */
  readonly isWhole: boolean
}

const MAX_USES = 10
const MAX_DOMAINS = 200
/** A host has at most 253; the rest is for a path. */
const MAX_DOMAIN_CHARS = 512
const MAX_LOCATION_CHARS = 200
const MAX_OPENING_CHARS = 400
/** Longest query; the upstream's own limit is unknown. */
const MAX_QUERY_CHARS = 2000

const SEARCH_PREFIX = 'Perform a web search for the query: '
const TOOL_NAMES = ['web_search', 'search_the_web', 'gateway_web_search'] as const

export function isSearchTool(tool: JsonObject): boolean {
  const { type } = tool
  return typeof type === 'string' && /^web_search(?:_|$)/.test(type)
}

export function findSearchTool(
  tools: readonly JsonObject[],
  path: string
): WebSearchWish | undefined {
  const index = tools.findIndex(isSearchTool)
  const tool = tools[index]
  return tool === undefined ? undefined : readSearchWish(tool, `${path}[${index}]`)
}

/** @throws {GatewayError} GW_BODY_INVALID */
export function readSearchWish(tool: JsonObject, path: string): WebSearchWish {
  const { max_uses: maxUses, user_location: location } = tool
  const filters = isJsonObject(tool['filters']) ? tool['filters'] : tool
  const filtersPath = filters === tool ? path : `${path}.filters`
  if (isGiven(maxUses) && !(Number.isInteger(maxUses) && Number(maxUses) > 0)) {
    throw invalidPart(`${path}.max_uses`, 'must be a whole number of at least 1')
  }
  return {
    maxUses: isGiven(maxUses) ? Math.min(Number(maxUses), MAX_USES) : MAX_USES,
    allowedDomains: readDomains(filters['allowed_domains'], `${filtersPath}.allowed_domains`),
    blockedDomains: readDomains(filters['blocked_domains'], `${filtersPath}.blocked_domains`),
    location: readLocation(location),
    source: path
  }
}

export function searchTool(name: string, wish: WebSearchWish): ToolDefinition {
  const { allowedDomains, blockedDomains, location } = wish
  const sentences = [
    'Searches the web and gives the titles, addresses and excerpts of the pages that were found.',
    ...(allowedDomains.length > 0 ? [`Only finds pages of: ${allowedDomains.join(', ')}.`] : []),
    ...(blockedDomains.length > 0 ? [`Never finds pages of: ${blockedDomains.join(', ')}.`] : []),
    ...(location === '' ? [] : [`The user is in ${location}.`])
  ]
  return {
    name,
    description: sentences.join(' '),
    schema: {
      type: 'object',
      properties: { query: { type: 'string', description: 'What to search for' } },
      required: ['query']
    }
  }
}

export function nameSearchTool(tools: readonly ToolDefinition[]): string {
  const taken = new Set(tools.map(({ name }) => name.toLowerCase()))
  const free = TOOL_NAMES.find((name) => !taken.has(name))
  if (free !== undefined) return free
  let number = 2
  while (taken.has(`web_search_${number}`)) number++
  return `web_search_${number}`
}

/** If web search is the only tool, short first words are the query (kiro-protocol §9.4, path A). */
export function openingSearch({ tools, messages }: Conversation): OpeningSearch | null {
  const [message] = messages
  if (tools.length > 0 || messages.length !== 1 || message?.role !== 'user') return null
  const { images, documents = [], toolResults } = message
  if (images.length + documents.length + toolResults.length > 0) return null
  const text = message.text.trim()
  const line = text.slice(text.lastIndexOf('\n') + 1)
  const queryChars = line.length - SEARCH_PREFIX.length
  if (line.startsWith(SEARCH_PREFIX) && queryChars > 0 && queryChars <= MAX_QUERY_CHARS) {
    return { query: ownText(line.slice(SEARCH_PREFIX.length)), isWhole: true }
  }
  const isQuery = !isBlank(text) && text.length <= MAX_OPENING_CHARS && !text.includes('\n')
  return isQuery ? { query: ownText(text), isWhole: false } : null
}

export function filterPages(
  pages: readonly FoundPage[],
  { allowedDomains, blockedDomains }: WebSearchWish
): readonly FoundPage[] {
  return pages.filter(
    ({ url }) =>
      (allowedDomains.length === 0 || allowedDomains.some((domain) => isWithin(url, domain))) &&
      !blockedDomains.some((domain) => isWithin(url, domain))
  )
}

export function wordSearch(
  query: string,
  found: { readonly results: readonly FoundPage[]; readonly problem?: string }
): string {
  if (found.problem !== undefined) {
    return 'The web search failed. Answer without it, and say that you could not search.'
  }
  if (found.results.length === 0) return `No pages were found for "${query}".`
  return found.results.map(wordPage).join('\n\n')
}

function wordPage({ title, url, snippet, publishedAt }: FoundPage, index: number): string {
  const date =
    publishedAt === undefined ? '' : `, ${new Date(publishedAt).toISOString().slice(0, 10)}`
  return `${index + 1}. ${title} (${url})${date}${snippet === '' ? '' : `\n${snippet}`}`
}

/** `example.com` includes subdomains, `example.com/blog` only what is below that path. */
function isWithin(url: string, domain: string): boolean {
  if (!URL.canParse(url)) return false
  const { hostname, pathname } = new URL(url)
  const [host = '', ...path] = domain.toLowerCase().split('/')
  const isHost = hostname === host || hostname.endsWith(`.${host}`)
  const prefix = path.length === 0 ? '' : `/${path.join('/')}`.replace(/\/$/, '')
  const isBelow =
    pathname.toLowerCase() === prefix || pathname.toLowerCase().startsWith(`${prefix}/`)
  return isHost && isBelow
}

function readDomains(value: unknown, path: string): readonly string[] {
  if (!isGiven(value)) return []
  const isList = Array.isArray(value) && value.every((one) => typeof one === 'string')
  if (!isList) throw invalidPart(path, 'must be a list of domains')
  return value
    .slice(0, MAX_DOMAINS)
    .map((domain: string, index) => {
      refuseLong(`${path}[${index}]`, domain, MAX_DOMAIN_CHARS)
      return domain
        .trim()
        .replace(/^https?:\/\//i, '')
        .replace(/^\*\./, '')
    })
    .filter((domain) => domain !== '')
}

function readLocation(value: unknown): string {
  if (!isJsonObject(value)) return ''
  const place = isJsonObject(value['approximate']) ? value['approximate'] : value
  const words = ['city', 'region', 'country']
    .map((name) => place[name])
    .filter((word) => typeof word === 'string' && !isBlank(word))
  return ownText(words.join(', ').slice(0, MAX_LOCATION_CHARS))
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}
