import type { Test } from 'tap'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { say } from '../helper/simulated-words.ts'
import { readSse } from '../helper/sse-messages.ts'
import { CHAT, chat } from './dialects.ts'
import { MODEL, type Stand } from './stand.ts'

type Json = Record<string, unknown>

/** Every member without which a client of Chat Completions loops, fails or loses calls. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const streamOf = async (prompt: string, more: Json = {}): Promise<string> =>
    (await stand.call(CHAT, { body: chat.ask(prompt, { stream: true, ...more }) })).text
  const tools = [chat.tool('get_weather'), chat.tool('get_time')]
  const calls = 'call tools get_weather with {"city":"Oslo"} and get_time with {"city":"Rome"}'

  for (const [what, text, finishReason] of [
    ['text', await streamOf('hi'), 'stop'],
    ['calls', await streamOf(calls, { tools }), 'tool_calls'],
    ['no words', await streamOf(`${say('')} sim:filtered`), 'content_filter'],
    ['an answer without closing events', await streamOf('sim:no-end'), 'length'],
    ['an answer cut by max_tokens', await streamOf('hi', { max_tokens: 5 }), 'length'],
    ['an answer cut by the model', await streamOf('sim:max-tokens'), 'length'],
    ['a full window', await streamOf('sim:context-full'), 'length'],
    ['a refusal', await streamOf('sim:filtered'), 'content_filter'],
    ['a stop string', await streamOf(say('abENDc'), { stop: ['END'] }), 'stop'],
    [
      'calls without their stop',
      await streamOf(`${calls} sim:tool-no-stop`, { tools }),
      'tool_calls'
    ],
    ['ghosts of calls', await streamOf(`${calls} sim:ghost-tool`, { tools }), 'tool_calls']
  ] as const) {
    t.test(what, async (t) => {
      const { messages } = readSse(text)
      t.equal(messages.at(-1)?.data, '[DONE]')
      const chunks = messages.slice(0, -1).map(({ data }) => JSON.parse(data) as Json)
      t.equal(new Set(chunks.map(({ id }) => id)).size, 1, 'one id')
      for (const chunk of chunks) {
        t.match(chunk, { id: /^chatcmpl-/, object: 'chat.completion.chunk', model: MODEL })
        t.type(chunk['created'], 'number')
        t.notOk('usage' in chunk && chunk['usage'] !== null, 'no usage unasked')
      }
      const stream = readOpenAiStream(text) // role first and once, calls with index, id and name
      t.equal(stream.finishReason, finishReason)
      t.equal(stream.deltas[0]?.['role'], 'assistant')
      if (finishReason === 'tool_calls') {
        t.match(stream.calls, [
          { id: /\w/, name: 'get_weather', json: '{"city":"Oslo"}' },
          { id: /\w/, name: 'get_time', json: '{"city":"Rome"}' }
        ])
        t.equal(new Set(stream.calls.map(({ id }) => id)).size, 2)
      }
    })
  }

  t.test('usage comes as the last chunk, without choices, where it is asked for', async (t) => {
    for (const include_usage of [true, false]) {
      const text = await streamOf('hi', { stream_options: { include_usage } })
      const { usage } = readOpenAiStream(text)
      if (!include_usage) t.equal(usage, null)
      else {
        const {
          prompt_tokens: prompt,
          completion_tokens: completion,
          total_tokens: total
        } = usage ?? {}
        t.ok(Number(prompt) > 0 && Number(completion) > 0)
        t.equal(total, Number(prompt) + Number(completion))
        const last = readSse(text).messages.at(-2)?.data ?? ''
        t.same((JSON.parse(last) as Json)['choices'], [])
      }
    }
  })

  t.test('in one piece: the same members', async (t) => {
    for (const [prompt, finishReason] of [
      ['hi', 'stop'],
      [calls, 'tool_calls'],
      ['sim:no-end', 'length']
    ] as const) {
      const { json } = await stand.call(CHAT, { body: chat.ask(prompt, { tools }) })
      t.match(json, {
        id: /^chatcmpl-/,
        object: 'chat.completion',
        created: Number,
        model: MODEL,
        choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: finishReason }],
        usage: { prompt_tokens: Number, completion_tokens: Number, total_tokens: Number }
      })
      const [choice = {}] = json['choices'] as Json[]
      t.ok('content' in (choice['message'] as Json))
    }
  })
}
