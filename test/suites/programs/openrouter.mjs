import { OpenRouter } from '@openrouter/sdk'
import { attempt, expect, key, model, url } from './case.mjs'

/** `@openrouter/sdk` refuses every answer that is not of the shape that OpenRouter documents. */
const client = new OpenRouter({
  serverURL: `${url}/v1`,
  apiKey: key,
  retryConfig: { strategy: 'none' }
})
const stranger = new OpenRouter({
  serverURL: `${url}/v1`,
  apiKey: 'wrong',
  retryConfig: { strategy: 'none' }
})

const parameters = {
  type: 'object',
  properties: { location: { type: 'string' } },
  required: ['location'],
  additionalProperties: false
}
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, inhabitants: { type: 'integer' } },
  required: ['city', 'inhabitants'],
  additionalProperties: false
}
const pixel =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII='
const say = (content) => [{ role: 'user', content }]
const chatTool = {
  type: 'function',
  function: { name: 'weather', description: 'Knows the weather.', parameters }
}
const chatCall = {
  id: 'call_1',
  type: 'function',
  function: { name: 'weather', arguments: '{"location":"Oslo"}' }
}

const chats = {
  'a text': { messages: say('Hello') },
  'a system text': { messages: [{ role: 'system', content: 'Be brief.' }, ...say('Hello')] },
  'cut at max_tokens': { messages: say('Count. sim:events=500'), maxTokens: 20 },
  filtered: { messages: say('Hello sim:filtered') },
  'a call': { messages: say('How is the weather?'), tools: [chatTool] },
  'a forced call': {
    messages: say('Hello'),
    tools: [chatTool],
    toolChoice: { type: 'function', function: { name: 'weather' } }
  },
  'a result': {
    tools: [chatTool],
    messages: [
      ...say('How is the weather?'),
      { role: 'assistant', content: null, toolCalls: [chatCall] },
      { role: 'tool', toolCallId: 'call_1', content: 'sunny' }
    ]
  },
  'a JSON schema': {
    messages: say('Name a city.'),
    responseFormat: { type: 'json_schema', jsonSchema: { name: 'city', schema, strict: true } }
  },
  'any JSON': { messages: say('Name a city, as JSON.'), responseFormat: { type: 'json_object' } },
  reasoning: { messages: say('Think.'), reasoning: { effort: 'high' } },
  'a picture': {
    messages: say([
      { type: 'text', text: 'What is it?' },
      { type: 'image_url', imageUrl: { url: pixel } }
    ])
  }
}

const tool = {
  type: 'function',
  name: 'weather',
  description: 'Knows the weather.',
  parameters,
  strict: true
}
const responses = {
  'a text': { input: 'Hello' },
  settings: {
    input: 'Hello',
    instructions: 'Be brief.',
    temperature: 0.5,
    topP: 0.9,
    metadata: { purpose: 'test' },
    store: false
  },
  'cut at max_output_tokens': { input: 'Count. sim:events=500', maxOutputTokens: 20 },
  filtered: { input: 'Hello sim:filtered' },
  'a call': { input: 'How is the weather?', tools: [tool] },
  'a forced call': {
    input: 'Hello',
    tools: [tool],
    toolChoice: { type: 'function', name: 'weather' }
  },
  'a result': {
    tools: [tool],
    input: [
      { type: 'message', role: 'user', content: 'How is the weather?' },
      {
        type: 'function_call',
        id: 'fc_1',
        callId: 'call_1',
        name: 'weather',
        arguments: '{"location":"Oslo"}'
      },
      { type: 'function_call_output', callId: 'call_1', output: 'sunny' }
    ]
  },
  'a JSON schema': {
    input: 'Name a city.',
    text: { format: { type: 'json_schema', name: 'city', schema, strict: true } }
  },
  reasoning: {
    input: 'Think.',
    reasoning: { effort: 'high', summary: 'auto' },
    include: ['reasoning.encrypted_content']
  },
  'web search': {
    input: 'use tool web_search with {"query":"Kiro"}',
    tools: [{ type: 'web_search' }]
  },
  'a picture': {
    input: [{ role: 'user', content: [{ type: 'input_image', imageUrl: pixel, detail: 'auto' }] }]
  }
}

for (const [name, request] of Object.entries(chats)) {
  await attempt(`chat: ${name}`, async () => {
    const answer = await client.chat.send({
      chatRequest: { model, ...request, stream: false }
    })
    expect(answer.choices.length === 1, 'no choice')
    refuseUnknown(answer)
  })
  await attempt(`chat, streamed: ${name}`, async () => {
    await read(await client.chat.send({ chatRequest: { model, ...request, stream: true } }))
  })
}
for (const [name, request] of Object.entries(responses)) {
  await attempt(`responses: ${name}`, async () => {
    const answer = await client.responses.send({
      responsesRequest: { model, ...request, stream: false }
    })
    expect(answer.output.length > 0, 'no output')
    refuseUnknown(answer)
  })
  await attempt(`responses, streamed: ${name}`, async () => {
    await read(
      await client.responses.send({ responsesRequest: { model, ...request, stream: true } })
    )
  })
}
await attempt('models: list', async () => {
  const { value } = await (await client.models.list())[Symbol.asyncIterator]().next()
  expect(value.result.data.length > 0, 'no models')
})
await attempt('error: wrong key', async () => {
  const error = await stranger.chat
    .send({ chatRequest: { model, messages: say('Hello') } })
    .catch((error) => error)
  expect(
    error.constructor.name === 'UnauthorizedResponseError',
    `${error.constructor.name}: ${error.message}`
  )
})
await attempt('error: invalid request', async () => {
  const error = await client.chat
    .send({ chatRequest: { model, messages: [] } })
    .catch((error) => error)
  expect(
    error.constructor.name === 'BadRequestResponseError',
    `${error.constructor.name}: ${error.message}`
  )
})

/** Reads a stream whole. */
async function read(stream) {
  let count = 0
  for await (const event of stream) {
    count += 1
    refuseUnknown(event)
  }
  expect(count > 0, 'no events')
}

/** What the SDK does not know it hands on as `UNKNOWN` where a union is open; here nothing may be. */
function refuseUnknown(answer) {
  const json = JSON.stringify(answer)
  const at = json.indexOf('"UNKNOWN"')
  expect(at < 0, `unknown: ${json.slice(Math.max(0, at - 300), at)}`)
}
