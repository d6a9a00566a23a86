import { equal } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { toWireToolId, toWireToolName } from '../../src/kiro/conversation/tools.ts'
import { convert } from '../helper/convert.ts'
import * as fc from '../helper/fast-check.ts'
import { assertUpstreamRules } from '../helper/payload-rules.ts'

// kiro-protocol, Appendix C, 3 to 6: what is sent upstream. Each point is tested in depth beside its code, too.

interface Example {
  readonly name: string
  readonly dialect: DialectName
  readonly request: unknown
  readonly upstream: object
}

const { examples } = JSON.parse(
  readFileSync(new URL('../fixtures/request-examples.json', import.meta.url), 'utf8')
) as { readonly examples: readonly Example[] }

const id = fc.constantFrom('a', 'b', 'c d', '')
const content = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('text'), text: fc.constantFrom('', ' ', 'words') }),
    fc.record({
      type: fc.constant('tool_use'),
      id,
      name: fc.constantFrom('f', 'g'),
      input: fc.constant({})
    }),
    fc.record({
      type: fc.constant('tool_result'),
      tool_use_id: id,
      content: fc.constantFrom('', 'r')
    })
  ),
  { maxLength: 4 }
)
const messages = fc.array(
  fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content }),
  { minLength: 1, maxLength: 8 }
)
const tools = fc.constantFrom(undefined, [], [{ name: 'f', input_schema: {} }])

t.test(
  'C3. A1 to A17 become the exact bodies, and any message list one that obeys H1 to H8',
  async (t) => {
    for (const { name, dialect, request, upstream } of examples) {
      const { payload } = convert(dialect, request)
      const { conversationState, ...rest } = payload
      t.same(
        { conversationState: { ...conversationState, conversationId: 'CID' }, ...rest },
        upstream,
        name
      )
    }
    fc.assert(
      fc.property(messages, tools, (turns, offered) => {
        const body = { model: 'auto', messages: turns, ...(offered && { tools: offered }) }
        assertUpstreamRules(convert('anthropic-messages', body).payload)
      }),
      { numRuns: 1000 }
    )
  }
)

t.test('C4. sanitisers are idempotent and pure; names come back as they were', async (t) => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      for (const clean of [toWireToolName, toWireToolId]) {
        equal(clean(clean(text)), clean(text))
        equal(clean(text), clean(text))
      }
    }),
    { numRuns: 500 }
  )
  const names = ['mcp__x__get.file', 'a'.repeat(118), `${'a'.repeat(117)}b`, '漢字', '7up', 'plain']
  const { tools: sent, plan } = convert('anthropic-messages', {
    model: 'auto',
    messages: [{ role: 'user', content: 'hi' }],
    tools: names.map((name) => ({ name, input_schema: { type: 'object', properties: {} } }))
  })
  t.same(
    sent.map(({ name }) => plan.toolNames[name] ?? name),
    names
  )
})

t.test('C5. the schema sanitiser keeps properties that are named like keywords', async (t) => {
  const names = ['additionalProperties', 'required', '$ref', '$schema', 'anyOf', 'type', 'default']
  const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]))
  const schema = { type: 'object', properties, required: names, additionalProperties: false }
  const cleaned = convert('anthropic-messages', {
    model: 'auto',
    messages: [{ role: 'user', content: 'hi' }],
    tools: [{ name: 'f', description: 'F', input_schema: schema }]
  }).tools[0]?.inputSchema.json
  t.same(cleaned, { type: 'object', properties, required: names })
})

t.test('C6. nothing empty is ever sent', async (t) => {
  for (const body of [
    { tools: [], messages: [user('hi')] },
    { messages: [user([])] },
    {
      messages: [user([]), { role: 'assistant', content: [] }, user([{ type: 'text', text: '' }])]
    },
    { system: [], messages: [user('hi'), { role: 'assistant', content: '' }, user('')] }
  ]) {
    const { payload } = convert('anthropic-messages', { model: 'auto', ...body })
    assertUpstreamRules(payload)
    t.notMatch(JSON.stringify(payload), /\[\]|"userInputMessageContext":\{\}|"content":""/)
  }
})

function user(blocks: unknown) {
  return { role: 'user', content: blocks }
}
