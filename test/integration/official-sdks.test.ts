import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import type { ResponseInputItem } from 'openai/resources/responses/responses'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'

// What the SDKs make of an answer is tested in test/dialects/official-clients.test.ts, and what is on the wire in test/requirements/.

t.setTimeout(300_000) // real processes, on a machine that may be busy

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
