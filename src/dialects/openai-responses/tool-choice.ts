import { isJsonObject, type JsonObject } from '../../kiro/json-object.ts'
import type { ToolChoice } from '../../kiro/message.ts'
import { invalidPart } from '../json-body.ts'
import { isSearchTool, nameSearchTool, type WebSearchWish } from '../search-tool.ts'
import type { DeclaredTools } from './declared-tools.ts'
import type { ResponsesBody } from './schema.ts'

type ChoiceMember = ResponsesBody['tool_choice']

/**
 * What `tool_choice` asks of the model. A tool of the vendor's, which is never on offer, counts by its type.
 *
 * @throws {GatewayError} GW_BODY_INVALID when a tool must be called and it is not said which.
 */
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
      throw invalidPart('tool_choice.name', 'is required: it says which tool must be called')
    }
    default:
      if (isSearchTool(choice) && declared.webSearch !== undefined) {
        return { type: 'named', name: nameSearchTool(declared.definitions) }
      }
      return { type: 'named', name: declared.fullNameOf(choice.name ?? type, namespace) }
  }
}

/** The full names of the tools that may be called; `undefined` for all. */
export function allowedNames(
  choice: ChoiceMember,
  declared: DeclaredTools
): ReadonlySet<string> | undefined {
  if (!isJsonObject(choice) || choice.type !== 'allowed_tools') return undefined
  const names = new Set<string>()
  const namespaces = new Set<string>()
  for (const tool of choice.tools ?? []) {
    const { type, name } = namedOf(tool)
    if (type !== 'namespace' || typeof name !== 'string') {
      addName(names, tool, declared)
    } else if (!namespaces.has(name)) {
      namespaces.add(name)
      for (const one of declared.namesIn(name)) names.add(one)
    }
  }
  return names
}

/** The web search, unless it is not among the tools that may be called. */
export function allowedSearch(
  choice: ChoiceMember,
  { webSearch }: DeclaredTools
): WebSearchWish | undefined {
  if (!isJsonObject(choice) || choice.type !== 'allowed_tools') return webSearch
  return choice.tools?.some(isSearchTool) ? webSearch : undefined
}

/** A tool by its name, one of the vendor's by its type. */
function addName(names: Set<string>, tool: JsonObject, declared: DeclaredTools): void {
  const { type, name, namespace } = namedOf(tool)
  const word = typeof name === 'string' ? name : type
  if (typeof word !== 'string') return
  names.add(declared.fullNameOf(word, typeof namespace === 'string' ? namespace : undefined))
}

function namedOf(tool: JsonObject): Pick<JsonObject, 'type' | 'name' | 'namespace'> {
  const { type, namespace } = tool
  const { name } = isJsonObject(tool['function']) ? tool['function'] : tool
  return { type, name, namespace }
}
