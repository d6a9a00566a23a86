import { setTimeout as delay } from 'node:timers/promises'
import Anthropic from '@anthropic-ai/sdk'
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema'
import OpenAI from 'openai'
import { makeParseableResponseFormat } from 'openai/lib/parser'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { next, say } from '../helper/simulated-words.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl: url,
  env: {
    PROXY_API_KEY: KEY,
    UPSTREAM_MAX_ATTEMPTS: '1',
    HTTP_MAX_CONNECTIONS: '2',
    HEARTBEAT_INTERVAL: '0.5'
  }
})
t.teardown(() => gateway.destroy())

const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })
const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 0 })
const model = 'claude-haiku-4.5'

const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'integer' } },
  required: ['city', 'degrees'],
  additionalProperties: false
} as const
const GOOD = '{"city": "Oslo",\n "degrees": -3}'
const WRONG = '{"city":"Oslo","degrees":"cold"}'

interface Weather {
  readonly city: string
  readonly degrees: number
}

const format = makeParseableResponseFormat(
  { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema } },
  (content): Weather => JSON.parse(content)
)
const tool = (name: string) => ({
  type: 'function' as const,
  function: { name, parameters: { type: 'object', properties: { city: { type: 'string' } } } }
})
const anthropicTool = (name: string): Anthropic.Tool => ({
  name,
  input_schema: { type: 'object', properties: { city: { type: 'string' } } }
})

function user(content: string) {
  return [{ role: 'user' as const, content }]
}

/** Raw, to see what comes before the first data. */
function streamJson(prompt: string, signal?: AbortSignal): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: JSON.stringify({
      model,
      messages: user(prompt),
      response_format: { type: 'json_object' },
      stream: true
    }),
    ...(signal && { signal })
  })
}

async function generations(run: () => Promise<unknown>): Promise<number> {
  const before = simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  await run()
  return (simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0) - before
}

t.test('JSON in Chat Completions', async (t) => {
  t.test('that is valid is delivered to the letter, after one round', async (t) => {
    const rounds = await generations(async () => {
      const messages = user(say(GOOD))
      const answer = await openai.chat.completions.parse({
        model,
        messages,
        response_format: format
      })
      t.equal(answer.choices[0]?.message.content, GOOD)
      t.same(answer.choices[0]?.message.parsed, { city: 'Oslo', degrees: -3 })
    })
    t.equal(rounds, 1)
  })

  t.test(
    'can be parsed by the SDK where tools are called first, with words beside the call',
    async (t) => {
      const messages = user(`use tool look with {"city":"Oslo"} ${next(say(GOOD))}`)
      const strict = {
        type: 'function' as const,
        function: { ...tool('look').function, strict: true }
      }
      const turn = { model, tools: [strict], response_format: format }
      const first = (await openai.chat.completions.parse({ ...turn, messages })).choices[0]
      if (first === undefined) throw new Error('no answer')
      t.match(first, { finish_reason: 'tool_calls', message: { tool_calls: { length: 1 } } })
      t.notOk(first.message.content, 'words are no JSON')
      const [call] = first.message.tool_calls ?? []
      const result = { role: 'tool' as const, tool_call_id: call?.id ?? '', content: 'cold' }
      const asked = [...messages, first.message, result]
      const answer = await openai.chat.completions.parse({ ...turn, messages: asked })
      t.equal(answer.choices[0]?.message.content, GOOD)
    }
  )

  t.test('comes without its code fence', async (t) => {
    const messages = user(say(`\`\`\`json\n${GOOD}\n\`\`\``))
    const answer = await openai.chat.completions.parse({ model, messages, response_format: format })
    t.equal(answer.choices[0]?.message.content, GOOD)
  })

  for (const [what, first] of [
    ['does not match the schema', WRONG],
    ['is no JSON', 'Here you are: it is cold.'],
    ['is blank', ' ']
  ] as const) {
    t.test(`that ${what} is asked for once more, and only the second answer is seen`, async (t) => {
      const messages = user(`${say(first)} ${next(say(GOOD))}`)
      const rounds = await generations(async () => {
        const answer = await openai.chat.completions.parse({
          model,
          messages,
          response_format: format
        })
        t.equal(answer.choices[0]?.message.content, GOOD)
        t.equal(answer.choices[0]?.finish_reason, 'stop')
      })
      t.equal(rounds, 2)
      const stream = openai.chat.completions.stream({
        model,
        messages,
        response_format: format,
        stream_options: { include_usage: true }
      })
      const answer = await stream.finalChatCompletion()
      t.equal(answer.choices[0]?.message.content, GOOD)
      t.ok((answer.usage?.prompt_tokens ?? 0) > 100, 'both rounds are counted')
    })
  }

  t.test('that is wrong twice is an error that is not retried, and never an answer', async (t) => {
    const messages = user(`${say(WRONG)} ${next(say(WRONG))}`)
    const request = { model, messages, response_format: format }
    await t.rejects(openai.chat.completions.create(request), {
      status: 502,
      code: 'answer_invalid',
      message: /even after a second attempt/
    })
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ ...request, stream: true })
    })
    t.equal(response.status, 502, 'also where a stream was asked for: nothing was sent before')
    t.equal(response.headers.get('x-should-retry'), 'false')
    t.notMatch(await response.text(), /cold/)
  })

  t.test('of any object is asked for by json_object', async (t) => {
    const messages = user(`${say('[1]')} ${next(say('{"a":1}'))}`)
    const answer = await openai.chat.completions.create({
      model,
      messages,
      response_format: { type: 'json_object' }
    })
    t.equal(answer.choices[0]?.message.content, '{"a":1}')
  })

  t.test('that was cut short is delivered with its reason', async (t) => {
    const messages = user(`${say('{"city":')} sim:max-tokens`)
    const answer = await openai.chat.completions.create({
      model,
      messages,
      response_format: format
    })
    t.equal(answer.choices[0]?.finish_reason, 'length')
    t.equal(answer.choices[0]?.message.content, '{"city":')
  })

  t.test('of a schema that is none is refused with its place', async (t) => {
    for (const [wrong, param] of [
      [{ type: 'objekt' }, 'response_format.json_schema.schema.type'],
      [{ properties: { a: 1 } }, 'response_format.json_schema.schema.properties.a'],
      [{ $ref: 'https://example.com/s' }, 'response_format.json_schema.schema.$ref'],
      [{ pattern: '(' }, 'response_format.json_schema.schema.pattern']
    ] as const) {
      const response_format = {
        type: 'json_schema' as const,
        json_schema: { name: 'x', schema: wrong }
      }
      const request = { model, messages: user('hi'), response_format }
      const error: unknown = await openai.chat.completions.create(request).catch((cause) => cause)
      t.match(error, { status: 400, param })
    }
  })
})

