import type { DialectName } from '../../src/dialects/dialect.ts'
import * as fc from './fast-check.ts'
import { hostileSchema } from './hostile-schemas.ts'

/** Requests as broken agents, compaction and interruption make them, for property tests of all dialects. */

/** A word that stands for text that must not be lost. */
export const MARKER = /m\d{9}k/g

// Few ids and names, so that calls and results meet, repeat and miss each other.
export const id = fc.constantFrom(
  'a',
  'b',
  'c d',
  'c_d',
  '',
  ' ',
  'x|y'.repeat(30),
  'ü',
  '__proto__'
)
export const toolName = fc.constantFrom(
  'f',
  'F',
  'g',
  'g.h',
  'g_h',
  'g/h',
  '7',
  'long'.repeat(30),
  `${'long'.repeat(30)}er`,
  'constructor',
  '__proto__',
  '漢字',
  '漢文',
  ' ',
  'many_3',
  'many_150'
)
const marked = fc.integer({ min: 0, max: 999_999_999 }).map(toMarker)
export const text = fc.oneof(
  { weight: 3, arbitrary: marked },
  fc.constantFrom(
    '',
    ' ',
    '\n\t',
    '\u00a0\u2003',
    '(empty)',
    '(empty placeholder)',
    '\ud800',
    '漢字🎉',
    '__proto__',
    'x-anthropic-billing-header: a\nb',
    '</thinking>',
    '\u0000\u001f',
    'Continue.'
  )
)
export const input = fc.oneof(
  fc.record({ path: text }),
  fc.constant(JSON.parse('{"__proto__":{"a":1}}')),
  fc.constantFrom(null, [1], [], 'plain', '', '{"cut": "of', 7, false)
)
const image = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' }
}
const imageUrl = { type: 'image_url', image_url: { url: 'data:image/gif;base64,R0lGODlh' } }

const textBlock = text.map((value) => ({ type: 'text', text: value }))
const resultContent = fc.oneof(
  text,
  fc.constant(null),
  fc.record({ json: text }),
  fc.array(fc.oneof(textBlock, text, fc.constantFrom(image, imageUrl)), { maxLength: 3 })
)
export const block = fc.oneof(
  textBlock,
  text,
  fc.record({ type: fc.constant('tool_use'), id, name: toolName, input }),
  fc.record(
    {
      type: fc.constant('tool_result'),
      tool_use_id: id,
      is_error: fc.boolean(),
      content: resultContent
    },
    { requiredKeys: ['type'] }
  ),
  fc.record({
    type: fc.constant('document'),
    title: text,
    source: fc.record({ type: fc.constant('text'), data: text })
  }),
  fc.constantFrom<object>(
    image,
    imageUrl,
    { type: 'thinking', thinking: 'hm', signature: 's' },
    { type: 'tool_reference', tool_name: 'WebSearch' },
    { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'q' } },
    { type: 'something_new' }
  )
)
const content = fc.oneof(text, fc.array(block, { maxLength: 4 }))

/** A usual handful of tools, or more than the upstream takes. */
function toolsOf<T>(tool: fc.Arbitrary<T>, named: (name: string) => T): fc.Arbitrary<T[]> {
  const many = fc
    .integer({ min: 118, max: 160 })
    .map((count) => Array.from({ length: count }, (_, index) => named(`many_${index}`)))
  return fc.oneof(
    { weight: 19, arbitrary: fc.array(tool, { maxLength: 5 }) },
    { weight: 1, arbitrary: many }
  )
}
// Any schema has tests of its own; here they only have to be around.
export const toolSchema = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom<unknown>(null, {}, { type: 'object', properties: { path: {} } })
  },
  { weight: 1, arbitrary: hostileSchema }
)
export const description = fc.oneof(
  { weight: 9, arbitrary: text },
  { weight: 1, arbitrary: marked.map((word) => `${'long '.repeat(2500)}${word}`) }
)

const anthropicBody = fc.record(
  {
    model: fc.constantFrom('claude-haiku-4-5', 'auto', 'glm-5', 'claude-opus-5[1m]'),
    system: fc.oneof(text, fc.array(textBlock, { maxLength: 3 })),
    messages: fc.array(
      fc.record(
        {
          role: fc.constantFrom('user', 'assistant', 'user', 'assistant', 'system', 'robot', null),
          content
        },
        { requiredKeys: ['role'] }
      ),
      { minLength: 1, maxLength: 12 }
    ),
    tools: toolsOf(
      fc.record({ name: toolName, description, input_schema: toolSchema }),
      (name) => ({ name, description: name, input_schema: {} })
    ),
    tool_choice: fc.constantFrom({ type: 'none' }, { type: 'any' }, { type: 'tool', name: 'f' }),
    thinking: fc.constantFrom({ type: 'adaptive' }, { type: 'enabled', budget_tokens: 5 }),
    output_config: fc.constantFrom({ effort: 'xhigh' }, { effort: 'ludicrous' }),
    max_tokens: fc.nat()
  },
  { requiredKeys: ['model', 'messages'] }
)

const openAiCall = fc.record({
  id,
  type: fc.constant('function'),
  function: fc.record({
    name: toolName,
    arguments: fc.oneof(
      input,
      input.map((value) => JSON.stringify(value))
    )
  })
})
const openAiMessage = fc.record(
  {
    role: fc.constantFrom('user', 'assistant', 'tool', 'function', 'developer', 'system', 'robot'),
    content: fc.oneof(content, fc.constant(null)),
    refusal: text,
    tool_calls: fc.array(openAiCall, { maxLength: 3 }),
    tool_call_id: id,
    name: fc.constantFrom('f', 'g'),
    function_call: fc.record({ name: toolName, arguments: fc.constant('{}') })
  },
  { requiredKeys: ['role'] }
)
const openAiTool = (name: string, description = name, parameters: unknown = {}) => ({
  type: 'function',
  function: { name, description, parameters }
})
const openAiBody = fc.record(
  {
    model: fc.constantFrom('claude-haiku-4-5', 'gpt-5.6-sol', 'auto'),
    messages: fc.array(openAiMessage, { minLength: 1, maxLength: 12 }),
    tools: toolsOf(
      fc
        .tuple(toolName, description, toolSchema)
        .map(([name, words, schema]) => openAiTool(name, words, schema)),
      openAiTool
    ),
    tool_choice: fc.constantFrom('none', 'auto', 'required', {
      type: 'function',
      function: { name: 'g' }
    }),
    reasoning_effort: fc.constantFrom('none', 'minimal', 'high', 'ultra')
  },
  { requiredKeys: ['model', 'messages'] }
)

/** Any request of these dialects. */
export const hostileRequests: readonly (readonly [DialectName, fc.Arbitrary<object>])[] = [
  ['anthropic-messages', anthropicBody],
  ['openai-chat', openAiBody]
]

function toMarker(value: number): string {
  return `m${String(value).padStart(9, '0')}k`
}
