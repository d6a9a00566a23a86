import { setTimeout as delay } from 'node:timers/promises'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { next, say, searchFor } from '../helper/simulated-words.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl: url,
  // One connection for all: a round or a search that kept its permit would wait for ever.
  env: {
    PROXY_API_KEY: KEY,
    UPSTREAM_MAX_ATTEMPTS: '1',
    HTTP_MAX_CONNECTIONS: '1',
    HTTP_POOL_TIMEOUT: '20'
  }
})
t.teardown(() => gateway.destroy())

const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })
const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 0 })
const model = 'claude-haiku-4.5'
const max_tokens = 2000

const search: Anthropic.WebSearchTool20250305 = { type: 'web_search_20250305', name: 'web_search' }
const weather: Anthropic.Tool = {
  name: 'get_weather',
  input_schema: { type: 'object', properties: { city: { type: 'string' } } }
}

function user(content: string) {
  return [{ role: 'user' as const, content }]
}

/** In both ways: in one piece and streamed. */
async function messages(
  request: Omit<Anthropic.MessageCreateParamsNonStreaming, 'model' | 'max_tokens'>
): Promise<Anthropic.Message[]> {
  const body = { model, max_tokens, ...request }
  const whole = await anthropic.messages.create(body)
  const streamed = await anthropic.messages.stream(body).finalMessage()
  return [whole, streamed]
}

function kindsOf({ content }: Anthropic.Message): string[] {
  return content.map(({ type }) => type)
}

function operations() {
  return simulator.stats().requests.byOperation
}

t.test(
  'Claude Code’s own search request is answered with the finds, without the model',
  async (t) => {
    const before = operations()['generateAssistantResponse'] ?? 0
    const query = 'kiro pricing'
    const asked = {
      messages: user(`Perform a web search for the query: ${query}`),
      tools: [search]
    }
    for (const message of await messages(asked)) {
      const [call, found, text] = message.content
      t.match(call, { type: 'server_tool_use', name: 'web_search', input: { query } })
      t.match(found, {
        type: 'web_search_tool_result',
        tool_use_id: call?.type === 'server_tool_use' ? call.id : '',
        content: [
          {
            type: 'web_search_result',
            title: `Simulated result 1 for ${query}`,
            url: 'https://example.com/1?q=kiro%20pricing',
            encrypted_content: `The simulator found this about ${query}.`
          },
          { page_age: null }
        ]
      })
      t.match(text, { type: 'text', text: /^1\. Simulated result 1 .*\n.*\n\n2\. Simulated/ })
      t.equal(message.stop_reason, 'end_turn')
      t.match(message.usage, { server_tool_use: { web_search_requests: 1 } })
      t.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0)
    }
    t.equal(operations()['generateAssistantResponse'] ?? 0, before)
  }
)

t.test('a search that the model wants', async (t) => {
  t.test('is made, shown and told, and the answer goes on', async (t) => {
    const asked = { messages: user(searchFor('oslo')), tools: [weather, search] }
    for (const message of await messages(asked)) {
      t.same(kindsOf(message), ['text', 'server_tool_use', 'web_search_tool_result', 'text'])
      t.match(message.content[3], { text: /received 1 tool result.*Simulated result 1 for oslo/ })
      t.equal(message.stop_reason, 'end_turn')
      t.match(message.usage, { server_tool_use: { web_search_requests: 1 } })
    }
  })

  t.test('is not made for ever: after five rounds the answer pauses', async (t) => {
    let chain = searchFor('z')
    for (let round = 0; round < 6; round++) chain = `${next(chain)}\n\n${searchFor(`q${round}`)}`
    const before = operations()['mcp'] ?? 0
    const message = await anthropic.messages.create({
      model,
      max_tokens,
      messages: user(chain),
      tools: [weather, search]
    })
    t.equal((operations()['mcp'] ?? 0) - before, 5)
    t.equal(message.stop_reason, 'pause_turn')
    t.match(message.content.at(-1), { content: { error_code: 'max_uses_exceeded' } })
  })

  t.test('beside a call of the client’s is made, and the client’s turn comes', async (t) => {
    const both = 'use tools get_weather with {"city":"Oslo"} and web_search with {"query":"oslo"}'
    for (const message of await messages({ messages: user(both), tools: [weather, search] })) {
      t.equal(message.stop_reason, 'tool_use')
      t.match(message.content, [
        { type: 'text' },
        { type: 'tool_use', name: 'get_weather' },
        { type: 'server_tool_use' },
        { type: 'web_search_tool_result' }
      ])
      const after = await anthropic.messages.create({
        model,
        max_tokens,
        tools: [weather, search],
        messages: [
          ...user(both),
          { role: 'assistant', content: message.content },
          {
            role: 'user',
            content: [
              {
                type: 'tool_result',
                tool_use_id: message.content.find((block) => block.type === 'tool_use')?.id ?? '',
                content: 'cold'
              }
            ]
          }
        ]
      })
      t.match(after.content.at(-1), { text: /cold/ }, 'and its blocks can be sent back')
    }
  })

  t.test('and whose query is too long is made once more with its beginning', async (t) => {
    const before = operations()['mcp'] ?? 0
    const query = `fault:long ${'x'.repeat(300)}`
    const asked = {
      messages: user(`Perform a web search for the query: ${query}`),
      tools: [search]
    }
    const [message] = await messages(asked)
    const title = `Simulated result 1 for ${query.slice(0, 200)}`
    t.match(message?.content[1], { content: [{ title }, {}] })
    t.equal((operations()['mcp'] ?? 0) - before, 4, 'streamed and not')
  })
})

