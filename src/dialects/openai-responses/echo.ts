import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { ECHOED } from './response-object.ts'
import type { ResponsesBody } from './schema.ts'

/** Characters of JSON: a stream repeats a member three times, and agents, which send the largest, never read it. */
const MAX_ECHO_CHARS = 16_384

/** JSON text of tools that the answer repeats; `null` if it does not. */
export function echoOfTools({ tools }: Pick<ResponsesBody, 'tools'>): string | null {
  const json = tools ? JSON.stringify(tools.map(toTool)) : ''
  return json !== '' && json.length <= MAX_ECHO_CHARS ? json : null
}

/**
 * Repeats the request's members, as JSON texts by name. Clients with generated validators refuse tools or formats that lack a member. `tools`: see
 * `echoOfTools()`.
 */
export function echoOf(
  body: ResponsesBody,
  tools: string | null
): Readonly<Record<string, string>> {
  const said: Readonly<Record<string, unknown>> = {
    ...body,
    tool_choice: toChoice(body.tool_choice),
    text: toText(body),
    reasoning: body.reasoning && { effort: null, summary: null, ...body.reasoning }
  }
  const echo: Record<string, string> = {}
  for (const name of ECHOED) {
    if (name === 'tools') {
      if (tools !== null) echo[name] = tools
      continue
    }
    const value = said[name]
    if (value === undefined || value === null) continue
    if (typeof value === 'string' && value.length > MAX_ECHO_CHARS) continue
    const json = JSON.stringify(value)
    if (typeof value === 'string' || json.length <= MAX_ECHO_CHARS) echo[name] = json
  }
  return echo
}

function toTool(tool: JsonObject): JsonObject {
  if ((tool['type'] ?? 'function') !== 'function') return tool
  const { input_schema: schema, ...said } = flatten(tool)
  return {
    type: 'function',
    description: null,
    parameters: schema ?? null,
    strict: null,
    ...said
  }
}

function flatten(tool: JsonObject): JsonObject {
  const { function: nested, ...rest } = tool
  return isJsonObject(nested) ? { ...rest, ...nested } : tool
}

function toChoice(choice: ResponsesBody['tool_choice']): unknown {
  if (!isJsonObject(choice)) return choice === 'any' ? 'required' : choice
  switch (choice.type) {
    case 'any':
      return 'required'
    case 'auto':
    case 'none':
    case 'required':
      return choice.type
    case 'allowed_tools':
      return { ...choice, mode: choice.mode ?? 'auto', tools: (choice.tools ?? []).map(flatten) }
    default:
      return flatten(choice)
  }
}

function toText({ text, response_format: nested }: ResponsesBody): unknown {
  const format = text?.format ?? nested
  if (!format) return text && { ...text, format: { type: 'text' } }
  if (format.type !== 'json_schema') return { ...text, format }
  const { json_schema: wrapped, ...flat } = format
  return { ...text, format: { description: null, strict: false, ...flat, ...wrapped } }
}
