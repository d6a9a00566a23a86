import Anthropic, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError
} from '@anthropic-ai/sdk'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl: url,
  env: { PROXY_API_KEY: KEY, UPSTREAM_MAX_ATTEMPTS: '1' }
})
t.teardown(() => gateway.destroy())

const client = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 0 })
const model = 'claude-haiku-4.5'

const weather: Anthropic.Tool = {
  name: 'get_weather',
  description: 'Weather of a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
}

function ask(text: string): Anthropic.MessageParam[] {
  return [{ role: 'user', content: text }]
}

/** Generations that the upstream was asked for so far. */
function calls(): number {
  return simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
}

t.test('the official Anthropic SDK', async (t) => {
  t.test('streams text', async (t) => {
    const stream = client.messages.stream({
      model,
      max_tokens: 500,
      system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
      messages: ask('sim:say="Grüße, 世界 🎉\\nsecond line"')
    })
    const pieces: string[] = []
    stream.on('text', (piece) => pieces.push(piece))
    const message = await stream.finalMessage()
    t.same(message.content, [{ type: 'text', text: 'Grüße, 世界 🎉\nsecond line' }])
    t.ok(pieces.length > 1, 'in more than one piece')
    t.equal(message.stop_reason, 'end_turn')
    t.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0)
  })

  t.test('gets text in one piece', async (t) => {
    const message = await client.messages.create({
      model,
      max_tokens: 500,
      messages: ask('sim:say="All of it."')
    })
    t.same(message.content, [{ type: 'text', text: 'All of it.' }])
    t.equal(message.model, model)
    t.ok(message.usage.input_tokens > 0)
  })

  for (const isStreamed of [true, false]) {
    t.test(`goes through a whole tool loop, ${isStreamed ? 'streamed' : 'not'}`, async (t) => {
      const tools = [weather, { ...weather, name: 'get_time' }]
      const first = {
        model,
        max_tokens: 500,
        tools,
        messages: ask('call tools get_weather and get_time')
      }
      const called = isStreamed
        ? await client.messages.stream(first).finalMessage()
        : await client.messages.create(first)
      t.equal(called.stop_reason, 'tool_use')
      const calls = called.content.filter((block) => block.type === 'tool_use')
      t.same(
        calls.map(({ name }) => name),
        ['get_weather', 'get_time']
      )
      t.match(calls[0]?.input, { city: String })
      const answered = await client.messages.create({
        ...first,
        messages: [
          ...first.messages,
          { role: 'assistant', content: called.content },
          {
            role: 'user',
            content: calls.map(({ id, name }) => ({
              type: 'tool_result' as const,
              tool_use_id: id,
              content: `the ${name} result`
            }))
          }
        ]
      })
      const text = answered.content
        .map((block) => (block.type === 'text' ? block.text : ''))
        .join('')
      t.match(text, /the get_weather result/)
      t.match(text, /the get_time result/)
    })
  }

  t.test('sends an image, also in a tool result', async (t) => {
    const image = {
      type: 'image' as const,
      source: { type: 'base64' as const, media_type: 'image/png' as const, data: PNG }
    }
    const message = await client.messages.create({
      model,
      max_tokens: 100,
      tools: [weather],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Look' }, image] },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: {} }]
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', is_error: true, content: [image] }
          ]
        }
      ]
    })
    t.ok(message.content.length > 0)
  })

  t.test('gets a thinking block with its signature, and may send it back', async (t) => {
    const first = {
      model: 'claude-opus-4.8',
      max_tokens: 4000,
      thinking: { type: 'enabled' as const, budget_tokens: 2000 },
      messages: ask('sim:say="forty-two" why?')
    }
    const message = await client.messages.stream(first).finalMessage()
    const [thinking, text] = message.content
    t.match(thinking, { type: 'thinking', thinking: /./, signature: /./ })
    t.same(text, { type: 'text', text: 'forty-two' })
    await client.messages.create({
      ...first,
      messages: [...first.messages, { role: 'assistant', content: message.content }, ...ask('and?')]
    })
  })

  t.test('gets emulated thinking from a model without any', async (t) => {
    const message = await client.messages.create({
      model: 'claude-haiku-4.5',
      max_tokens: 4000,
      thinking: { type: 'enabled', budget_tokens: 2000 },
      messages: ask('sim:say="forty-two" why?')
    })
    t.match(message.content, [
      { type: 'thinking', thinking: /./ },
      { type: 'text', text: 'forty-two' }
    ])
  })

  t.test('stops at a stop sequence', async (t) => {
    const message = await client.messages.create({
      model,
      max_tokens: 100,
      stop_sequences: ['END'],
      messages: ask('sim:say="abc END xyz"')
    })
    t.match(message, {
      content: [{ type: 'text', text: 'abc ' }],
      stop_reason: 'stop_sequence',
      stop_sequence: 'END'
    })
  })

  t.test('lists models in its own shape', async (t) => {
    const ids: string[] = []
    for await (const { id, type } of client.models.list()) {
      t.equal(type, 'model')
      ids.push(id)
    }
    t.ok(ids.includes(model))
    t.equal((await client.models.retrieve(model)).id, model)
  })

  const failures: readonly [string, number, unknown, string][] = [
    ['sim:improper', 400, BadRequestError, 'invalid_request_error'],
    ['sim:context-overflow', 400, BadRequestError, 'invalid_request_error'],
    ['sim:invalid-model', 404, NotFoundError, 'not_found_error'],
    ['sim:throttled', 429, RateLimitError, 'rate_limit_error'],
    ['sim:unavailable', 529, InternalServerError, 'overloaded_error'],
    ['sim:throttled-frame', 429, RateLimitError, 'rate_limit_error']
  ]
  for (const [prompt, status, type, name] of failures) {
    for (const stream of [true, false]) {
      t.test(
        `raises ${status} for ${prompt}, ${stream ? 'streamed' : 'not streamed'}`,
        async (t) => {
          const error = await t.rejects(
            client.messages.create({ model, max_tokens: 10, stream, messages: ask(prompt) })
          )
          t.type(error, type as new () => object)
          t.match(error, { status, error: { error: { type: name } } })
        }
      )
    }
  }

  t.test('says "prompt is too long" when it is', async (t) => {
    await t.rejects(
      client.messages.create({ model, max_tokens: 10, messages: ask('sim:context-overflow') }),
      { message: /prompt is too long: / }
    )
  })

  t.test('meets a used-up quota once, and does not try again', async (t) => {
    const env = { PROXY_API_KEY: KEY, WORKERS: '1' }
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const client = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 3 })
    const before = calls()
    for (const stream of [true, false]) {
      const error = await t.rejects(
        client.messages.create({ model, max_tokens: 10, stream, messages: ask('sim:quota') })
      )
      t.ok(error instanceof RateLimitError)
    }
    t.equal(calls() - before, 1, 'the quota is remembered')
  })

  t.test('raises 401 for a wrong key, and does not try again', async (t) => {
    const stranger = new Anthropic({ baseURL: gateway.url, apiKey: 'wrong', maxRetries: 2 })
    const error = await t.rejects(
      stranger.messages.create({ model, max_tokens: 10, messages: ask('hi') })
    )
    t.type(error, AuthenticationError)
  })

  t.test('raises an error when the stream breaks', async (t) => {
    const stream = client.messages.stream({
      model,
      max_tokens: 10,
      messages: ask('sim:exception-mid sim:events=6')
    })
    const pieces: string[] = []
    stream.on('text', (piece) => pieces.push(piece))
    const error = await t.rejects(stream.finalMessage())
    t.ok(pieces.length > 0)
    t.ok(error instanceof APIError)
  })
})