t.test('JSON in Messages', async (t) => {
  const output_config = { format: jsonSchemaOutputFormat(schema) }
  const max_tokens = 500

  t.test('is parsed by the SDK, also after a second round', async (t) => {
    for (const messages of [user(say(GOOD)), user(`${say(WRONG)} ${next(say(GOOD))}`)]) {
      const message = await anthropic.messages.parse({ model, max_tokens, messages, output_config })
      t.same(message.parsed_output, { city: 'Oslo', degrees: -3 })
      t.same(message.content, [{ type: 'text', text: GOOD, parsed_output: message.parsed_output }])
      const stream = anthropic.messages.stream({ model, max_tokens, messages, output_config })
      const streamed = await stream.finalMessage()
      t.match(streamed, { content: [{ type: 'text', text: GOOD }], stop_reason: 'end_turn' })
    }
  })

  t.test('comes after the reasoning, of which there is more with each round', async (t) => {
    const messages = user(`${say(WRONG)} ${next(say(GOOD))}`)
    const message = await anthropic.messages.create({
      model: 'claude-opus-4.8',
      max_tokens: 4000,
      messages,
      output_config,
      thinking: { type: 'adaptive' }
    })
    t.same(
      message.content.map(({ type }) => type),
      ['thinking', 'thinking', 'text']
    )
  })

  t.test('that is wrong twice fails in the stream once that has begun', async (t) => {
    const messages = user(`${say(WRONG)} ${next(say(WRONG))}`)
    const request = { model, max_tokens, messages, output_config }
    await t.rejects(anthropic.messages.create(request), /^502 /)
    const stream = anthropic.messages.stream({
      ...request,
      model: 'claude-opus-4.8',
      thinking: { type: 'adaptive' }
    })
    await t.rejects(stream.finalMessage(), /even after a second attempt/)
  })
})

t.test('JSON and calls in Responses', async (t) => {
  const text = { format: { type: 'json_schema' as const, name: 'weather', strict: true, schema } }
  const input = `${say(WRONG)} ${next(say(GOOD))}`
  const whole = await openai.responses.create({ model, input, text })
  t.equal(whole.output_text, GOOD)
  const streamed = await openai.responses.stream({ model, input, text }).finalResponse()
  t.equal(streamed.output_text, GOOD)
  const call = await openai.responses.create({
    model,
    input: `${say('No need to.')} ${next('use tool f with {"city":"Oslo"}')}`,
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: false }],
    tool_choice: { type: 'function', name: 'f' }
  })
  t.match(call.output.at(-1), { type: 'function_call', name: 'f', arguments: '{"city":"Oslo"}' })
})

