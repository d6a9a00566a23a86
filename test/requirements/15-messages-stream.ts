import type { Test } from 'tap'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { say } from '../helper/simulated-words.ts'
import { readSse } from '../helper/sse-messages.ts'
import { MESSAGES, messages } from './dialects.ts'
import { MODEL, type Stand } from './stand.ts'

type Json = Record<string, unknown>

/** Every member without which a client of Messages loops, fails or loses text. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const streamOf = async (prompt: string, more: Json = {}): Promise<string> =>
    (await stand.call(MESSAGES, { body: messages.ask(prompt, { stream: true, ...more }) })).text
  const tools = [messages.tool('get_weather')]
  const call = 'use tool get_weather with {"city":"Oslo"}'

  for (const [what, text, stopReason] of [
    ['text', await streamOf('hi'), 'end_turn'],
    ['a call', await streamOf(call, { tools }), 'tool_use'],
    ['no words', await streamOf(`${say('')} sim:filtered`), 'refusal'],
    ['an answer without closing events', await streamOf('sim:no-end'), 'max_tokens'],
    ['an answer cut by max_tokens', await streamOf('hi', { max_tokens: 5 }), 'max_tokens'],
    ['an answer cut by the model', await streamOf('sim:max-tokens'), 'max_tokens'],
    ['a full window', await streamOf('sim:context-full'), 'model_context_window_exceeded'],
    ['a refusal', await streamOf('sim:filtered'), 'refusal'],
    ['a call without its stop', await streamOf(`${call} sim:tool-no-stop`, { tools }), 'tool_use'],
    ['a ghost of a call', await streamOf(`${call} sim:ghost-tool`, { tools }), 'tool_use']
  ] as const) {
    t.test(what, async (t) => {
      const { messages: events } = readSse(text)
      const parsed = events.map(({ data }) => JSON.parse(data) as Json)
      t.ok(
        events.every(({ event }, index) => event === parsed[index]?.['type']),
        'event: lines'
      )
      const stream = readAnthropicStream(text) // blocks in pairs, indexes without gaps
      checkStart(t, stream.message)
      t.equal(stream.delta['stop_reason'], stopReason)
      t.ok('stop_sequence' in stream.delta)
      t.ok(Number(stream.usage['output_tokens']) >= 0 && Number(stream.usage['input_tokens']) > 0)
      t.equal(parsed.filter(({ type }) => type === 'message_delta').length, 1)
      t.equal(parsed.at(-1)?.['type'], 'message_stop')
      for (const event of parsed) {
        if (String(event['type']).startsWith('content_block')) t.type(event['index'], 'number')
      }
      for (const { start } of stream.blocks.filter((block) => block.type === 'tool_use')) {
        t.match(start, { id: /\w/, name: 'get_weather', input: {} })
      }
    })
  }

  t.test('in one piece: the same members', async (t) => {
    for (const [prompt, stopReason] of [
      ['hi', 'end_turn'],
      [call, 'tool_use'],
      ['sim:no-end', 'max_tokens']
    ] as const) {
      const { json } = await stand.call(MESSAGES, { body: messages.ask(prompt, { tools }) })
      checkMembers(t, json, ['id', 'type', 'role', 'model', 'content', 'stop_reason', 'usage'])
      t.equal(json['stop_reason'], stopReason)
      checkUsage(t, json['usage'] as Json)
    }
  })

  t.test('stop_sequences end it, wherever the upstream cuts its pieces', async (t) => {
    const stop_sequences = ['</severity>']
    for (const chunk of [1, 3, 7, 4096]) {
      const prompt = `${say('<severity>7</severity> and more')} sim:size=1 sim:chunk=${chunk}`
      const stream = readAnthropicStream(await streamOf(prompt, { stop_sequences }))
      t.equal(stream.blocks.map(({ text }) => text).join(''), '<severity>7')
      t.match(stream.delta, { stop_reason: 'stop_sequence', stop_sequence: '</severity>' })
    }
    // As Claude Code's auto mode asks, unstreamed.
    const { json } = await stand.call(MESSAGES, {
      body: messages.ask(say('<severity>7</severity>'), {
        stop_sequences,
        max_tokens: 64,
        thinking: { type: 'disabled' }
      })
    })
    t.match(json, { content: [{ text: '<severity>7' }], stop_reason: 'stop_sequence' })
  })

  t.test('a safety verdict is answered as unsupported, never made up', async (t) => {
    const safeguards = [{ type: 'dangerous_tool_use', classifier_context: { cwd: '/' } }]
    const results = [{ type: 'dangerous_tool_use', status: { type: 'unsupported' } }]
    const text = await streamOf(call, { tools, safeguards })
    t.same(readAnthropicStream(text).delta['safeguard_results'], results)
    const { json } = await stand.call(MESSAGES, { body: messages.ask(call, { tools, safeguards }) })
    t.same(json['safeguard_results'], results)
    t.notMatch(`${text}${JSON.stringify(json)}`, /not_flagged|evaluated/)
  })
}

function checkStart(t: Test, message: Json): void {
  checkMembers(t, message, ['id', 'type', 'role', 'model', 'content', 'usage'])
  t.match(message, { id: /^msg_\w+/, type: 'message', role: 'assistant', model: MODEL })
  t.same(message['content'], [])
  checkUsage(t, message['usage'] as Json)
}

function checkUsage(t: Test, usage: Json): void {
  checkMembers(t, usage, [
    'input_tokens',
    'output_tokens',
    'cache_creation_input_tokens',
    'cache_read_input_tokens'
  ])
  t.ok(Number(usage['input_tokens']) > 0)
}

function checkMembers(t: Test, json: Json, names: readonly string[]): void {
  for (const name of names) t.ok(name in json, `has ${name}`)
}
