import * as fc from 'fast-check'

/** Text that must not get lost is made of these. */
export const MARKER = /m\d{9}k/g

// Few ids and names, so that calls and results meet, repeat and miss each other.
export const id = fc.constantFrom('a', 'b', 'c d', 'c_d', '', 'x|y'.repeat(30))
export const toolName = fc.constantFrom(
  'f',
  'g',
  'g.h',
  'g_h',
  '7',
  'long'.repeat(30),
  'constructor'
)

const marked = fc
  .integer({ min: 0, max: 999_999_999 })
  .map((value) => `m${String(value).padStart(9, '0')}k`)

export const text = fc.oneof(
  { weight: 3, arbitrary: marked },
  fc.constantFrom(
    '',
    ' ',
    '\n\t',
    '(empty)',
    '\ud800',
    '漢字🎉',
    '__proto__',
    'x-anthropic-billing-header'
  )
)

export const image = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'AAAA' }
}

/** What a tool may be called with. */
export const input = fc.oneof(
  fc.record({ path: text }),
  fc.constant(JSON.parse('{"__proto__":{"a":1}}')),
  fc.constantFrom(null, [1], 'plain', 7)
)

/** The same as JSON text, or what is left of it. */
export const argumentsText = fc.oneof(
  input.map((value) => JSON.stringify(value)),
  fc.constantFrom('', '{"cut": "of', '[1]')
)

/** A block of Messages; clients send them through the other APIs, too. */
export const anthropicBlock = fc.oneof(
  text.map((value) => ({ type: 'text', text: value })),
  fc.record({ type: fc.constant('tool_use'), id, name: toolName, input }),
  fc.record({
    type: fc.constant('tool_result'),
    tool_use_id: id,
    is_error: fc.boolean(),
    content: fc.oneof(
      text,
      fc.array(
        fc.oneof(
          text.map((value) => ({ type: 'text', text: value })),
          fc.constant(image)
        )
      )
    )
  }),
  fc.constantFrom(
    image,
    { type: 'thinking', thinking: 'hm', signature: 's' },
    { type: 'tool_reference', tool_name: 'WebSearch' },
    { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'q' } },
    { type: 'something_new' }
  )
)

export const schema: fc.Arbitrary<unknown> = fc.constantFrom(
  null,
  'nonsense',
  { type: 'object', properties: { required: { type: 'string' } }, required: ['required'] },
  { $ref: '#/$defs/a', $defs: { a: { type: 'object', properties: { b: { $ref: '#' } } } } },
  { anyOf: [{ properties: { a: {} }, required: ['a'] }, { $ref: '#/nowhere' }] },
  { type: ['object', 'null'], properties: null, required: [], additionalProperties: {} }
)
