import { hash } from 'node:crypto'
import type { Repairs } from '../rules/repairs.ts'
import { UpstreamLimits } from '../rules/rules.ts'
import { cleanSchema } from '../schema/clean-schema.ts'
import { InlineBudget } from '../schema/references.ts'
import { isBlank, type Message, type ToolChoice, type ToolDefinition } from '../wire/message.ts'
import type { UpstreamTool } from '../wire/payload.ts'

/** Names and notes of tools that were offered before. Plain data: it crosses threads. */
export interface SettledOffer {
  /** Pairs of the client's name and the upstream's, in the order of the tools. */
  readonly names: readonly (readonly [name: string, wireName: string])[]
  readonly notes: readonly string[]
}

export interface OfferedTools extends SettledOffer {
  readonly tools: readonly UpstreamTool[]
  /** Upstream names → the client's, where they differ. */
  readonly clientNames: Readonly<Record<string, string>>
  /** Upstream name by the client's name in any letter case. */
  readonly wireNameOf: (name: string) => string | undefined
  readonly deepestSchema: InlineBudget['deepest']
}

export const NO_TOOLS: OfferedTools = {
  tools: [],
  names: [],
  clientNames: {},
  notes: [],
  wireNameOf: () => undefined,
  deepestSchema: { depth: 0, source: undefined }
}

export interface OfferToolsOptions {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
  readonly messages: readonly Message[]
  readonly maxTools: number
  /** Longer descriptions move to the system text. */
  readonly descriptionMaxLength: number
  readonly repairs: Repairs
}

/** Names, describes and cleans tools (kiro-protocol §4.4, §4.10, §4.11) and words the tool choice (§9.9). */
export function offerTools(options: OfferToolsOptions): OfferedTools {
  const { choice, repairs } = options
  const wanted = choice.type === 'none' ? [] : withoutDuplicates(options.tools, repairs)
  const { kept, left } = limitTools(wanted, options)
  if (kept.length === 0) {
    const isInsisting = choice.type === 'required' || choice.type === 'named'
    if (isInsisting) repairs.note('tool-choice-dropped', 'tool_choice')
    return NO_TOOLS
  }
  const budget = new InlineBudget()
  const tools: UpstreamTool[] = []
  const names: (readonly [name: string, wireName: string])[] = []
  const notes: string[] = []
  const taken = new Set<string>()
  for (const tool of kept) {
    const { name, source } = tool
    const wireName = nameTool(name, taken)
    names.push([name, wireName])
    if (wireName !== name) repairs.note('tool-name-changed', source)
    const told = describeTool(wireName, tool, options)
    if (told.note !== undefined) notes.push(told.note)
    const json = cleanSchema(tool.schema, budget, repairs, tool.schemaSource)
    tools.push({
      toolSpecification: { name: wireName, description: told.description, inputSchema: { json } }
    })
  }
  if (left.length > 0) {
    const leftNames = left.map(({ name }) => name).join(', ')
    notes.push(
      `Only ${tools.length} tools can be offered. These are left out and cannot be called: ${leftNames}.`
    )
  }
  const { clientNames, wireNameOf } = namesOf(names)
  const instruction = wordChoice(choice, wireNameOf)
  if (instruction !== undefined) notes.push(instruction)
  else if (choice.type === 'named') repairs.note('tool-choice-dropped', 'tool_choice')
  return { tools, names, clientNames, notes, wireNameOf, deepestSchema: budget.deepest }
}

function namesOf(
  names: SettledOffer['names']
): Pick<OfferedTools, 'names' | 'clientNames' | 'wireNameOf'> {
  const wireNames = new Map(names)
  const anyCase = new Map<string, string>()
  for (const [name, wireName] of names) {
    if (!anyCase.has(name.toLowerCase())) anyCase.set(name.toLowerCase(), wireName)
  }
  const changed = names.filter(([name, wireName]) => wireName !== name)
  return {
    names,
    clientNames: Object.fromEntries(changed.map(([name, wireName]) => [wireName, name])),
    wireNameOf: (name) => wireNames.get(name) ?? anyCase.get(name.toLowerCase())
  }
}