t.test('Chat Completions asks with web_search_options and gets the answer alone', async (t) => {
  const request = {
    model,
    messages: user(searchFor('oslo')),
    tools: [
      {
        type: 'function' as const,
        function: { name: 'get_weather', parameters: { type: 'object' } }
      }
    ],
    web_search_options: { search_context_size: 'low' as const }
  }
  const answer = await openai.chat.completions.create(request)
  t.match(answer.choices[0], {
    finish_reason: 'stop',
    message: { content: /Simulated result 1 for oslo/ }
  })
  const stream = openai.chat.completions.stream(request)
  t.match((await stream.finalChatCompletion()).choices[0]?.message.content, /Simulated result 1/)
})

t.test('Responses shows each search as an item of the answer', async (t) => {
  const tools = [
    { type: 'web_search' as const },
    { type: 'function' as const, name: 'f', parameters: { type: 'object' }, strict: false }
  ]
  const request = { model, input: searchFor('oslo'), tools }
  const whole = await openai.responses.create(request)
  const streamed = await openai.responses.stream(request).finalResponse()
  for (const { output, status } of [whole, streamed]) {
    t.equal(status, 'completed')
    t.same(
      output.map(({ type }) => type),
      ['message', 'web_search_call', 'message']
    )
    t.match(output[1], { status: 'completed', action: { type: 'search', query: 'oslo' } })
    t.match(output[2], { content: [{ text: /Simulated result 1 for oslo/ }] })
  }
})

t.test('a client that leaves during a search leaves nothing behind', async (t) => {
  const stop = new AbortController()
  const stream = anthropic.messages.stream(
    {
      model,
      max_tokens,
      messages: user(searchFor('fault:stall')),
      tools: [weather, search]
    },
    { signal: stop.signal }
  )
  const before = operations()['mcp'] ?? 0
  stream.on('text', () => {}).on('error', () => {})
  while ((operations()['mcp'] ?? 0) === before) await delay(5)
  stop.abort()
  const left = performance.now()
  await t.rejects(stream.finalMessage())
  const after = await anthropic.messages.create({ model, max_tokens, messages: user('hi') })
  t.equal(after.stop_reason, 'end_turn', 'the only connection is free')
  t.comment(`the next answer took ${Math.round(performance.now() - left)} ms`)
  t.equal(simulator.stats().connections.max, 1)
})

t.test('a client that leaves in a later round leaves nothing behind', async (t) => {
  const stop = new AbortController()
  const before = operations()['generateAssistantResponse'] ?? 0
  const prompt = `${next(`${say('one two three four')} sim:stall`)}\n\n${searchFor('oslo')}`
  const stream = anthropic.messages.stream(
    { model, max_tokens, messages: user(prompt), tools: [weather, search] },
    { signal: stop.signal }
  )
  stream.on('error', () => {})
  while ((operations()['generateAssistantResponse'] ?? 0) < before + 2) await delay(5)
  stop.abort()
  await t.rejects(stream.finalMessage())
  const after = await anthropic.messages.create({ model, max_tokens, messages: user('hi') })
  t.equal(after.stop_reason, 'end_turn')
  t.equal(simulator.stats().connections.max, 1)
})
