import { isJsonObject, type JsonObject } from '../../kiro/json-object.ts'
import type { Conversation, ToolChoice, ToolDefinition } from '../../kiro/message.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { checkShape } from '../check-shape.ts'
import { invalidPart } from '../json-body.ts'
import { isSearchTool } from '../search-tool.ts'
import { type ChatBody, NamedFunctionCheck } from './schema.ts'

/** The tools of a Chat Completions request and which of them must be called, the legacy `functions` included. */
export function readTools(
  chat: ChatBody,
  repairs: Repairs
): Pick<Conversation, 'tools' | 'toolChoice'> {
  const tools: ToolDefinition[] = []
  for (const [index, tool] of (chat.tools ?? []).entries()) {
    const source = `tools[${index}]`
    if (isSearchTool(tool)) continue // made by the gateway
    const found = readTool(tool, source)
    if (found === undefined) repairs.note('server-tool-dropped', source)
    else tools.push(found)
  }
  for (const [index, one] of (chat.functions ?? []).entries()) {
    tools.push(toDefinition(one, `functions[${index}]`))
  }
  const allowed = allowedNames(chat.tool_choice)
  return {
    tools: allowed === undefined ? tools : tools.filter((tool) => allowed.has(tool.name)),
    toolChoice: readToolChoice(chat)
  }
}

/** Function tools come nested, or flat as Cursor and others send them; other types only the vendor can run. */
function readTool(tool: JsonObject, path: string): ToolDefinition | undefined {
  const { type, function: nested } = tool
  if (isJsonObject(nested))
    return toDefinition(
      checkShape(NamedFunctionCheck, nested, `${path}.function`),
      `${path}.function`
    )
  const isFunction = type === undefined || type === null || type === 'function'
  if (isFunction) return toDefinition(checkShape(NamedFunctionCheck, tool, path), path)
  return undefined
}

function toDefinition(
  named: {
    readonly name: string
    readonly description?: string | null
    readonly parameters?: unknown
    readonly input_schema?: unknown
  },
  source: string
): ToolDefinition {
  const isFlat = named.parameters === undefined || named.parameters === null
  return {
    source,
    schemaSource: `${source}.${isFlat ? 'input_schema' : 'parameters'}`,
    name: named.name,
    description: named.description ?? '',
    // A function without parameters is one that takes none.
    schema: named.parameters ?? named.input_schema ?? { type: 'object', properties: {} }
  }
}

function readToolChoice({ tool_choice: choice, function_call: legacy }: ChatBody): ToolChoice {
  if (choice === undefined || choice === null) {
    if (typeof legacy === 'string') return { type: legacy }
    return legacy ? { type: 'named', name: legacy.name } : { type: 'auto' }
  }
  if (typeof choice === 'string') return { type: choice === 'any' ? 'required' : choice }
  if (choice.allowed_tools) {
    return { type: choice.allowed_tools.mode === 'required' ? 'required' : 'auto' }
  }
  const name = choice.function?.name ?? choice.custom?.name ?? choice.name
  if (typeof name === 'string') return { type: 'named', name }
  const { type } = choice
  if (type === 'auto' || type === 'none' || type === 'required') return { type }
  if (type === 'any') return { type: 'required' }
  throw invalidPart('tool_choice.function.name', 'is required: it says which tool must be called')
}

function allowedNames(choice: ChatBody['tool_choice']): ReadonlySet<unknown> | undefined {
  if (!isJsonObject(choice) || !choice.allowed_tools) return undefined
  const { tools } = choice.allowed_tools
  return new Set(
    tools?.map((tool) => (isJsonObject(tool['function']) ? tool['function']['name'] : tool['name']))
  )
}
