import type { Test } from 'tap'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { say } from '../helper/simulated-words.ts'
import { readSse } from '../helper/sse-messages.ts'
import { RESPONSES, responses } from './dialects.ts'
import { LATE, MODEL, type Stand, THINKING_MODEL } from './stand.ts'

type Json = Record<string, unknown>

/** Every member without which a client of Responses loops, fails or loses calls. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const streamOf = async (prompt: string, more: Json = {}): Promise<string> =>
    (await stand.call(RESPONSES, { body: responses.ask(prompt, { stream: true, ...more }) })).text
  const tools = [responses.tool('get_weather'), responses.tool('get_time')]
  const calls = 'call tools get_weather with {"city":"Oslo"} and get_time with {"city":"Rome"}'
  const thinking = { model: THINKING_MODEL, reasoning: { effort: 'low', summary: 'auto' } }

  for (const [what, text, status] of [
    ['text', await streamOf('hi sim:gap=20'), 'completed'],
    ['calls', await streamOf(calls, { tools }), 'completed'],
    ['reasoning before calls', await streamOf(calls, { ...thinking, tools }), 'completed'],
    ['no words', await streamOf(`${say('')} sim:filtered`), 'incomplete'],
    ['an answer without closing events', await streamOf('sim:no-end'), 'incomplete'],
    ['an answer cut by its limit', await streamOf('hi', { max_output_tokens: 5 }), 'incomplete'],
    ['an answer cut by the model', await streamOf('sim:max-tokens'), 'incomplete'],
    ['a refusal', await streamOf('sim:filtered'), 'incomplete'],
    [
      'calls without their stop',
      await streamOf(`${calls} sim:tool-no-stop`, { tools }),
      'completed'
    ]
  ] as const) {
    t.test(what, async (t) => {
      const events = readSse(text).messages.map(({ data }) => JSON.parse(data) as Json)
      t.same(
        events.map((event) => event['sequence_number']),
        [...events.keys()]
      )
      const { response, output, types } = readResponsesStream(text)
      t.same(types.slice(0, 2), ['response.created', 'response.in_progress'])
      t.equal(types.at(-1), `response.${status}`)
      checkResponse(t, response, status)
      const done = events.filter(({ type }) => type === 'response.output_item.done')
      const added = events.filter(({ type }) => type === 'response.output_item.added')
      t.equal(added.length, output.length)
      if (status === 'completed') t.equal(done.length, output.length)
      for (const event of events) {
        if (!String(event['type']).startsWith('response.output_')) continue
        t.type(event['output_index'], 'number', String(event['type']))
      }
      for (const item of output) checkItem(t, item)
      if (what.includes('calls')) {
        const found = output.filter((item) => item['type'] === 'function_call')
        t.same(
          found.map((item) => item['arguments']),
          ['{"city":"Oslo"}', '{"city":"Rome"}']
        )
        t.ok(types.includes('response.function_call_arguments.delta'))
        t.ok(types.includes('response.function_call_arguments.done'))
      }
      if (what === 'text')
        t.ok(types.filter((type) => type === 'response.output_text.delta').length > 3)
    })
  }

  t.test('in one piece: the same members', async (t) => {
    for (const prompt of ['hi', calls, 'sim:no-end']) {
      const { json } = await stand.call(RESPONSES, { body: responses.ask(prompt, { tools }) })
      checkResponse(t, json, prompt === 'sim:no-end' ? 'incomplete' : 'completed')
      for (const item of json['output'] as Json[]) checkItem(t, item)
    }
  })

  t.test('a failure is response.failed, and its error says what clients act on', async (t) => {
    for (const [prompt, code] of [
      ['sim:exception-mid', 'server_error'],
      ['sim:error-mid', 'server_error'],
      ['sim:reset', 'server_error'],
      ['sim:fin', 'server_error'],
      [`${LATE} sim:throttled=2`, 'rate_limit_exceeded']
    ] as const) {
      const body = responses.ask(prompt, { stream: true })
      const { text } = await stand.talkative.call(RESPONSES, { body })
      const { response, types } = readResponsesStream(text)
      t.equal(types.at(-1), 'response.failed', prompt)
      t.match(response, { status: 'failed', error: { code, message: /\w/ } })
      if (code === 'rate_limit_exceeded') t.match(response['error'], { message: /try again in 2s/ })
    }
  })
}

function checkResponse(t: Test, response: Json, status: string): void {
  t.match(response, {
    id: /^resp_[0-9a-f]{32}$/,
    object: 'response',
    created_at: Number,
    status,
    model: /^claude/,
    output: Array,
    usage: {
      input_tokens: Number,
      input_tokens_details: { cached_tokens: Number },
      output_tokens: Number,
      output_tokens_details: { reasoning_tokens: Number },
      total_tokens: Number
    }
  })
  t.ok(Number((response['usage'] as Json)['input_tokens']) > 0)
  t.notOk(response['model'] !== MODEL && response['model'] !== THINKING_MODEL)
}

function checkItem(t: Test, item: Json): void {
  t.match(item, { id: /^(?:msg|fc|rs)_[0-9a-f]{32}$/ })
  if (item['type'] !== 'reasoning') t.match(item, { status: /^(?:completed|incomplete)$/ })
  if (item['type'] === 'message') {
    t.match(item, { role: 'assistant', content: [{ type: 'output_text', annotations: [] }] })
  }
  if (item['type'] === 'function_call')
    t.match(item, { call_id: /\w/, name: /\w/, arguments: /^\{/ })
}
