import t from 'tap'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { inForm } from '../../src/kiro/conversation/ids.ts'
import { convert } from '../helper/convert.ts'
import { requestOptions } from '../helper/request-options.ts'

function inBothForms(dialect: DialectName, request: unknown) {
  const target = convert(dialect, request, { ...requestOptions(), form: 'target', owner: 'k' })
  const path = convert(dialect, request, { ...requestOptions(), form: 'path', owner: 'k' })
  return { target, path, ids: target.plan.ids }
}

const f = {
  name: 'f',
  description: 'F',
  input_schema: { type: 'object', properties: { x: { type: 'integer' } } }
}
const go = { role: 'user', content: 'go' }
const call = (id: string, x: number) => ({
  role: 'assistant',
  content: [{ type: 'tool_use', id, name: 'f', input: { x } }]
})
const result = (id: string, content: string) => ({
  role: 'user',
  content: [{ type: 'tool_result', tool_use_id: id, content }]
})
const agentRequest = (messages: readonly unknown[]) => ({
  model: 'claude-opus-4.5',
  max_tokens: 32_000,
  metadata: { user_id: '{"session_id":"k1"}' },
  tools: [f],
  messages
})

t.test('a turn lasts through all its rounds, and ends with what is typed', async (t) => {
  const first = inBothForms(
    'anthropic-messages',
    agentRequest([go, call('toolu_1', 1), result('toolu_1', 'one')])
  )
  const more = [call('toolu_2', 2), result('toolu_2', 'two')]
  const second = inBothForms(
    'anthropic-messages',
    agentRequest([go, call('toolu_1', 1), result('toolu_1', 'one'), ...more])
  )
  t.strictSame(second.ids, first.ids, 'one session, one turn')
  const third = inBothForms(
    'anthropic-messages',
    agentRequest([go, { role: 'assistant', content: 'done' }, { role: 'user', content: 'and now' }])
  )
  t.equal(third.ids.conversation, first.ids.conversation)
  t.not(third.ids.turn, first.ids.turn)
})

t.test('either form can be made of the other', async (t) => {
  const request = agentRequest([go, call('toolu_1', 1), result('toolu_1', 'one')])
  const { target, path, ids } = inBothForms('anthropic-messages', request)
  t.strictSame(inForm(path.payload, 'target', ids), target.payload)
  t.strictSame(inForm(target.payload, 'path', ids), path.payload)
  t.equal(inForm(path.payload, 'path', ids), path.payload)
})

t.test('no member of the target form is in the path form', async (t) => {
  const { path } = inBothForms('anthropic-messages', agentRequest([go]))
  t.strictSame(Object.keys(path.payload), ['conversationState'])
  const { conversationId, chatTriggerType, currentMessage, ...others } =
    path.payload.conversationState
  t.ok(conversationId && chatTriggerType && currentMessage)
  t.strictSame(others, {})
})
