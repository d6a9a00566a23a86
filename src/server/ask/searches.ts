import { randomUUID } from 'node:crypto'
import type { CompleteCall, SearchPart } from '../../dialects/answer/stream-part.ts'
import type { WebSearchPlan } from '../../dialects/plan/plan.ts'
import { filterPages, wordSearch } from '../../dialects/plan/search-tool.ts'
import { faultOfResponse, toGatewayError } from '../../kiro/wire/fault.ts'
import type { ToolResult } from '../../kiro/wire/message.ts'
import { cutQuery, parseSearchAnswer, type SearchOutcome } from '../../kiro/wire/web-search.ts'
import { asGatewayError } from '../../shared/errors.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { exchangeJson } from '../../upstream/call/json-exchange.ts'
import { searchRequest } from '../../upstream/call/requests.ts'
import { type ApproachFailure, toApproachFailure } from '../../upstream/call/retry.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { UpstreamQuestion } from './ask-upstream.ts'
import { acquireFor, CallWay } from './call-way.ts'

export interface RoundSearchesOptions {
  readonly plan: WebSearchPlan
  readonly search: (query: string) => Promise<SearchOutcome>
  readonly show: (part: SearchPart) => Promise<void>
}

/** Answers with searches, after which the model has had enough time. */
const MAX_ROUNDS = 5

/** Searches of one answer, one at a time: `max_uses` bounds how many, MAX_ROUNDS how long. */
export class RoundSearches {
  readonly #options: RoundSearchesOptions
  #made = 0
  #rounds = 0

  constructor(options: RoundSearchesOptions) {
    this.#options = options
  }

  get isOver(): boolean {
    return this.#rounds >= MAX_ROUNDS
  }

  get isSpent(): boolean {
    return this.isOver || this.#made >= this.#options.plan.maxUses
  }

  async make(calls: readonly CompleteCall[]): Promise<readonly ToolResult[]> {
    const isOver = this.isOver
    this.#rounds++
    const results: ToolResult[] = []
    for (const call of calls) {
      const { part, result } = await this.#makeOne(call, isOver)
      results.push(result)
      await this.#options.show(part)
    }
    return results
  }

  async #makeOne({ id, json }: CompleteCall, isOver: boolean): Promise<MadeSearch> {
    const { plan, search } = this.#options
    const query = textMember(parseJsonObject(json) ?? {}, 'query')
    if (query === null) return refuse(id, '', NO_QUERY)
    if (isOver || this.#made >= plan.maxUses) return refuse(id, query, TOO_MANY)
    this.#made++
    const { pages, problem } = await search(query)
    const part: SearchPart = {
      type: 'search',
      id: newId(),
      query,
      results: filterPages(pages, plan),
      ...(problem !== undefined && { problem: 'unavailable' })
    }
    const text = wordSearch(query, part)
    return { part, result: { id, text, isError: problem !== undefined } }
  }
}

interface MadeSearch {
  readonly part: SearchPart
  readonly result: ToolResult
}

/** Why no search was made: OpenAI's word, and text for the model. */
interface Refusal {
  readonly problem: string
  readonly text: string
}

const NO_QUERY: Refusal = {
  problem: 'invalid_tool_input',
  text: 'A search needs a "query": what to search for.'
}
const TOO_MANY: Refusal = {
  problem: 'max_uses_exceeded',
  text: 'No more searches are possible. Answer with what was found so far.'
}

function refuse(id: string, query: string, { problem, text }: Refusal): MadeSearch {
  return {
    part: { type: 'search', id: newId(), query, results: [], problem },
    result: { id, text, isError: true }
  }
}

function newId(): string {
  return randomUUID().replaceAll('-', '')
}

export function createSearches(
  plane: DataPlane,
  context: UpstreamQuestion,
  plan: WebSearchPlan
): RoundSearches {
  const { sink, signal } = context
  return new RoundSearches({
    plan,
    search: (query) => searchWeb(plane, query, context).finally(() => sink.onIdle()),
    show: (part) => {
      sink.push(part)
      sink.flush()
      return sink.whenDrained(signal)
    }
  })
}

/**
 * Searches with a permit (kiro-protocol §9.4). A failed search is an outcome, not an error. It is repeated
 * only with another token, profile or host, and once with a shorter query.
 * @throws {GatewayError} without a permit or credential, or if the client has left
 */
async function searchWeb(
  plane: DataPlane,
  query: string,
  context: UpstreamQuestion
): Promise<SearchOutcome> {
  const { signal, log, requestId: request_id } = context
  const way = await CallWay.open(plane, 'mcp', signal)
  let asked = query
  for (;;) {
    const answer = await ask(plane, way, asked, context)
    const problem = 'error' in answer ? answer.error.message : answer.problem
    plane.metrics.webSearches.inc({ outcome: problem === undefined ? 'found' : 'failed' })
    if (problem !== undefined) {
      // A service may repeat the query.
      log.warn({ request_id, detail: problem.replaceAll(asked, '‹query›') }, 'web search failed')
    }
    if (!('error' in answer)) {
      const shorter = answer.isUnfit === true ? cutQuery(asked) : null
      if (shorter === null) return answer
      asked = shorter
      continue
    }
    const next = way.after(answer)
    if (next === null) return { pages: [], problem: way.told(answer).error.message }
    await way.take(next, answer, signal)
  }
}

async function ask(
  plane: DataPlane,
  way: CallWay,
  query: string,
  context: UpstreamQuestion
): Promise<SearchOutcome | ApproachFailure> {
  const { signal, progress, sink, capture } = context
  const { userAgent } = plane.current.config.upstream
  const permit = await acquireFor(way, plane, context)
  const { snapshot, host, approach, form } = way
  const request = searchRequest({ query, snapshot, host, approach, form, userAgent })
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
  capture?.smallPayload(request.body ?? '')
  const { url, headers: sent } = request
  const tap = capture?.call({ kind: 'mcp', form, url, headers: sent, token: snapshot.token })
  try {
    const { status, headers, text } = await exchangeJson({
      pool: plane.pool,
      permit,
      request,
      tap,
      signal: deadline,
      onSent: () => sink.onSent()
    })
    if (status === 200) {
      way.accepted()
      return parseSearchAnswer(text)
    }
    const { token } = snapshot
    const fault = faultOfResponse({ status, headers, body: text, token, now: Date.now() })
    const error = way.heed(toGatewayError(fault), fault)
    return toApproachFailure(error, fault)
  } catch (cause) {
    signal.throwIfAborted()
    return toApproachFailure(asGatewayError(cause), null)
  } finally {
    progress.end('search')
  }
}
