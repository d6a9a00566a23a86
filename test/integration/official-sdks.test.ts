import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import type { ResponseInputItem } from 'openai/resources/responses/responses'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'

// What the SDKs make of an answer is tested in test/dialects/official-clients.test.ts, and what is on the wire in test/requirements/.

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const model = 'claude-haiku-4.5'
const parameters = {
  type: 'object' as const,
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false
}

const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl: url,
  env: { PROXY_API_KEY: KEY, UPSTREAM_MAX_ATTEMPTS: '1' }
})
t.teardown(() => gateway.destroy())

const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })
const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 0 })

/** Generations that the upstream was asked for so far. */
function calls(): number {
  return simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
}

function user(content: string) {
  return [{ role: 'user' as const, content }]
}

t.test('Chat Completions: the SDK runs two tools at once', async (t) => {
  const ran: string[] = []
  const toolOf = (name: string, says: string) => ({
    type: 'function' as const,
    function: {
      name,
      description: name,
      parameters,
      parse: JSON.parse,
      function: () => {
        ran.push(name)
        return says
      }
    }
  })
  const final = await openai.chat.completions
    .runTools({
      model,
      stream: true,
      messages: user('call tools get_weather and get_time'),
      tools: [toolOf('get_weather', 'It is sunny.'), toolOf('get_time', 'It is noon.')]
    })
    .finalContent()
  t.same(ran.toSorted(), ['get_time', 'get_weather'])
  t.match(final, /sunny/)
  t.match(final, /noon/)
})

t.test('Responses: a tool loop, with items and by reference', async (t) => {
  const weather = { type: 'function' as const, name: 'get_weather', parameters, strict: true }
  const asked: ResponseInputItem[] = user('call tool get_weather')
  const { output } = await openai.responses
    .stream({ model, input: asked, tools: [weather] })
    .finalResponse()
  const call = output.find((item) => item.type === 'function_call')
  if (call === undefined) throw new Error('there is no call')
  t.match(call, { status: 'completed', name: 'get_weather', parsed_arguments: { city: String } })
  const result = {
    type: 'function_call_output' as const,
    call_id: call.call_id,
    output: '7 degrees'
  }
  const references = output.map(({ id = '' }) => ({ type: 'item_reference' as const, id }))
  for (const items of [output as ResponseInputItem[], references]) {
    const input = [...asked, ...items, result]
    const answer = await openai.responses.create({ model, input, tools: [weather] })
    t.equal(answer.status, 'completed')
    t.match(answer.output_text, /7 degrees/)
  }
})

t.test('Messages: a tool loop, whose thinking goes back', async (t) => {
  const first = {
    model: 'claude-opus-4.8',
    max_tokens: 4000,
    thinking: { type: 'enabled' as const, budget_tokens: 2000 },
    tools: [{ name: 'get_weather', input_schema: parameters }],
    messages: user('call tool get_weather')
  }
  const called = await anthropic.messages.stream(first).finalMessage()
  t.equal(called.stop_reason, 'tool_use')
  t.match(called.content[0], { type: 'thinking', thinking: /./, signature: /./ })
  const call = called.content.at(-1)
  if (call?.type !== 'tool_use') throw new Error('there is no call')
  const result = { type: 'tool_result' as const, tool_use_id: call.id, content: '7 degrees' }
  const answered = await anthropic.messages.create({
    ...first,
    messages: [
      ...first.messages,
      { role: 'assistant', content: called.content },
      { role: 'user', content: [result] }
    ]
  })
  t.match(answered.content.at(-1), { type: 'text', text: /7 degrees/ })
})

t.test('an SDK that tries again asks the upstream once about a used-up quota', async (t) => {
  const env = { PROXY_API_KEY: KEY, WORKERS: '1' }
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  const options = { apiKey: KEY, maxRetries: 3 }
  const openai = new OpenAI({ ...options, baseURL: `${gateway.url}/v1` })
  const anthropic = new Anthropic({ ...options, baseURL: gateway.url })
  const before = calls()
  const messages = user('sim:quota')
  const told = { status: 429, message: /You have reached the limit/ } // the upstream's own words
  await t.rejects(openai.chat.completions.create({ model, messages }), told)
  const refusal = { status: 429, message: /quota/ }
  for (const stream of [true, false]) {
    await t.rejects(openai.chat.completions.create({ model, stream, messages }), refusal)
    await t.rejects(openai.responses.create({ model, stream, input: 'sim:quota' }), refusal)
    await t.rejects(anthropic.messages.create({ model, max_tokens: 10, stream, messages }), refusal)
  }
  t.equal(calls() - before, 1, 'the quota is remembered')
})

t.test('Messages: old results are cleared, and the SDK is told', async (t) => {
  const words = 'Sunny with some wind. '.repeat(200)
  const messages = Array.from({ length: 6 }, (_, at) => [
    { role: 'user' as const, content: `Weather ${at}?` },
    {
      role: 'assistant' as const,
      content: [{ type: 'tool_use' as const, id: `toolu_${at}`, name: 'get_weather', input: {} }]
    },
    {
      role: 'user' as const,
      content: [{ type: 'tool_result' as const, tool_use_id: `toolu_${at}`, content: words }]
    },
    { role: 'assistant' as const, content: 'It is sunny.' }
  ]).flat()
  const tools = [{ name: 'get_weather', input_schema: parameters }]
  const counted = { model, messages: [...messages, ...user('hello')], tools }
  const request = { ...counted, max_tokens: 100 }
  const trigger = { type: 'input_tokens' as const, value: 2000 }
  const edits = [{ type: 'clear_tool_uses_20250919' as const, trigger }]
  const edited = { ...request, context_management: { edits } }
  const whole = await anthropic.beta.messages.countTokens(counted)
  const told = await anthropic.beta.messages.countTokens({
    ...counted,
    context_management: { edits }
  })
  const original = told.context_management?.original_input_tokens ?? 0
  t.ok(Math.abs(original / whole.input_tokens - 1) < 0.05, `${original} of ${whole.input_tokens}`)
  t.ok(told.input_tokens < 0.6 * whole.input_tokens, `${told.input_tokens} are left`)

  const answer = await anthropic.beta.messages.create(edited)
  const streamed = await anthropic.beta.messages.stream(edited).finalMessage()
  for (const { context_management: done, usage } of [answer, streamed]) {
    const [edit] = done?.applied_edits ?? []
    t.match(edit, { type: 'clear_tool_uses_20250919', cleared_tool_uses: 3 })
    const cleared = edit?.cleared_input_tokens ?? 0
    t.ok(
      cleared > 0.25 * whole.input_tokens && cleared < whole.input_tokens,
      `${cleared} of ${whole.input_tokens}`
    )
    t.ok(usage.input_tokens > 0)
  }

  const declined = {
    ...request,
    context_management: { edits: [{ type: 'compact_20260112' as const }] }
  }
  await t.rejects(anthropic.beta.messages.create(declined), {
    status: 400,
    message: /"claude-haiku-4.5 does not support the 'compact_20260112' context management strategy/
  })
})
