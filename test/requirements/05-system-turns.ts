import type { Test } from 'tap'
import { CHAT, MESSAGES, RESPONSES } from './dialects.ts'
import { MODEL, type Stand } from './stand.ts'

const TEXT = '# Environment\nYou have been invoked in the following environment.'

/**
 * System turns anywhere: their words reach the model. In front they are the system text, further down they stay where
 * they are, so that the bytes in front of them stay the same.
 */
export async function check(t: Test, stand: Stand): Promise<void> {
  const assistant = { role: 'assistant', content: 'Yes.' }
  const list = [{ type: 'text', text: TEXT, cache_control: { type: 'ephemeral' } }]

  const checkSent = async (t: Test, path: string, body: object, index = 0): Promise<void> => {
    for (const stream of [false, true]) {
      const { status, text } = await stand.call(path, { body: { model: MODEL, stream, ...body } })
      t.equal(status, 200, text.slice(0, 300))
      const { history = [], currentMessage } = stand.lastSent.conversationState
      const turn = [...history, currentMessage][index]
      t.ok(turn !== undefined && 'userInputMessage' in turn)
      t.ok(JSON.stringify(turn).includes(JSON.stringify(TEXT).slice(1, -1)), 'in its place')
      t.equal(JSON.stringify(stand.lastSent).split('# Environment').length, 2, 'said once')
    }
  }

  for (const [what, system] of [
    ['a string', { role: 'system', content: TEXT }],
    ['a list', { role: 'system', content: list }],
    ['with output_config', { role: 'system', content: TEXT, output_config: { effort: 'low' } }],
    ['a developer', { role: 'developer', content: TEXT }]
  ] as const) {
    t.test(`Messages: ${what}`, async (t) => {
      for (const [where, turns, index] of [
        ['first', [system, user('one')], 0],
        ['second, as Claude Code has it', [user('one'), system, assistant, user('two')], 0],
        ['between an answer and a question', [user('one'), assistant, system, user('two')], 2],
        ['last', [user('one'), system], 0]
      ] as const) {
        t.test(where, (t) => checkSent(t, MESSAGES, { max_tokens: 100, messages: turns }, index))
      }
    })
  }

  t.test('Messages: between a call and its result', async (t) => {
    const body = {
      max_tokens: 100,
      tools: [{ name: 'Bash', input_schema: { type: 'object', properties: {} } }],
      messages: [
        user('one'),
        { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'Bash', input: {} }] },
        { role: 'system', content: TEXT },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'ok' }] }
      ]
    }
    await checkSent(t, MESSAGES, body, 2)
    const { userInputMessage } = stand.lastSent.conversationState.currentMessage
    t.match(userInputMessage.userInputMessageContext?.toolResults, [{ toolUseId: 't1' }])
  })

  for (const role of ['system', 'developer']) {
    for (const content of [TEXT, [{ type: 'text', text: TEXT }]]) {
      t.test(`Chat Completions: ${role}, ${typeof content}`, async (t) => {
        const messages = [user('one'), { role, content }, assistant, user('two')]
        await checkSent(t, CHAT, { messages })
      })
    }
    for (const content of [TEXT, [{ type: 'input_text', text: TEXT }]]) {
      t.test(`Responses: ${role}, ${typeof content}`, async (t) => {
        const input = [user('one'), { type: 'message', role, content }, assistant, user('two')]
        await checkSent(t, RESPONSES, { input })
      })
    }
  }
}

function user(content: string) {
  return { role: 'user', content }
}
