import { randomUUID } from 'node:crypto'
import type { WebSearchPlan } from '../dialects/round-plan.ts'
import { filterPages, wordSearch } from '../dialects/search-tool.ts'
import type { StreamPart } from '../dialects/stream-part.ts'
import type { ToolCall } from '../dialects/tool-parts.ts'
import { parseJsonObject, textMember } from '../kiro/json-object.ts'
import type { ToolResult } from '../kiro/message.ts'
import type { SearchOutcome } from '../kiro/web-search.ts'

export type SearchPart = Extract<StreamPart, { type: 'search' }>

export interface RoundSearchesOptions {
  readonly plan: WebSearchPlan
  readonly search: (query: string) => Promise<SearchOutcome>
  /** Shows the client what came of a search; resolves when it can take more. */
  readonly show: (part: SearchPart) => Promise<void>
}

/** Answers with searches, one after the other; then the model has had enough time. */
const MAX_ROUNDS = 5

/** The searches of one answer, one at a time: `max_uses` bounds how many, and nobody searches for ever. */
export class RoundSearches {
  readonly #options: RoundSearchesOptions
  #made = 0
  #rounds = 0

  constructor(options: RoundSearchesOptions) {
    this.#options = options
  }

  /** No more answers with searches are followed by another round. */
  get isOver(): boolean {
    return this.#rounds >= MAX_ROUNDS
  }

  /** No more searches will be made. */
  get isSpent(): boolean {
    return this.isOver || this.#made >= this.#options.plan.maxUses
  }

  /** Makes the searches of one round, or says why not. Gives what the model is told, call by call. */
  async make(calls: readonly ToolCall[]): Promise<readonly ToolResult[]> {
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

  async #makeOne({ id, json }: ToolCall, isOver: boolean): Promise<MadeSearch> {
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

/** Why a search was not made: in the vendor's word, and for the model. */
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
