import { toWireToolName } from '../../kiro/conversation/tools.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import { isBlank, joinText, type ToolChoice } from '../../kiro/wire/message.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import {
  isSearchTool,
  nameSearchTool,
  readSearchWish,
  type WebSearchWish
} from '../plan/search-tool.ts'
import { readFunction } from '../request/draft.ts'
import { type DeclaredTools, SEARCH_NAME } from './declared-tools.ts'
import { type ResponsesBody, Tools } from './schema.ts'

interface ToolPlace {
  readonly path: string
  readonly declared: DeclaredTools
  readonly repairs: Repairs
  readonly namespace?: string
}

const textSchema = (name: string) => ({
  type: 'object',
  properties: { [name]: { type: 'string' } },
  required: [name]
})

/**
 * Declares tools, and returns the descriptions of namespaces. Leaves out what only OpenAI can run, except
 * the web search; offers deferred tools at once.
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function declareTools(
  tools: readonly JsonObject[] | null | undefined,
  place: ToolPlace
): readonly string[] {
  return (tools ?? []).flatMap((tool, index) =>
    declareTool(tool, { ...place, path: `${place.path}[${index}]` })
  )
}

function declareTool(tool: JsonObject, place: ToolPlace): readonly string[] {
  const { path, declared, repairs } = place
  switch (checkShape(Tools.any, tool, path).type ?? 'function') {
    case 'function':
      declareFunction(tool, place)
      return []
    case 'custom':
      declareCustom(tool, place)
      return []
    case 'namespace':
      return declareNamespace(tool, place)
    case SEARCH_NAME:
      declareSearch(tool, place)
      return []
    default:
      if (isSearchTool(tool)) declared.declareSearch(readSearchWish(tool, path))
      else repairs.note('server-tool-dropped', path)
      return []
  }
}

function declareFunction(tool: JsonObject, { path, declared, namespace }: ToolPlace): void {
  const { name, ...definition } = readFunction(tool, path)
  declared.declare(
    { kind: 'function', name, ...(namespace !== undefined && { namespace }) },
    definition
  )
}

function declareCustom(tool: JsonObject, { path, declared, namespace }: ToolPlace): void {
  const { custom: nested } = tool
  const { name, description, format } = isJsonObject(nested)
    ? checkShape(Tools.custom, nested, `${path}.custom`)
    : checkShape(Tools.custom, tool, path)
  const told = joinText(description ?? '', INPUT_NOTE, '\n\n')
  const syntax = format?.syntax ? `${format.syntax} grammar` : 'grammar'
  const grammar = format?.definition
    ? ` The payload must follow this ${syntax}:\n\n${format.definition}`
    : ''
  declared.declare(
    { kind: 'text', name, ...(namespace !== undefined && { namespace }) },
    { description: told + grammar, schema: textSchema('input'), source: path }
  )
}

function declareNamespace(tool: JsonObject, place: ToolPlace): readonly string[] {
  const { name, description, tools } = checkShape(Tools.namespace, tool, place.path)
  const notes = declareTools(tools, { ...place, path: `${place.path}.tools`, namespace: name })
  const isDescribed = tools && tools.length > 0 && !isBlank(description ?? '')
  const named = `The tools named "${toWireToolName(`${name}__`)}…":`
  return isDescribed ? [`${named} ${description}`, ...notes] : notes
}

/** Declares a tool search only if the client runs it; everything that OpenAI would search is on offer. */
function declareSearch(tool: JsonObject, { path, declared, repairs }: ToolPlace): void {
  const { description, execution, parameters } = checkShape(Tools.search, tool, path)
  if (execution !== 'client') {
    repairs.note('server-tool-dropped', path)
    return
  }
  declared.declare(
    { kind: 'search', name: SEARCH_NAME },
    {
      description: description ?? 'Searches for more tools and makes them available.',
      schema: parameters ?? textSchema('query'),
      source: path,
      schemaSource: `${path}.parameters`
    }
  )
}

export function wordFoundTools(
  tools: readonly JsonObject[] | null | undefined,
  declared: DeclaredTools
): string {
  const lines = (tools ?? []).flatMap((tool) => wordFound(tool, declared))
  return lines.length === 0
    ? 'No tools were found.'
    : ['These tools are available now:', ...lines].join('\n')
}

function wordFound(
  tool: JsonObject,
  declared: DeclaredTools,
  namespace?: string
): readonly string[] {
  const { type, name, tools, description } = tool
  if (typeof name !== 'string') return []
  if (type !== 'namespace') return [`- ${toWireToolName(declared.fullNameOf(name, namespace))}`]
  const inner = Array.isArray(tools) ? tools.filter(isJsonObject) : []
  const about = typeof description === 'string' && !isBlank(description) ? [description] : []
  return [...about, ...inner.flatMap((one) => wordFound(one, declared, name))]
}

const INPUT_NOTE =
  'Put the entire raw payload of this tool, as plain text, into the string field "input".'

type ChoiceMember = ResponsesBody['tool_choice']

/** @throws {GatewayError} GW_BODY_INVALID if a tool must be called and is not named */
export function readToolChoice(choice: ChoiceMember, declared: DeclaredTools): ToolChoice {
  if (choice === undefined || choice === null) return { type: 'auto' }
  if (typeof choice === 'string') return { type: choice === 'any' ? 'required' : choice }
  const { type, mode, namespace } = choice
  switch (type) {
    case 'auto':
    case 'none':
    case 'required':
      return { type }
    case 'any':
      return { type: 'required' }
    case 'allowed_tools':
      return { type: mode === 'required' ? 'required' : 'auto' }
    case 'function':
    case 'custom': {
      const name = choice.name ?? choice.function?.name
      if (name) return { type: 'named', name: declared.fullNameOf(name, namespace) }
      throw invalidPart('tool_choice.name', 'is required: it names the tool that must be called')
    }
    default:
      if (isSearchTool(choice) && declared.webSearch !== undefined) {
        return { type: 'named', name: nameSearchTool(declared.definitions) }
      }
      return { type: 'named', name: declared.fullNameOf(choice.name ?? type, namespace) }
  }
}

/** Full names of the tools that may be called; `undefined` for all. */
export function allowedNames(
  choice: ChoiceMember,
  declared: DeclaredTools
): ReadonlySet<string> | undefined {
  if (!isJsonObject(choice) || choice.type !== 'allowed_tools') return undefined
  const names = new Set<string>()
  const namespaces = new Set<string>()
  for (const tool of choice.tools ?? []) {
    const { type, namespace } = tool
    const { name } = isJsonObject(tool['function']) ? tool['function'] : tool
    const word = typeof name === 'string' ? name : type
    if (typeof word !== 'string') continue
    if (type === 'namespace' && word === name) namespaces.add(word)
    else names.add(declared.fullNameOf(word, typeof namespace === 'string' ? namespace : undefined))
  }
  const byNamespace = declared.namesByNamespace()
  for (const namespace of namespaces) {
    for (const name of byNamespace.get(namespace) ?? []) names.add(name)
  }
  return names
}

export function allowedSearch(
  choice: ChoiceMember,
  { webSearch }: DeclaredTools
): WebSearchWish | undefined {
  if (!isJsonObject(choice) || choice.type !== 'allowed_tools') return webSearch
  return choice.tools?.some(isSearchTool) ? webSearch : undefined
}