t.test('a tool that must be called', async (t) => {
  const call = 'use tool get_weather with {"city":"Oslo"}'

  t.test('is called in the second round where the first had none', async (t) => {
    const messages = user(`${say('No need to.')} ${next(call)}`)
    for (const tool_choice of ['required', tool('get_weather')] as const) {
      const answer = await openai.chat.completions.create({
        model,
        messages,
        tools: [tool('get_weather'), tool('other')],
        tool_choice
      })
      const [choice] = answer.choices
      t.match(choice, { finish_reason: 'tool_calls' })
      t.match(choice?.message.tool_calls, [{ function: { name: 'get_weather' } }])
      t.notMatch(choice?.message.content, /No need/)
    }
    for (const tool_choice of [
      { type: 'any' as const },
      { type: 'tool' as const, name: 'get_weather' }
    ]) {
      const stream = anthropic.messages.stream({
        model,
        max_tokens: 500,
        messages,
        tools: [anthropicTool('get_weather'), anthropicTool('other')],
        tool_choice
      })
      const message = await stream.finalMessage()
      t.equal(message.stop_reason, 'tool_use')
      t.match(message.content.at(-1), { type: 'tool_use', input: { city: 'Oslo' } })
    }
  })

  t.test('is the only one that is delivered', async (t) => {
    const both = 'use tools other with {"city":"Rome"} and get_weather with {"city":"Oslo"}'
    const first = 'use tool other with {"city":"Rome"}'
    for (const prompt of [both, `${first} ${next(call)}`]) {
      const answer = await openai.chat.completions.create({
        model,
        messages: user(prompt),
        tools: [tool('get_weather'), tool('other')],
        tool_choice: tool('get_weather')
      })
      t.match(answer.choices[0]?.message.tool_calls, [{ function: { name: 'get_weather' } }])
      t.equal(answer.choices[0]?.message.tool_calls?.length, 1)
    }
  })

  t.test('is called in the second round by a model that is reminded of the tools', async (t) => {
    const tools = [tool('get_weather'), tool('get_time')]
    const messages = user('Hello.')
    const answer = await openai.chat.completions.create({
      model,
      messages,
      tools,
      tool_choice: 'required'
    })
    t.match(answer.choices[0]?.message.tool_calls, [{ function: { name: 'get_weather' } }])
  })

  t.test('and is not called in two rounds is an error', async (t) => {
    await t.rejects(
      openai.chat.completions.create({
        model,
        messages: user(`${say('Never.')} ${next(say('Never, I said.'))}`),
        tools: [tool('get_weather')],
        tool_choice: 'required'
      }),
      { status: 502, code: 'answer_invalid', message: /tool_choice/ }
    )
  })

  t.test('is not insisted on when the answer was cut short or the tool is not there', async (t) => {
    const cut = await openai.chat.completions.create({
      model,
      messages: user(`${say('I was')} sim:max-tokens`),
      tools: [tool('get_weather')],
      tool_choice: 'required'
    })
    t.match(cut.choices[0], { finish_reason: 'length', message: { content: 'I was' } })
    const missing = await openai.chat.completions.create({
      model,
      messages: user(say('fine')),
      tools: [tool('get_weather')],
      tool_choice: tool('nobody')
    })
    t.equal(missing.choices[0]?.message.content, 'fine')
  })
})

t.test('an answer that is held', async (t) => {
  t.test('is announced by heartbeats, in both rounds', async (t) => {
    const second = `${say('{"a": 1, "b": 2}')} sim:gap=300`
    const text = await (
      await streamJson(`${say('one two three')} sim:gap=300 ${next(second)}`)
    ).text()
    t.match(text, /^(: ping\n\n){2,}data: \{.*\n\ndata: .*\n\ndata: \[DONE\]\n\n$/)
    t.match(text, /\{\\"a\\": 1, \\"b\\": 2\}/)
  })

  t.test('and fails after a heartbeat fails inside the stream, without an end', async (t) => {
    const wrong = `${say('one two three')} sim:gap=300`
    const text = await (await streamJson(`${wrong} ${next(wrong)}`)).text()
    t.match(text, /"code":"answer_invalid"/)
    t.notMatch(text, /DONE|finish_reason/)
  })

  t.test('is given up with its client, in either round', async (t) => {
    for (const prompt of [
      `${say('one two')} sim:stall`,
      `${say('one two')} ${next(`${say('one two')} sim:stall`)}`
    ]) {
      const stop = new AbortController()
      const response = await streamJson(prompt, stop.signal)
      t.equal(response.status, 200, 'by a heartbeat')
      stop.abort()
      await response.text().catch(() => {})
      await whenNothingRuns()
    }
    t.equal(simulator.stats().inFlight, 0)
  })
})

/** The upstream sees at once when a call is given up. */
async function whenNothingRuns(): Promise<void> {
  while (simulator.stats().inFlight > 0) await delay(5)
}

async function scrape(): Promise<string> {
  const headers = { 'x-api-key': KEY }
  return (await fetch(`${gateway.url}/metrics`, { headers })).text()
}

t.test('no permit is left behind', async (t) => {
  let metrics = await scrape()
  // The upstream may see the end of the last call before the gateway has its permit back.
  while (!/kiro_gateway_pool_permits_in_use(?:\{[^}]*\})? 0/.test(metrics)) metrics = await scrape()
  t.match(metrics, /kiro_gateway_answers_asked_again_total\{[^}]*reason="json"[^}]*\} \d+/)
  t.ok(simulator.stats().connections.max <= 2)
})
