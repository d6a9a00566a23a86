import type { Message, ToolChoice, ToolDefinition } from './message.ts'
import type { Repairs } from './repairs.ts'

export interface ToolLimitOptions {
  readonly maxTools: number
  readonly choice: ToolChoice
  readonly messages: readonly Message[]
  readonly repairs: Repairs
}

/** The tools on offer, and the names of those that were too many. */
export interface LimitedTools {
  readonly kept: readonly ToolDefinition[]
  readonly left: readonly string[]
}

/**
 * Keeps as many tools as the upstream takes, in the client's order: the one that must be called, those that were
 * called already, then the first ones. Takes tools without duplicates.
 */
export function limitTools(
  tools: readonly ToolDefinition[],
  { maxTools, choice, messages, repairs }: ToolLimitOptions
): LimitedTools {
  if (tools.length <= maxTools) return { kept: tools, left: [] }
  const ranks = rankNames(choice, messages)
  const rankOf = (tool: ToolDefinition) => ranks.get(tool.name.toLowerCase()) ?? ranks.size
  const byNeed = tools.toSorted((a, b) => rankOf(a) - rankOf(b))
  const offered = new Set(byNeed.slice(0, maxTools))
  const left = tools.filter((tool) => !offered.has(tool))
  for (const { source } of left) repairs.note('tool-limit', source)
  return { kept: tools.filter((tool) => offered.has(tool)), left: left.map(({ name }) => name) }
}

/** Names in lower case and how much they matter: the less, the more. */
function rankNames(choice: ToolChoice, messages: readonly Message[]): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>()
  const add = (name: string): void => {
    const key = name.toLowerCase()
    if (!ranks.has(key)) ranks.set(key, ranks.size)
  }
  if (choice.type === 'named') add(choice.name)
  for (const { toolCalls } of messages.toReversed()) {
    for (const { name } of toolCalls) add(name)
  }
  return ranks
}
