import { toHashedToolName, toWireToolName } from './identifiers.ts'
import { cleanSchema } from './json-schema.ts'
import { InlineBudget } from './json-schema-refs.ts'
import { isBlank, type ToolChoice, type ToolDefinition } from './message.ts'
import type { UpstreamTool } from './payload.ts'
import type { Repairs } from './repairs.ts'

/** A request's tools as the upstream takes them, and what came of the client's names. */
export interface OfferedTools {
  readonly tools: readonly UpstreamTool[]
  /** Upstream name → client's, only where they differ. */
  readonly clientNames: Readonly<Record<string, string>>
  /** What the model must be told about the tools in the system text. */
  readonly notes: readonly string[]
  /** The upstream's name of a tool on offer, by the client's name in any case. */
  readonly wireNameOf: (name: string) => string | undefined
}

export interface OfferToolsOptions {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
  /** Longer descriptions move to the system text. */
  readonly descriptionMaxLength: number
  readonly repairs: Repairs
}

/** Names, describes and cleans the tools (kiro-protocol §4.4, §4.10, §4.11) and words the tool choice (§9.9). */
export function offerTools(options: OfferToolsOptions): OfferedTools {
  const { choice, repairs } = options
  const wireNames = new Map<string, string>()
  const anyCase = new Map<string, string>()
  const wireNameOf = (name: string): string | undefined =>
    wireNames.get(name) ?? anyCase.get(name.toLowerCase())
  if (choice.type === 'none') return { tools: [], clientNames: {}, notes: [], wireNameOf }

  const tools: UpstreamTool[] = []
  const clientNames: Record<string, string> = {}
  const notes: string[] = []
  const taken = new Set<string>()
  const budget = new InlineBudget()
  for (const { name, description, schema } of options.tools) {
    if (wireNames.has(name)) {
      repairs.note('tool-duplicate-dropped')
      continue
    }
    const wireName = nameTool(name, taken)
    wireNames.set(name, wireName)
    if (!anyCase.has(name.toLowerCase())) anyCase.set(name.toLowerCase(), wireName)
    if (wireName !== name) {
      repairs.note('tool-name-changed')
      clientNames[wireName] = name
    }
    const told = describeTool(wireName, description, options)
    if (told.note !== undefined) notes.push(told.note)
    const json = cleanSchema(schema, budget, repairs)
    tools.push({
      toolSpecification: { name: wireName, description: told.description, inputSchema: { json } }
    })
  }
  const instruction = wordChoice(choice, tools, wireNameOf)
  if (instruction !== undefined) notes.push(instruction)
  else if (choice.type !== 'auto') repairs.note('tool-choice-dropped')
  return { tools, clientNames, notes, wireNameOf }
}

/** Two names that clean-up made equal are told apart by a hash of the later one. */
function nameTool(name: string, taken: Set<string>): string {
  let wireName = toWireToolName(name)
  for (let attempt = 0; taken.has(wireName); attempt++) {
    wireName = toHashedToolName(name, attempt === 0 ? name : `${name} ${attempt}`)
  }
  taken.add(wireName)
  return wireName
}

function describeTool(
  name: string,
  description: string,
  { descriptionMaxLength, repairs }: OfferToolsOptions
): { readonly description: string; readonly note?: string } {
  if (isBlank(description)) {
    repairs.note('tool-description-filled')
    return { description: `Tool: ${name}` }
  }
  if (description.length <= descriptionMaxLength) return { description }
  repairs.note('tool-description-moved')
  return {
    description: `Full description is in the system prompt under "Tool: ${name}".`,
    note: `## Tool: ${name}\n\n${description}`
  }
}

/** The upstream has no tool choice of its own, so the model is told. */
function wordChoice(
  choice: ToolChoice,
  tools: readonly UpstreamTool[],
  wireNameOf: OfferedTools['wireNameOf']
): string | undefined {
  if (tools.length === 0) return undefined
  if (choice.type === 'required') {
    return 'You must call at least one of the available tools in this turn. Do not answer with text alone.'
  }
  const name = choice.type === 'named' ? wireNameOf(choice.name) : undefined
  if (name === undefined) return undefined
  return `You must call exactly the tool "${name}" in this turn, and no other tool. Do not answer with text alone.`
}
