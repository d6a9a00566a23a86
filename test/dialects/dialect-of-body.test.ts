import t from 'tap'
import { dialectOfBody } from '../../src/dialects/dialect.ts'
import { chatBody, messagesBody } from '../helper/agent-request.ts'
import * as fc from '../helper/fast-check.ts'

const messages = [{ role: 'user', content: 'hi' }]

t.test('dialectOfBody()', async (t) => {
  t.test('knows the requests of agents', async (t) => {
    const options = { bytes: 50_000, tools: 10 }
    t.equal(dialectOfBody(JSON.parse(chatBody(options).toString())), 'openai-chat')
    t.equal(dialectOfBody(JSON.parse(messagesBody(options).toString())), 'anthropic-messages')
  })

  for (const [dialect, bodies] of Object.entries({
    'openai-responses': [
      { input: 'hi' },
      { model: 'm', input: [], max_output_tokens: 5 },
      { instructions: 'x', previous_response_id: 'r' }
    ],
    'anthropic-messages': [
      { messages, max_tokens: 5 },
      { messages, system: 'x' },
      { messages, tools: [{ name: 'f', input_schema: {} }] },
      { messages, tool_choice: { type: 'any' } },
      { messages, max_tokens: 5, stream: true, temperature: 1 },
      { messages: [{ role: 'assistant', content: [{ type: 'tool_use' }] }] },
      { messages: [{ role: 'system', content: 'x' }, ...messages], max_tokens: 5 }
    ],
    'openai-chat': [
      {},
      { messages },
      { messages, max_tokens: 5, tools: [{ type: 'function', function: { name: 'f' } }] },
      { messages, max_completion_tokens: 5 },
      { messages, tool_choice: 'auto' },
      { messages: [{ role: 'tool', tool_call_id: 'a', content: 'x' }] },
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }], max_tokens: 5 },
      { messages: 'none', tools: 5, tool_choice: 5 }
    ]
  })) {
    t.test(`knows ${dialect} by its shape`, async (t) => {
      for (const body of bodies) t.equal(dialectOfBody(body), dialect, JSON.stringify(body))
    })
  }

  t.test('has an answer for anything', async () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (body) => {
        dialectOfBody(body)
      })
    )
  })
})
