import type { Test } from 'tap'
import { next, say } from '../helper/simulated-words.ts'
import { type Api, APIS, chat, messages, responses, type Said } from './dialects.ts'
import type { Stand } from './stand.ts'

type Json = Record<string, unknown>

const SCHEMA = {
  type: 'object',
  properties: { title: { type: 'string' } },
  required: ['title'],
  additionalProperties: false
}

/** How each API says it. */
const WORDS: ReadonlyMap<
  Api,
  {
    readonly any: readonly unknown[]
    readonly named: readonly unknown[]
    readonly none: unknown
    readonly schema: readonly Json[]
  }
> = new Map([
  [
    chat,
    {
      any: ['required', 'any'],
      named: [{ type: 'function', function: { name: 'second' } }],
      none: 'none',
      schema: [
        {
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'title', strict: true, schema: SCHEMA }
          }
        }
      ]
    }
  ],
  [
    responses,
    {
      any: ['required', { type: 'required' }],
      named: [{ type: 'function', name: 'second' }],
      none: 'none',
      schema: [
        { text: { format: { type: 'json_schema', strict: true, name: 'title', schema: SCHEMA } } }
      ]
    }
  ],
  [
    messages,
    {
      any: [{ type: 'any' }, { type: 'any', disable_parallel_tool_use: true }],
      named: [{ type: 'tool', name: 'second' }],
      none: { type: 'none' },
      schema: [
        { output_config: { format: { type: 'json_schema', schema: SCHEMA } } },
        { output_format: { type: 'json_schema', schema: SCHEMA } }
      ]
    }
  ]
])

/** Whoever must call a tool, or answer in JSON, does; whoever must not call one does not. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    const words = WORDS.get(api)
    if (words === undefined) throw new Error('an API without words')
    const tools = [api.tool('first'), api.tool('second')]
    for (const stream of [false, true]) {
      const ask = async (t: Test, prompt: string, more: Json): Promise<Said> => {
        const answer = await stand.call(api.path, { body: api.ask(prompt, { stream, ...more }) })
        t.equal(answer.status, 200, answer.text.slice(0, 300))
        return stream ? api.readStream(answer.text) : api.readWhole(answer.json)
      }
      const second = 'use tool second with {"city":"Oslo"}'
      const call = { name: 'second', input: { city: 'Oslo' } }

      t.test(`${api.path}${stream ? ', streamed' : ''}`, async (t) => {
        t.test('one of the tools, even if the model would rather talk', async (t) => {
          for (const tool_choice of words.any) {
            for (const prompt of [second, `${say('No.')} ${next(second)}`]) {
              const said = await ask(t, prompt, { tools, tool_choice })
              t.same(said.calls, [call])
              t.notMatch(said.text, /No\./, 'the refusal is not part of the answer')
            }
          }
        })

        t.test('that very tool, even if the model would rather call another', async (t) => {
          const other = `use tool first with {"city":"Rome"} ${next(second)}`
          for (const tool_choice of words.named) {
            for (const prompt of [second, `${say('No.')} ${next(second)}`, other]) {
              t.same((await ask(t, prompt, { tools, tool_choice })).calls, [call])
            }
          }
        })

        t.test('no tool', async (t) => {
          const said = await ask(t, second, { tools, tool_choice: words.none })
          t.same(said.calls, [])
          t.match(said.text, /\w/)
        })

        t.test('JSON, also from a simulator that was told nothing', async (t) => {
          for (const schema of words.schema) {
            const { text } = await ask(t, 'A name for this session, please.', schema)
            t.same(JSON.parse(text), { title: 'sample' })
          }
        })

        t.test('JSON that fits the schema', async (t) => {
          for (const schema of words.schema) {
            for (const prompt of [
              say('{"title":"A tale"}'),
              say('```json\n{"title":"A tale"}\n```'),
              `${say('A tale')} ${next(say('{"title":"A tale"}'))}`,
              `${say('{"name":"A tale"}')} ${next(say('{"title":"A tale"}'))}`
            ]) {
              const { text, calls } = await ask(t, prompt, schema)
              t.same(JSON.parse(text), { title: 'A tale' })
              t.same(calls, [])
            }
          }
        })
      })
    }

    t.test(`${api.path}: what can't be had is an error, not something else`, async (t) => {
      const stubborn = `${say('No.')} ${next(say('Never.'))}`
      const [tool_choice] = words.any
      for (const more of [{ tools, tool_choice }, ...words.schema]) {
        const { status, headers, text } = await stand.call(api.path, {
          body: api.ask(stubborn, more)
        })
        t.equal(status, 502, text.slice(0, 200))
        t.equal(headers['x-should-retry'], 'false')
      }
    })
  }
}
