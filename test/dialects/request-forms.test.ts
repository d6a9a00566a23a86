import t from 'tap'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { inForm } from '../../src/kiro/conversation/ids.ts'
import { convert } from '../helper/convert.ts'
import { requestOptions } from '../helper/request-options.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

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

const said = (content: string, id: string, x: number) => ({
  assistantResponseMessage: { content, toolUses: [{ toolUseId: id, name: 'f', input: { x } }] }
})
const user = (content: string, context: object = {}) => ({
  userInputMessage: { content, modelId: 'claude-opus-4.5', origin: 'AI_EDITOR', ...context }
})

t.test('A39. Text in both forms', async (t) => {
  const { target, path, ids } = inBothForms('openai-chat', {
    model: 'claude-opus-4.5',
    prompt_cache_key: 'k1',
    stream: true,
    messages: [
      { role: 'system', content: 'Be terse.' },
      { role: 'user', content: 'Hi' }
    ]
  })
  const currentMessage = {
    userInputMessage: {
      content: 'Be terse.\n\nHi',
      modelId: 'claude-opus-4.5',
      origin: 'AI_EDITOR'
    }
  }
  t.strictSame(target.payload, {
    agentMode: 'vibe',
    conversationState: {
      conversationId: `sess_${ids.root}`,
      rootConversationId: `sess_${ids.root}`,
      agentContinuationId: ids.turn,
      agentTaskType: 'vibe',
      chatTriggerType: 'MANUAL',
      currentMessage
    }
  })
  t.strictSame(path.payload, {
    conversationState: { conversationId: ids.root, chatTriggerType: 'MANUAL', currentMessage }
  })
  for (const id of [ids.root, ids.turn]) t.match(id, UUID)
})

t.test('A40. Tool results in both forms, and one round later', async (t) => {
  const first = inBothForms(
    'anthropic-messages',
    agentRequest([go, call('toolu_1', 1), result('toolu_1', 'one')])
  )
  const toolResults = [{ toolUseId: 'toolu_1', content: [{ text: 'one' }], status: 'success' }]
  t.strictSame(first.target.history, [user('go'), said('', 'toolu_1', 1)])
  t.equal(first.target.current.content, '')
  t.strictSame(first.target.toolResults, toolResults)
  t.strictSame(first.path.history, [user('go'), said(' ', 'toolu_1', 1)])
  t.equal(first.path.current.content, 'Continue.')

  const more = [call('toolu_2', 2), result('toolu_2', 'two')]
  const second = inBothForms(
    'anthropic-messages',
    agentRequest([go, call('toolu_1', 1), result('toolu_1', 'one'), ...more])
  )
  const context = { userInputMessageContext: { toolResults } }
  t.strictSame(second.target.history.slice(2), [user('', context), said('', 'toolu_2', 2)])
  t.strictSame(second.path.history.slice(2), [user('Continue.', context), said(' ', 'toolu_2', 2)])
  t.strictSame(second.ids, first.ids, 'one session, one turn')

  const third = inBothForms(
    'anthropic-messages',
    agentRequest([go, { role: 'assistant', content: 'done' }, { role: 'user', content: 'and now' }])
  )
  t.equal(third.ids.conversation, first.ids.conversation)
  t.not(third.ids.turn, first.ids.turn, 'what is typed begins another turn')
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
