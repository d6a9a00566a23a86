import type { ToolChoice, ToolDefinition } from '../../kiro/message.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { checkShape } from '../check-shape.ts'
import { invalidPart } from '../json-body.ts'
import { isSearchTool } from '../search-tool.ts'
import { readToolChanges } from '../tool-changes.ts'
import { type MessagesBody, ToolCheck } from './schema.ts'

/** Claude Code's stand-in for tools that it loads later; a model that calls it gets an error. */
const PLACEHOLDER = 'DeferredToolPlaceholder'

const FUNCTION_TYPES = new Set<unknown>([undefined, null, 'custom', 'function'])

/**
 * The tools that a client runs itself, listed or brought by a message. Deferred ones are offered as soon as they are
 * listed.
 */
export function readTools(
  { tools, messages }: MessagesBody,
  repairs: Repairs
): readonly ToolDefinition[] {
  const { added, withdrawn } = readToolChanges(messages)
  const listed = (tools ?? [])
    .map((tool, index) => ({ tool, source: `tools[${index}]` }))
    .filter(({ tool }) => !isSearchTool(tool)) // made by the gateway
  const definitions: ToolDefinition[] = []
  for (const { tool, source } of [...listed, ...added]) {
    if (withdrawn.has(tool['name'])) continue
    if (!FUNCTION_TYPES.has(tool['type'])) {
      repairs.note('server-tool-dropped', source)
      continue
    }
    const { name, description, input_schema: schema } = checkShape(ToolCheck, tool, source)
    if (name === PLACEHOLDER) {
      repairs.note('tool-placeholder-dropped', source)
      continue
    }
    const schemaSource = `${source}.input_schema`
    definitions.push({ name, description: description ?? '', schema, source, schemaSource })
  }
  return definitions
}

/** @throws {GatewayError} GW_BODY_INVALID when a tool must be called and it is not said which. */
export function readToolChoice({ tool_choice: choice }: MessagesBody): ToolChoice {
  if (choice === undefined || choice === null) return { type: 'auto' }
  if (choice.type === 'any') return { type: 'required' }
  if (choice.type !== 'tool') return { type: choice.type }
  if (choice.name) return { type: 'named', name: choice.name }
  throw invalidPart('tool_choice.name', 'is required: it says which tool must be called')
}
