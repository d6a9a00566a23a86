import assert from 'node:assert/strict'
import t from 'tap'
import { convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import { bodyOf, REQUEST_EXAMPLES, sentAs } from '../helper/request-examples.ts'
import { requestOptions } from '../helper/request-options.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[48][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

t.test('the worked examples of fixtures/request-examples.json', async (t) => {
  for (const example of REQUEST_EXAMPLES) {
    for (const form of ['path', 'target'] as const) {
      t.test(`${example.name}, ${form} form`, async (t) => {
        const { payload, plan } = sentAs(example, form)
        t.strictSame(payload, bodyOf(example, form))
        t.equal(plan.asked.dialect, example.dialect)
        for (const id of Object.values(plan.ids)) t.match(id, UUID)
      })
    }
  }

  t.test('A12. Tool call without a result', async (t) => {
    const { payload, plan } = convert('openai-chat', {
      model: 'auto',
      tools: [
        {
          type: 'function',
          function: {
            name: 'f',
            description: 'F',
            parameters: { type: 'object', properties: {} }
          }
        }
      ],
      messages: [
        { role: 'user', content: 'go' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }]
        },
        { role: 'user', content: 'never mind' }
      ]
    })
    t.strictSame(payload.conversationState.currentMessage, {
      userInputMessage: {
        content: 'never mind',
        modelId: 'auto',
        origin: 'AI_EDITOR',
        userInputMessageContext: {
          tools: [
            {
              toolSpecification: {
                name: 'f',
                description: 'F',
                inputSchema: { json: { type: 'object', properties: {} } }
              }
            }
          ],
          toolResults: [
            {
              toolUseId: 'c1',
              content: [{ text: 'Tool execution was interrupted.' }],
              status: 'error'
            }
          ]
        }
      }
    })
    t.same(plan.repairs, ['call-interrupted'])
  })

  t.test('A15. Emulated thinking', async (t) => {
    const { payload, plan } = convert('anthropic-messages', {
      model: 'claude-haiku-4.5',
      max_tokens: 8000,
      thinking: { type: 'enabled', budget_tokens: 2048 },
      messages: [{ role: 'user', content: 'prove it' }]
    })
    const { content } = payload.conversationState.currentMessage.userInputMessage
    t.match(
      content,
      /^[^\n]+\n\n<thinking_mode>enabled<\/thinking_mode>\n<max_thinking_length>2048<\/max_thinking_length>\n<thinking_instruction>[^\n]+<\/thinking_instruction>\n\nprove it$/
    )
    t.equal(plan.reasoning, 'tags')
    t.notOk('additionalModelRequestFields' in payload)
  })

  t.test('A16. Native reasoning of a GPT model', async (t) => {
    const { payload, plan } = convert('openai-chat', {
      model: 'gpt-5.6-sol',
      reasoning_effort: 'high',
      messages: [{ role: 'user', content: 'hi' }]
    })
    t.strictSame(payload.additionalModelRequestFields, { reasoning: { effort: 'high' } })
    t.equal(plan.reasoning, 'native')
  })
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

interface SentPayload {
  readonly conversationState: {
    readonly currentMessage: { readonly userInputMessage: { readonly content: string } }
  }
  readonly additionalModelRequestFields?: unknown
}

function convert(dialect: DialectName, request: unknown) {
  const { payload, plan } = convertRequest(
    dialect,
    Buffer.from(JSON.stringify(request)),
    requestOptions()
  )
  const text = Buffer.from(payload).toString()
  assert.ok(text.startsWith('{"conversationState"'))
  return { payload: JSON.parse(text) as SentPayload, plan }
}
