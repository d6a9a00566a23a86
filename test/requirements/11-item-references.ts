import type { Test } from 'tap'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { RESPONSES, responses } from './dialects.ts'
import { MODEL, type Stand, THINKING_MODEL } from './stand.ts'

type Json = Record<string, unknown>

const user = (content: string) => ({ role: 'user', content })

/** Items of earlier answers by id, whichever worker is asked; what is not kept is refused clearly. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const outputOf = async (body: object, stream: boolean): Promise<readonly Json[]> => {
    const { json, text } = await stand
      .call(RESPONSES, { body: { ...body, stream } })
      .then((answer) => ({ text: answer.text, json: stream ? {} : answer.json }))
    return stream ? readResponsesStream(text).output : (json['output'] as Json[])
  }

  for (const stream of [false, true]) {
    t.test(
      `an answer ${stream ? 'from a stream' : 'in one piece'} is known to both workers`,
      async (t) => {
        const body = responses.ask('sim:say="the word is heliotrope"')
        const [item = {}] = await outputOf(body, stream)
        const reference = { type: 'item_reference', id: item['id'] }
        for (let round = 0; round < 4; round++) {
          const input = [user('what is the word?'), reference, user('are you sure?')]
          const { status, text } = await stand.call(RESPONSES, {
            body: { model: MODEL, input, store: false }
          })
          t.equal(status, 200, text.slice(0, 300))
          const [, said] = stand.lastSent.conversationState.history ?? []
          t.match(said, { assistantResponseMessage: { content: 'the word is heliotrope' } })
        }
      }
    )
  }

  t.test('reasoning and calls by reference', async (t) => {
    const tools = [responses.tool('get_weather')]
    const body = responses.ask('use tool get_weather with {"city":"Oslo"}', {
      model: THINKING_MODEL,
      reasoning: { effort: 'low', summary: 'auto' },
      tools
    })
    const output = await outputOf(body, true)
    t.same(
      output.map((item) => item['type']),
      ['reasoning', 'message', 'function_call']
    )
    const { call_id } = output.at(-1) ?? {}
    const references = output.map(({ id }) => ({ type: 'item_reference', id }))
    const result = { type: 'function_call_output', call_id, output: '7 degrees' }
    const { status } = await stand.call(RESPONSES, {
      body: { model: THINKING_MODEL, tools, input: [user('weather?'), ...references, result] }
    })
    t.equal(status, 200)
    t.match(stand.lastSent.conversationState.history?.at(-1), {
      assistantResponseMessage: { toolUses: [{ name: 'get_weather', input: { city: 'Oslo' } }] }
    })
  })

  t.test('what is not kept is refused, and says what to do', async (t) => {
    const [unkept = {}] = await outputOf(responses.ask('hi', { store: false }), false)
    for (const id of [unkept['id'], `msg_${'0'.repeat(32)}`, '../../etc/passwd']) {
      const input = [user('a'), { type: 'item_reference', id }, user('b')]
      const { status, json } = await stand.call(RESPONSES, { body: { model: MODEL, input } })
      t.equal(status, 400)
      t.match(json, { error: { param: 'input[1].id', message: /not found.*send the item itself/ } })
    }
    for (const stream of [false, true]) {
      const previous = await stand.call(RESPONSES, {
        body: responses.ask('hi', { stream, previous_response_id: `resp_${'0'.repeat(32)}` })
      })
      t.equal(previous.status, 400)
      t.match(previous.json, { error: { code: 'previous_response_not_found' } })
    }
  })
}