export function offerOf({ names, notes }: OfferedTools): SettledOffer {
  return { names, notes }
}

/** Offers tools again. They have only their names: their text was written before. */
export function offerAgain({ names, notes }: SettledOffer): OfferedTools {
  const tools = names.map(([, name]) => ({
    toolSpecification: { name, description: '', inputSchema: { json: {} } }
  }))
  return { ...namesOf(names), tools, notes, deepestSchema: NO_TOOLS.deepestSchema }
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

function wordChoice(
  choice: ToolChoice,
  wireNameOf: OfferedTools['wireNameOf']
): string | undefined {
  if (choice.type === 'required') {
    return 'You must call at least one of the available tools in this turn. Do not answer with text alone.'
  }
  const name = choice.type === 'named' ? wireNameOf(choice.name) : undefined
  if (name === undefined) return undefined
  return `You must call exactly the tool "${name}" in this turn, and no other tool. Do not answer with text alone.`
}

/** Keeps the tool that must be called, then those called before, then the first ones. Expects no duplicates. */
export function limitTools(
  tools: readonly ToolDefinition[],
  { maxTools, choice, messages, repairs }: Omit<OfferToolsOptions, 'tools' | 'descriptionMaxLength'>
): { readonly kept: readonly ToolDefinition[]; readonly left: readonly ToolDefinition[] } {
  if (tools.length <= maxTools) return { kept: tools, left: [] }
  const ranks = rankNames(choice, messages)
  const rankOf = (tool: ToolDefinition) => ranks.get(tool.name.toLowerCase()) ?? ranks.size
  const byNeed = tools.toSorted((a, b) => rankOf(a) - rankOf(b))
  const offered = new Set(byNeed.slice(0, maxTools))
  const left = tools.filter((tool) => !offered.has(tool))
  for (const { source } of left) repairs.note('tool-limit', source)
  return { kept: tools.filter((tool) => offered.has(tool)), left }
}

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

const { toolNameChars: MAX_TOOL_NAME_CHARS, toolIdChars: MAX_TOOL_ID_CHARS } = UpstreamLimits

const HASH_CHARS = 8
const FORBIDDEN = /[^A-Za-z0-9_-]/g
const STARTS_WITH_LETTER = /^[A-Za-z]/

/** Pure and idempotent (§4.10). */
export function toWireToolName(name: string): string {
  const clean = cleanName(name)
  return clean.length > MAX_TOOL_NAME_CHARS ? toHashedToolName(name) : clean
}

function toHashedToolName(name: string, seed = name): string {
  return withHash(cleanName(name), MAX_TOOL_NAME_CHARS, seed)
}

/** Pure and idempotent (§4.10); `''` stays `''`. */
export function toWireToolId(id: string): string {
  const trimmed = id.trim()
  const clean = trimmed.replace(FORBIDDEN, '_')
  return clean.length > MAX_TOOL_ID_CHARS ? toHashedToolId(trimmed) : clean
}

export function toHashedToolId(id: string): string {
  const trimmed = id.trim()
  return withHash(trimmed.replace(FORBIDDEN, '_'), MAX_TOOL_ID_CHARS, trimmed)
}

/** Deterministic, so that prefixes stay cacheable. */
export function makeToolId(index: number): string {
  return `toolu_${sha256(`call ${index}`).slice(0, 24)}`
}

function cleanName(name: string): string {
  const clean = name.replace(FORBIDDEN, '_')
  return STARTS_WITH_LETTER.test(clean) ? clean : `t_${clean}`
}

function withHash(clean: string, maxChars: number, seed: string): string {
  return `${clean.slice(0, maxChars - HASH_CHARS - 1)}_${sha256(seed).slice(0, HASH_CHARS)}`
}

/** `crypto.hash`, because making a `Hash` takes several times as long as hashing. */
function sha256(text: string): string {
  return hash('sha256', text)
}
