import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import t from 'tap'
import { convertRequest } from '../../src/dialects/convert-request.ts'
import type { DialectName } from '../../src/dialects/reply-plan.ts'
import type { UpstreamPayload } from '../../src/kiro/payload.ts'
import { RepairTable } from '../../src/kiro/repair-table.ts'
import { assertUpstreamRules } from '../helper/payload-rules.ts'
import { requestOptions } from '../helper/request-options.ts'

const RUNS = 4000
const MARKER = /m\d{9}k/g

// Few ids and names, so that calls and results meet, repeat and miss each other.
const id = fc.constantFrom('a', 'b', 'c d', 'c_d', '', 'x|y'.repeat(30))
const toolName = fc.constantFrom('f', 'g', 'g.h', 'g_h', '7', 'long'.repeat(30), 'constructor')
const marked = fc.integer({ min: 0, max: 999_999_999 }).map(toMarker)
const text = fc.oneof(
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
const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } }
const input = fc.oneof(
  fc.record({ path: text }),
  fc.constant(JSON.parse('{"__proto__":{"a":1}}')),
  fc.constantFrom(null, [1], 'plain', 7)
)

const anthropicBlock = fc.oneof(
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
const role = fc.constantFrom('user', 'assistant', 'user', 'assistant', 'system', 'robot')
const anthropicBody = fc.record(
  {
    model: fc.constantFrom('claude-sonnet-4-5', 'auto', 'glm-5', 'claude-opus-5[1m]'),
    system: fc.oneof(text, fc.array(text.map((value) => ({ type: 'text', text: value })))),
    messages: fc.array(
      fc.record({ role, content: fc.oneof(text, fc.array(anthropicBlock, { maxLength: 4 })) }),
      { minLength: 1, maxLength: 12 }
    ),
    tools: fc.array(fc.record({ name: toolName, description: text, input_schema: schema() }), {
      maxLength: 4
    }),
    tool_choice: fc.constantFrom({ type: 'none' }, { type: 'any' }, { type: 'tool', name: 'f' }),
    thinking: fc.constantFrom({ type: 'adaptive' }, { type: 'enabled', budget_tokens: 5 }),
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
      input.map((value) => JSON.stringify(value)),
      fc.constantFrom('', '{"cut": "of', '[1]')
    )
  })
})
const openAiMessage = fc.record(
  {
    role: fc.constantFrom('user', 'assistant', 'tool', 'function', 'developer', 'system', 'robot'),
    content: fc.oneof(text, fc.constant(null), fc.array(anthropicBlock, { maxLength: 3 })),
    tool_calls: fc.array(openAiCall, { maxLength: 3 }),
    tool_call_id: id,
    name: fc.constantFrom('f', 'g'),
    function_call: fc.record({ name: toolName, arguments: fc.constant('{}') })
  },
  { requiredKeys: ['role'] }
)
const openAiBody = fc.record(
  {
    model: fc.constantFrom('claude-sonnet-4-5', 'gpt-5.6-sol', 'auto'),
    messages: fc.array(openAiMessage, { minLength: 1, maxLength: 12 }),
    tools: fc.array(
      fc.record({
        type: fc.constant('function'),
        function: fc.record({ name: toolName, description: text, parameters: schema() })
      }),
      { maxLength: 4 }
    ),
    tool_choice: fc.constantFrom('none', 'auto', 'required', {
      type: 'function',
      function: { name: 'g' }
    }),
    reasoning_effort: fc.constantFrom('none', 'minimal', 'high', 'ultra')
  },
  { requiredKeys: ['model', 'messages'] }
)

const dialects: readonly (readonly [DialectName, fc.Arbitrary<object>])[] = [
  ['anthropic-messages', anthropicBody],
  ['openai-chat', openAiBody]
]

for (const [dialect, body] of dialects) {
  t.test(`any ${dialect} conversation`, async (t) => {
    t.test('becomes a payload that the upstream takes, without losing text', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const { json, payload, repairs } = convert(dialect, request)
          assertUpstreamRules(payload)
          const isOffer = !/"tool_choice":("none"|\{"type":"none"\})/.test(JSON.stringify(request))
          for (const marker of markersOf(request, isOffer)) assert.ok(json.includes(marker), marker)
          for (const code of repairs) assert.ok(Object.hasOwn(RepairTable, code), code)
        }),
        { numRuns: RUNS }
      )
    })

    t.test('always becomes the same payload, so that caches can find it', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const [first, second] = [convert(dialect, request), convert(dialect, request)]
          const ids = [first, second].map(({ payload }) => payload.conversationState.conversationId)
          assert.equal(
            first.json.replace(ids[0] ?? '', 'CID'),
            second.json.replace(ids[1] ?? '', 'CID')
          )
        }),
        { numRuns: 300 }
      )
    })

    t.test('keeps its tools’ names reversible', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const { payload, toolNames } = convert(dialect, request)
          const { userInputMessageContext } =
            payload.conversationState.currentMessage.userInputMessage
          const sent = userInputMessageContext?.tools ?? []
          const back = sent.map(({ toolSpecification: { name } }) =>
            Object.hasOwn(toolNames, name) ? toolNames[name] : name
          )
          assert.equal(new Set(back).size, sent.length)
          for (const name of back) assert.ok(JSON.stringify(request).includes(JSON.stringify(name)))
        }),
        { numRuns: 300 }
      )
    })
  })
}

function convert(dialect: DialectName, request: object) {
  const bytes = Buffer.from(JSON.stringify(request))
  const { payload, plan } = convertRequest(dialect, bytes, requestOptions())
  const json = Buffer.from(payload).toString()
  assert.ok(plan.inputTokens > 0)
  JSON.parse(json, (_key, value: unknown) => {
    assert.ok(typeof value !== 'string' || value.isWellFormed(), 'half of a surrogate pair')
    return value
  })
  const { repairs, toolNames } = plan
  return { json, payload: JSON.parse(json) as UpstreamPayload, repairs, toolNames }
}

interface OfferedTool {
  readonly name?: string
  readonly function?: { readonly name: string }
}

/** Every marker that must arrive; descriptions of tools that are not offered need not. */
function markersOf(request: object, isOffer: boolean): readonly string[] {
  const { tools = [], ...rest } = request as { tools?: readonly OfferedTool[] }
  const found = JSON.stringify(rest).match(MARKER) ?? []
  const seen = new Set<unknown>()
  const offered = (isOffer ? tools : []).filter((tool) => {
    const name = tool.name ?? tool.function?.name
    return !seen.has(name) && seen.add(name)
  })
  return [...found, ...(JSON.stringify(offered).match(MARKER) ?? [])]
}

function toMarker(value: number): string {
  return `m${String(value).padStart(9, '0')}k`
}

function schema(): fc.Arbitrary<unknown> {
  return fc.constantFrom(
    null,
    'nonsense',
    { type: 'object', properties: { required: { type: 'string' } }, required: ['required'] },
    { $ref: '#/$defs/a', $defs: { a: { type: 'object', properties: { b: { $ref: '#' } } } } },
    { anyOf: [{ properties: { a: {} }, required: ['a'] }, { $ref: '#/nowhere' }] },
    { type: ['object', 'null'], properties: null, required: [], additionalProperties: {} }
  )
}
