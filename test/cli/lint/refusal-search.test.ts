import assert from 'node:assert/strict'
import t from 'tap'
import {
  type Found,
  RefusalSearch,
  RequestsSpent,
  type RefusalSearchResult,
  type CandidateVerdict
} from '../../../src/cli/lint/refusal-search.ts'
import { convertRequest, type DialectName, dialectOfBody } from '../../../src/dialects/dialect.ts'
import { RequestParts } from '../../../src/dialects/lint/request-parts.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import type { JsonObject } from '../../../src/shared/json.ts'
import { checkRequest } from '../../strict-simulator/request-rules.ts'
import * as fc from '../../helper/fast-check.ts'
import { simulatorOptions } from '../../helper/request-options.ts'

const options = simulatorOptions()

/** A rule that no table has: true for a request that breaks it. */
type HiddenRule = (payload: string) => boolean

interface Search {
  readonly rules: readonly HiddenRule[]
  /** Questions that may be asked. */
  readonly requests?: number
  /** Changes a verdict, by the number of its question. */
  readonly alter?: (verdict: CandidateVerdict, asked: number) => CandidateVerdict
}

async function search(body: JsonObject, { rules, requests = 60, alter = (one) => one }: Search) {
  const asked: string[] = []
  const dialect = dialectOfBody(body)
  const result = await new RefusalSearch({
    body,
    convert: (part) => payloadOf(part, dialect),
    ask: async ({ payload, label }) => {
      if (asked.length === requests) throw new RequestsSpent()
      asked.push(label)
      const text = Buffer.from(payload).toString()
      const view = checkRequest(JSON.parse(text), 'path')
      if ('status' in view) throw new Error(`${label} breaks a known rule: ${view.violation}`)
      return alter(rules.some((rule) => rule(text)) ? 'refused' : 'taken', asked.length)
    }
  }).run()
  return { result, asked }
}

function payloadOf(body: JsonObject, dialect: DialectName): Uint8Array | null {
  try {
    return convertRequest(dialect, Buffer.from(JSON.stringify(body)), options).payload
  } catch (cause) {
    if (cause instanceof GatewayError) return null
    throw cause
  }
}

const pointersOf = ({ parts }: Found): readonly string[] => parts.map(({ pointer }) => pointer)
const placesOf = ({ found }: RefusalSearchResult) => found.map(pointersOf)

const has =
  (...texts: readonly string[]): HiddenRule =>
  (payload) =>
    texts.every((text) => payload.includes(text))

const LINES = Array.from({ length: 40 }, (_, line) => `Line ${line} of what was found there.`)

function tool(index: number, more: JsonObject = {}): JsonObject {
  const properties = {
    path: { type: 'string', description: 'Where it is.' },
    limit: { type: 'integer', minimum: 1, ...more }
  }
  return {
    name: `tool_${index}`,
    description: `Does thing ${index}.`,
    input_schema: { type: 'object', properties, required: ['path', 'limit'] }
  }
}

/** A session of Messages with tools. */
function session({ turns = 20, tools = 20, words = new Map<number, string>() } = {}) {
  const messages = Array.from({ length: turns }, (_, turn) => {
    const id = `toolu_${turn}`
    const text = [...LINES.slice(0, 20), words.get(turn) ?? '', ...LINES.slice(20)].join('\n')
    return [
      {
        role: 'assistant',
        content: [
          { type: 'text', text: `I look at ${turn}.` },
          { type: 'tool_use', id, name: `tool_${turn % tools}`, input: { path: `/${turn}` } }
        ]
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: text }] }
    ]
  })
  return {
    model: 'claude-sonnet-4.6',
    max_tokens: 1000,
    metadata: { user_id: 'somebody' },
    system: [{ type: 'text', text: LINES.join('\n') }],
    tools: Array.from({ length: tools }, (_, index) => tool(index)),
    messages: [{ role: 'user', content: 'Look around.' }, ...messages.flat()]
  }
}

t.test('finds one stretch of a text in a long session', async (t) => {
  const body = session({ words: new Map([[13, 'the forbidden word']]) })
  const { result, asked } = await search(body, { rules: [has('forbidden')] })
  t.equal(result.end, 'complete')
  t.same(placesOf(result), [['/messages/28/content/0/content']])
  const [part = { pointer: '' }] = result.found[0]?.parts ?? []
  t.match(new RequestParts(body).valueOf(part), /forbidden/)
  t.ok(String(new RequestParts(body).valueOf(part)).length < 100)
  t.ok(asked.length <= 24, `${asked.length} requests: ${asked.join(', ')}`)
})

t.test('a member of the schema of one of 40 tools', async (t) => {
  const body = session({ tools: 40 })
  body.tools[33] = tool(33, { multipleOf: 5 })
  const { result, asked } = await search(body, { rules: [has('multipleOf')] })
  t.same(placesOf(result), [['/tools/33/input_schema/properties/limit/multipleOf']])
  t.ok(asked.length <= 18, `${asked.length} requests`)
})

t.test('two at once, each of which is refused alone', async (t) => {
  const body = session({ words: new Map([[7, 'forbidden']]) })
  body.tools[3] = tool(3, { multipleOf: 5 })
  const { result } = await search(body, { rules: [has('forbidden'), has('multipleOf')] })
  t.equal(result.end, 'complete')
  t.same(placesOf(result), [
    ['/tools/3/input_schema/properties/limit/multipleOf'],
    ['/messages/16/content/0/content']
  ])
})

