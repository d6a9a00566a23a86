import OpenAI, {
  APIConnectionError,
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError
} from 'openai'
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
  env: { PROXY_API_KEY: `other-key,${KEY}`, UPSTREAM_MAX_ATTEMPTS: '1' }
})
t.teardown(() => gateway.destroy())

const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })
const model = 'claude-haiku-4.5'

const weather: OpenAI.ChatCompletionFunctionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false
    }
  }
}

/** Generations that the upstream was asked for so far. */
function calls(): number {
  return simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
}

t.test('the official openai SDK', async (t) => {
  t.test('streams text', async (t) => {
    const stream = await client.chat.completions.create({
      model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'sim:say="Grüße, 世界 🎉\\nsecond line"' }]
    })
    let text = ''
    const finishes: string[] = []
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason)
      usage = chunk.usage ?? usage
    }
    t.equal(text, 'Grüße, 世界 🎉\nsecond line')
    t.same(finishes, ['stop'])
    t.ok((usage?.prompt_tokens ?? 0) > 0 && (usage?.completion_tokens ?? 0) > 0)
  })

  t.test('gets text in one piece', async (t) => {
    const completion = await client.chat.completions.create({
      model,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'sim:say="All of it."' }
      ]
    })
    t.equal(completion.choices[0]?.message.content, 'All of it.')
    t.equal(completion.choices[0]?.finish_reason, 'stop')
    t.equal(completion.model, model)
    t.ok((completion.usage?.total_tokens ?? 0) > 0)
  })

  t.test('goes through a whole tool loop, streamed, with two calls at once', async (t) => {
    const calls: string[] = []
    const runner = client.chat.completions.runTools({
      model,
      stream: true,
      messages: [{ role: 'user', content: 'call tools get_weather and get_time' }],
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'Weather of a city',
            parameters: weather.function.parameters ?? {},
            parse: JSON.parse,
            function: (input: { city: string }) => {
              calls.push(`weather ${typeof input.city}`)
              return 'It is sunny.'
            }
          }
        },
        {
          type: 'function',
          function: {
            name: 'get_time',
            description: 'Time',
            parameters: { type: 'object', properties: {} },
            parse: JSON.parse,
            function: () => {
              calls.push('time')
              return 'It is noon.'
            }
          }
        }
      ]
    })
    const final = await runner.finalContent()
    t.same(calls.toSorted(), ['time', 'weather string'])
    t.match(final, /sunny/)
    t.match(final, /noon/)
  })

  t.test('gets a tool call in one piece', async (t) => {
    const { choices } = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'use tool get_weather with {"city":"Oslo \\"x\\" ü"}' }],
      tools: [weather]
    })
    t.equal(choices[0]?.finish_reason, 'tool_calls')
    const call = choices[0]?.message.tool_calls?.[0]
    t.equal(call?.type === 'function' && call.function.name, 'get_weather')
    t.same(call?.type === 'function' && JSON.parse(call.function.arguments), {
      city: 'Oslo "x" ü'
    })
  })

  t.test('sends an image', async (t) => {
    const { choices } = await client.chat.completions.create({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is this?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } }
          ]
        }
      ]
    })
    t.ok(choices[0]?.message.content)
  })

  t.test('gets reasoning apart from the text', async (t) => {
    const { choices } = await client.chat.completions.create({
      model: 'claude-opus-4.8',
      reasoning_effort: 'high',
      messages: [{ role: 'user', content: 'sim:say="forty-two" why?' }]
    })
    const message: { content: string | null; reasoning_content?: string } | undefined =
      choices[0]?.message
    t.equal(message?.content, 'forty-two')
    t.ok(message?.reasoning_content)
  })

  t.test('lists models', async (t) => {
    const models = await client.models.list()
    t.ok(models.data.some(({ id }) => id === model))
    t.equal((await client.models.retrieve(model)).id, model)
  })

  const failures: readonly [string, number, unknown, string | null][] = [
    ['sim:improper', 400, BadRequestError, null],
    ['sim:context-overflow', 400, BadRequestError, 'context_length_exceeded'],
    ['sim:invalid-model', 404, NotFoundError, 'model_not_found'],
    ['sim:throttled', 429, RateLimitError, 'rate_limit_exceeded'],
    ['sim:unavailable', 503, InternalServerError, 'overloaded'],
    ['sim:throttled-frame', 429, RateLimitError, 'rate_limit_exceeded']
  ]
  for (const [prompt, status, type, code] of failures) {
    for (const stream of [true, false]) {
      t.test(
        `raises ${status} for ${prompt}, ${stream ? 'streamed' : 'not streamed'}`,
        async (t) => {
          const error = await t.rejects(
            client.chat.completions.create({
              model,
              stream,
              messages: [{ role: 'user', content: prompt }]
            })
          )
          t.type(error, type as new () => object)
          t.match(error, { status, ...(code !== null && { code }) })
        }
      )
    }
  }

  t.test('meets a used-up quota once, and does not try again', async (t) => {
    const env = { PROXY_API_KEY: KEY, WORKERS: '1' }
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 3 })
    const before = calls()
    for (const stream of [true, false]) {
      const error = await t.rejects(
        client.chat.completions.create({
          model,
          stream,
          messages: [{ role: 'user', content: 'sim:quota' }]
        })
      )
      t.ok(error instanceof RateLimitError)
    }
    t.equal(calls() - before, 1, 'the quota is remembered')
  })

  t.test('raises 401 for a wrong key, and does not try again', async (t) => {
    const stranger = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'wrong', maxRetries: 2 })
    const error = await t.rejects(stranger.models.list())
    t.type(error, AuthenticationError)
    t.match(error, { code: 'invalid_api_key' })
  })

  t.test('raises an error when the stream breaks', async (t) => {
    const stream = await client.chat.completions.create({
      model,
      stream: true,
      messages: [{ role: 'user', content: 'sim:reset sim:events=6' }]
    })
    let chunks = 0
    const error = await t.rejects(async () => {
      for await (const chunk of stream) chunks += chunk.choices.length
    })
    t.ok(chunks > 0)
    t.ok(error instanceof APIError && !(error instanceof APIConnectionError))
  })

  t.test('is told that an answer was cut when it ended too early', async (t) => {
    const messages = [{ role: 'user' as const, content: 'sim:cut-frame sim:events=6' }]
    const stream = await client.chat.completions.create({ model, stream: true, messages })
    const reasons: unknown[] = []
    for await (const { choices } of stream) reasons.push(...choices.map((one) => one.finish_reason))
    t.equal(reasons.at(-1), 'length')
    const { choices } = await client.chat.completions.create({ model, messages })
    t.match(choices, [{ finish_reason: 'length', message: { content: /\w/ } }])
  })
})
