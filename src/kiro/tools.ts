import { toHashedToolName, toWireToolName } from './identifiers.ts'
import { cleanSchema } from './json-schema.ts'
import { InlineBudget } from './json-schema-refs.ts'
import { isBlank, type Message, type ToolChoice, type ToolDefinition } from './message.ts'
import type { UpstreamTool } from './payload.ts'
import type { Repairs } from './repairs.ts'
import { limitTools } from './tool-limit.ts'

/** A request's tools as the upstream takes them, and what came of the client's names. */
export interface OfferedTools {
  readonly tools: readonly UpstreamTool[]
  /** Upstream name → client's, only where they differ. */
  readonly clientNames: Readonly<Record<string, string>>
  /** What the model must be told about the tools in the system text. */
  readonly notes: readonly string[]
  /** The upstream's name of a tool on offer, by the client's name in any case. */
  readonly wireNameOf: (name: string) => string | undefined
  /** The schema that nests deepest. */
  readonly deepestSchema: InlineBudget['deepest']
}

export interface OfferToolsOptions {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
  /** Whose calls say which tools matter when there are too many. */
  readonly messages: readonly Message[]
  readonly maxTools: number
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
  const budget = new InlineBudget()
  const tools: UpstreamTool[] = []
  const clientNames: Record<string, string> = {}
  const notes: string[] = []
  const taken = new Set<string>()
  const wanted = choice.type === 'none' ? [] : withoutDuplicates(options.tools, repairs)
  const { kept, left } = limitTools(wanted, options)
  for (const tool of kept) {
    const { name, source } = tool
    const wireName = nameTool(name, taken)
    wireNames.set(name, wireName)
    if (!anyCase.has(name.toLowerCase())) anyCase.set(name.toLowerCase(), wireName)
    if (wireName !== name) {
      repairs.note('tool-name-changed', source)
      clientNames[wireName] = name
    }
    const told = describeTool(wireName, tool, options)
    if (told.note !== undefined) notes.push(told.note)
    const json = cleanSchema(tool.schema, budget, repairs, tool.schemaSource)
    tools.push({
      toolSpecification: { name: wireName, description: told.description, inputSchema: { json } }
    })
  }
  if (left.length > 0) notes.push(wordLimit(left, tools.length))
  const instruction = wordChoice(choice, tools, wireNameOf)
  if (instruction !== undefined) notes.push(instruction)
  else if (choice.type === 'required' || choice.type === 'named') {
    repairs.note('tool-choice-dropped', 'tool_choice')
  }
  return { tools, clientNames, notes, wireNameOf, deepestSchema: budget.deepest }
}

function withoutDuplicates(
  tools: readonly ToolDefinition[],
  repairs: Repairs
): readonly ToolDefinition[] {
  const names = new Set<string>()
  return tools.filter(({ name, source }) => {
    if (names.has(name)) repairs.note('tool-duplicate-dropped', source)
    return !names.has(name) && names.add(name)
  })
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
  { description, source }: ToolDefinition,
  { descriptionMaxLength, repairs }: OfferToolsOptions
): { readonly description: string; readonly note?: string } {
  if (isBlank(description)) {
    repairs.note('tool-description-filled', source)
    return { description: `Tool: ${name}` }
  }
  if (description.length <= descriptionMaxLength) return { description }
  repairs.note('tool-description-moved', source)
  return {
    description: `Full description is in the system prompt under "Tool: ${name}".`,
    note: `## Tool: ${name}\n\n${description}`
  }
}

/** The model and its user should know what is missing. */
function wordLimit(left: readonly string[], offered: number): string {
  return `Only ${offered} tools can be offered. These are left out and cannot be called: ${left.join(', ')}.`
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