t.test('parts that are refused together alone', async (t) => {
  const body = session({
    words: new Map([
      [4, 'first half'],
      [17, 'second half']
    ])
  })
  const { result } = await search(body, { rules: [has('first half', 'second half')] })
  t.same(placesOf(result), [['/messages/10/content/0/content', '/messages/36/content/0/content']])
})

t.test('what makes a part what it is: a name, an id', async (t) => {
  const body = session()
  body.tools[11] = { ...tool(11), name: 'tool_with_bad_name' }
  const named = await search(body, { rules: [has('"name":"tool_with_bad_name"')] })
  t.same(placesOf(named.result), [['/tools/11']])
  const called = await search(session(), { rules: [has('"toolUseId":"toolu_9"')] })
  t.same(placesOf(called.result), [['/messages/19/content/1']])
})

t.test('of Chat Completions and Responses', async (t) => {
  const chat = {
    model: 'claude-sonnet-4.6',
    reasoning_effort: 'high',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Look.' },
      ...Array.from({ length: 10 }, (_, turn) => [
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: `call_${turn}`,
              type: 'function',
              function: { name: 'look', arguments: JSON.stringify({ at: turn === 6 ? 'bad' : 1 }) }
            }
          ]
        },
        { role: 'tool', tool_call_id: `call_${turn}`, content: LINES.join('\n') }
      ]).flat()
    ],
    tools: [
      {
        type: 'function',
        function: { name: 'look', parameters: { type: 'object', properties: { at: {} } } }
      }
    ]
  }
  const inChat = await search(chat, { rules: [has('"at":"bad"')] })
  t.same(placesOf(inChat.result), [['/messages/14/tool_calls/0/function/arguments']])
  const responses = {
    model: 'claude-sonnet-4.6',
    instructions: 'Be brief.',
    input: [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Look.' }] },
      { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{"at":1}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'a bad output' },
      { type: 'message', role: 'user', content: 'And now?' }
    ],
    tools: [{ type: 'function', name: 'look', parameters: { type: 'object', properties: {} } }]
  }
  const inResponses = await search(responses, { rules: [has('a bad output')] })
  t.same(placesOf(inResponses.result), [['/input/2/output']])
})

const hasManyCalls: HiddenRule = (payload) => payload.split('toolUseId').length > 20

t.test('a limit that no part breaks alone', async (t) => {
  const { result, asked } = await search(session(), { rules: [hasManyCalls], requests: 12 })
  t.equal(result.end, 'unfinished')
  t.ok(result.smallest.length > 5, 'it tells how far it came')
  t.equal(asked.length, 12)
})

const MARKS = ['zq-one-zq', 'zq-two-zq', 'zq-three-zq']

t.test('finds the parts of any rule about words, wherever they stand', async () => {
  const places = fc.uniqueArray(fc.nat({ max: 59 }), { minLength: 1, maxLength: 3 })
  const sizes = { turns: fc.integer({ min: 1, max: 30 }), tools: fc.integer({ min: 1, max: 30 }) }
  await fc.assert(
    fc.asyncProperty(places, fc.record(sizes), async (chosen, { turns, tools }) => {
      const marks = MARKS.slice(0, chosen.length)
      const words = new Map<number, string>()
      const body = session({ turns, tools, words: new Map() })
      for (const [index, place] of chosen.entries()) {
        const mark = marks[index] ?? ''
        if (place % 2 === 0) words.set(place % turns, `${words.get(place % turns) ?? ''} ${mark}`)
        else {
          const tool: Record<string, unknown> | undefined = body.tools[place % tools]
          if (tool !== undefined) tool['description'] = `${String(tool['description'])} ${mark}`
        }
      }
      const { messages } = session({ turns, tools, words })
      const marked = { ...body, messages }
      const { result } = await search(marked, { rules: [has(...marks)], requests: 500 })
      assert.equal(result.end, 'complete')
      assert.equal(result.found.length, 1)
      const parts = new RequestParts(marked)
      const values = (result.found[0]?.parts ?? []).map((part) => String(parts.valueOf(part)))
      assert.ok(marks.every((mark) => values.join('').includes(mark)))
      assert.ok(values.length <= marks.length + 1, 'a mark may lie on a cut')
    }),
    { numRuns: 30 }
  )
})

t.test('the upstream before the parts', async (t) => {
  const down = await search(session(), { rules: [() => true] })
  t.match(down, { result: { end: 'greeting-refused' }, asked: ['a greeting alone'] })
  const well = await search(session(), { rules: [] })
  t.match(well.result, { end: 'taken', found: [] })
  t.equal(well.asked.length, 3, 'the whole is asked twice')
})

t.test('a refusal that comes and goes', async (t) => {
  const body = session({ words: new Map([[13, 'forbidden']]) })
  const rules = [has('forbidden')]
  const first = await search(body, { rules, alter: (one, n) => (n === 2 ? 'taken' : one) })
  t.equal(first.result.end, 'flaky')
  const whole = await search(body, { rules })
  const again = whole.asked.indexOf('the same once more') + 1
  const last = await search(body, { rules, alter: (one, n) => (n === again ? 'taken' : one) })
  t.match(last.result.found, [{ certainty: 'flaky' }])
})
