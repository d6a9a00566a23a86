import { equal } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { toWireToolId, toWireToolName } from '../../src/kiro/conversation/tools.ts'
import { convert } from '../helper/convert.ts'
import * as fc from '../helper/fast-check.ts'
import { assertUpstreamRules } from '../helper/payload-rules.ts'
import { bodyOf, REQUEST_EXAMPLES, sentAs } from '../helper/request-examples.ts'

// What is sent upstream. Each point is tested in depth beside its code, too.

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
  'the worked examples become the exact bodies, and any message list one that obeys H1 to H8',
  async (t) => {
    for (const example of REQUEST_EXAMPLES.filter(({ name }) => /^A1?\d\./.test(name))) {
      t.same(sentAs(example, 'path').payload, bodyOf(example, 'path'), example.name)
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

t.test('sanitisers are idempotent and pure; names come back as they were', async (t) => {
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

t.test('the schema sanitiser keeps properties that are named like keywords', async (t) => {
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

t.test('nothing empty is ever sent', async (t) => {
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

t.test(
  'a system message in mid-conversation, a turn later: nothing that was sent has changed',
  async (t) => {
    const more = [
      { role: 'assistant', content: 'four' },
      { role: 'user', content: 'five' },
      { role: 'system', content: 'And on.' }
    ]
    for (const example of REQUEST_EXAMPLES.filter(({ name }) => name.startsWith('A49.'))) {
      const request = example.request as Readonly<Record<string, readonly object[] | undefined>>
      const said = request['messages'] === undefined ? 'input' : 'messages'
      const later = {
        ...example,
        request: { ...request, [said]: [...(request[said] ?? []), ...more] }
      }
      for (const form of ['path', 'target'] as const) {
        const { history = [], currentMessage } = sentAs(example, form).payload.conversationState
        const after = sentAs(later, form).payload.conversationState
        const before = [...history, currentMessage].map((entry) => JSON.stringify(entry))
        t.equal(before.length, 3)
        t.same(
          after.history?.slice(0, 3).map((entry) => JSON.stringify(entry)),
          before,
          example.name
        )
        t.equal(after.currentMessage.userInputMessage.content, 'five\nAnd on.')
      }
    }
  }
)

t.test('Chat Completions has no way for signed reasoning', async (t) => {
  const signature = 'c2lnbmF0dXJl'.repeat(8)
  const reasoning_details = [{ type: 'reasoning.text', text: 'hm', signature }]
  const said = { role: 'assistant', content: 'a', reasoning_content: 'hm', reasoning_details }
  const messages = [user('hi'), said, user('on')]
  const { payload } = convert('openai-chat', { model: 'claude-opus-5', messages })
  t.notMatch(JSON.stringify(payload), 'reasoningContent')
})

t.test('no client of the vendor’s is named, and no machine', async (t) => {
  const root = join(import.meta.dirname, '../../src')
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile()
  )
  t.ok(files.length > 100)
  for (const { parentPath, name } of files) {
    const text = readFileSync(join(parentPath, name), 'utf8')
    // The keys of kiro-cli's database are no names that the gateway goes by.
    t.notMatch(text, /KiroIDE|KiroCLI(?!:)|AmazonQ-For|aws-sdk-\w+\/\d|machine-?id/i, name)
  }
})

function user(blocks: unknown) {
  return { role: 'user', content: blocks }
}
