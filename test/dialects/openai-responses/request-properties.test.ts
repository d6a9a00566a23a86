import t from 'tap'
import * as fc from '../../helper/fast-check.ts'
import {
  toolName as anyToolName,
  block,
  description,
  id,
  input,
  MARKER,
  text,
  toolSchema
} from '../../helper/hostile-requests.ts'
import { testRequests } from '../../helper/request-properties.ts'

t.setTimeout(240_000) // tens of thousands of cases, on a machine that may be busy

const IMAGE_URL = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=='
const KEPT_ITEMS = {
  msg_kept: { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'k' }] },
  fc_kept: { type: 'function_call', call_id: 'a', name: 'f', arguments: '{"kept":true}' }
}

// One of them is what joining makes of a namespace and a name.
const toolName = fc.oneof(anyToolName, fc.constant('n__f'))
const namespace = fc.constantFrom('n', 'f', 'mcp__x.y', 'long'.repeat(30), '__proto__')
const maybeNamespace = fc.option(namespace)

const argumentsOfCall = fc.oneof(
  input,
  input.map((value) => JSON.stringify(value))
)

const part = fc.oneof(
  text,
  fc.record({
    type: fc.constantFrom('input_text', 'output_text', 'text', 'summary_text'),
    text
  }),
  text.map((refusal) => ({ type: 'refusal', refusal })),
  fc.constantFrom(
    { type: 'input_image', image_url: IMAGE_URL },
    { type: 'input_image', image_url: { url: IMAGE_URL }, detail: 'low' },
    { type: 'reasoning_text', text: 'hm' }
  ),
  block
)

const flatTool = fc.oneof(
  fc.record({
    type: fc.constant('function'),
    name: toolName,
    description,
    parameters: toolSchema
  }),
  fc.record({
    type: fc.constant('custom'),
    name: toolName,
    description: text,
    format: fc.record({
      type: fc.constant('grammar'),
      syntax: fc.constantFrom('lark', 'regex'),
      definition: text
    })
  })
)
const tool = fc.oneof(
  { weight: 3, arbitrary: flatTool },
  fc.record({
    type: fc.constant('namespace'),
    name: namespace,
    description: text,
    tools: fc.array(flatTool, { maxLength: 2 })
  }),
  fc.constantFrom(
    { type: 'tool_search', execution: 'client' },
    { type: 'tool_search' },
    { type: 'web_search' },
    { type: 'image_generation', output_format: 'png' },
    { type: 'local_shell' }
  )
)
const tools = fc.array(tool, { maxLength: 3 })

const output = fc.oneof(
  text,
  fc.array(part, { maxLength: 3 }),
  input,
  fc.constantFrom(null, [{ stdout: '' }])
)
const item = fc.oneof(
  text,
  fc.record(
    {
      type: fc.constantFrom('message', null),
      role: fc.constantFrom('user', 'assistant', 'developer', 'system', 'robot'),
      content: fc.oneof(text, fc.constant(null), fc.array(part, { maxLength: 3 }))
    },
    { requiredKeys: ['content'] }
  ),
  fc.record(
    {
      type: fc.constant('function_call'),
      id,
      call_id: id,
      name: toolName,
      namespace: maybeNamespace,
      arguments: argumentsOfCall
    },
    { requiredKeys: ['type', 'name', 'arguments'] }
  ),
  fc.record({
    type: fc.constant('custom_tool_call'),
    call_id: id,
    name: toolName,
    namespace: maybeNamespace,
    input: text
  }),
  fc.record({
    type: fc.constantFrom(
      'function_call_output',
      'function_call_output',
      'custom_tool_call_output',
      'local_shell_call_output'
    ),
    call_id: id,
    status: fc.constantFrom('completed', 'failed', null),
    output
  }),
  fc.record({
    type: fc.constant('tool_search_call'),
    call_id: id,
    arguments: fc.record({ query: text })
  }),
  fc.record({ type: fc.constant('tool_search_output'), call_id: id, tools }),
  fc.record({ type: fc.constant('additional_tools'), role: fc.constant('developer'), tools }),
  fc.record({
    type: fc.constantFrom('local_shell_call', 'web_search_call'),
    call_id: fc.option(id),
    action: fc.record({ command: text })
  }),
  fc.record({ type: fc.constant('mcp_call'), id, name: toolName, arguments: text, output: text }),
  part.filter(
    (one) => typeof one === 'object' && !('type' in one && one.type === 'reasoning_text')
  ),
  fc.constantFrom(
    { type: 'reasoning', id: 'rs_1', summary: [], content: null, encrypted_content: 'x' },
    { type: 'item_reference', id: 'msg_kept' },
    { type: 'item_reference', id: 'fc_kept' },
    { type: 'item_reference', id: 'rs_gone' },
    { type: 'compaction', encrypted_content: 'x' },
    { type: 'something_new' },
    {}
  )
)
const body = fc.record(
  {
    model: fc.constantFrom('claude-haiku-4-5', 'gpt-5.6-sol', 'auto'),
    input: fc.oneof(text, fc.array(item, { minLength: 1, maxLength: 12 })),
    instructions: text,
    tools,
    tool_choice: fc.constantFrom(
      'none',
      'auto',
      'required',
      { type: 'none' },
      { type: 'function', name: 'g' },
      { type: 'custom', name: 'f', namespace: 'n' },
      { type: 'web_search_preview' }
    ),
    reasoning: fc.record({ effort: fc.constantFrom('none', 'high', 'ultra', null), summary: text }),
    prompt_cache_key: text
  },
  { requiredKeys: ['model', 'input'] }
)

t.test('any Responses conversation', async (t) => {
  testRequests(t, { dialect: 'openai-responses', body, markersOf, items: KEPT_ITEMS })
})

interface AnyTool {
  readonly type: string
  readonly name?: string
  readonly description?: string
  readonly tools?: readonly AnyTool[]
}

interface AnyRequest {
  readonly input:
    | string
    | readonly (string | { readonly type?: string; readonly tools?: AnyTool[] })[]
  readonly instructions?: string
  readonly tools?: readonly AnyTool[]
}

/** Whether a request lets the model call tools. */
function isOffering(request: object): boolean {
  return !/"tool_choice":("none"|\{"type":"none"\})/.test(JSON.stringify(request))
}

/** What of a request must arrive: its words, and every tool on offer, wherever in it that was declared. */
function markersOf(request: object): readonly string[] {
  const { input: items, instructions, tools: listed = [] } = request as AnyRequest
  const objects = typeof items === 'string' ? [] : items.filter((one) => typeof one !== 'string')
  const lists = [listed, ...objects.map((one) => one.tools ?? [])]
  const words = typeof items === 'string' ? items : items.filter(hasWords)
  const offered = isOffering(request) ? offeredOf(lists.flat()) : []
  return JSON.stringify([words, instructions, offered]).match(MARKER) ?? []
}

function hasWords(one: AnyRequest['input'][number]): boolean {
  return typeof one === 'string' || one.tools === undefined
}

function offeredOf(all: readonly AnyTool[]): readonly unknown[] {
  const seen = new Set<string>()
  const first = (one: AnyTool, space?: string): boolean => {
    const key = JSON.stringify([one.name, space])
    return !seen.has(key) && seen.add(key) !== undefined
  }
  return all.flatMap((one): readonly unknown[] => {
    if (one.type === 'function' || one.type === 'custom') return first(one) ? [one] : []
    if (one.type !== 'namespace' || one.tools?.length === 0) return []
    return [one.description, ...(one.tools ?? []).filter((inner) => first(inner, one.name))]
  })
}
