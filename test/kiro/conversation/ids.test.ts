import t from 'tap'
import { conversationIdsOf, type IdSource, inForm } from '../../../src/kiro/conversation/ids.ts'
import { type Message, textMessage } from '../../../src/kiro/wire/message.ts'

function idsOf(messages: readonly Message[], changes: Partial<IdSource> = {}) {
  const conversation = {
    systemParts: ['Be terse.'],
    instructions: [],
    messages,
    tools: [],
    toolChoice: { type: 'auto' }
  } as const
  return conversationIdsOf({ conversation, modelId: 'auto', sessionKey: 'k1', ...changes })
}

const typed = (text: string): Message => textMessage('user', text)
const said: Message = {
  ...textMessage('assistant', ''),
  toolCalls: [{ id: 'c1', name: 'f', input: {} }]
}
const results = (text = ''): Message => ({
  ...textMessage('user', text),
  toolResults: [{ id: 'c1', text: 'one', isError: false }]
})

t.test('one session has one id, whatever is said in it', async (t) => {
  const first = idsOf([typed('go')])
  t.same(idsOf([typed('go')]), first, 'the same in every process')
  t.equal(idsOf([typed('other')]).conversation, first.conversation)
  t.equal(first.root, first.conversation)
  t.not(idsOf([typed('go')], { sessionKey: 'k2' }).conversation, first.conversation)
  t.not(idsOf([typed('go')], { owner: 'b' }).conversation, first.conversation)
  t.not(first.conversation, 'k1', 'never the id of the client')
})

t.test('without a key of the session its beginning counts', async (t) => {
  const unnamed = { sessionKey: undefined }
  const first = idsOf([typed('go')], unnamed)
  t.equal(idsOf([typed('go'), said, results()], unnamed).conversation, first.conversation)
  t.not(idsOf([typed('stop')], unnamed).conversation, first.conversation)
  const shown = (bytes: string): Message => ({
    ...typed(''),
    images: [{ format: 'png', source: { bytes } }]
  })
  const ofImage = idsOf([shown('iVBORw0KGgo=')], unnamed)
  const grown = idsOf([shown('iVBORw0KGgo='), said, results(), typed('What is it?')], unnamed)
  t.equal(grown.conversation, ofImage.conversation, 'an image without words tells, too')
  t.not(idsOf([shown('iVBORw0KGgoA')], unnamed).conversation, ofImage.conversation)
  t.not(idsOf([typed('go')], { ...unnamed, modelId: 'b' }).conversation, first.conversation)
  t.not(idsOf([results()], unnamed).conversation, idsOf([results()], unnamed).conversation)
})

t.test('a sub-agent has an id of its own and that of its parent', async (t) => {
  const parent = idsOf([typed('go')])
  const agent = idsOf([typed('look')], { agentKey: 'a7' })
  t.equal(agent.root, parent.root)
  t.not(agent.conversation, parent.conversation)
  t.equal(idsOf([typed('more')], { agentKey: 'a7' }).conversation, agent.conversation)
  t.not(idsOf([typed('look')], { agentKey: 'a8' }).conversation, agent.conversation)
  t.not(agent.turn, idsOf([typed('look')]).turn)

  const message = { content: 'look', modelId: 'auto', origin: 'AI_EDITOR' } as const
  const path = {
    conversationState: {
      conversationId: agent.conversation,
      chatTriggerType: 'MANUAL',
      currentMessage: { userInputMessage: message }
    }
  } as const
  t.match(inForm(path, 'target', agent), {
    agentMode: 'general-task-execution',
    conversationState: {
      conversationId: agent.conversation,
      rootConversationId: `sess_${parent.root}`,
      agentContinuationId: agent.turn
    }
  })
})

t.test('a turn lasts until something is typed', async (t) => {
  const { turn } = idsOf([typed('go')])
  t.equal(idsOf([typed('go'), said, results()]).turn, turn, 'results of tools')
  t.equal(idsOf([typed('go'), said, results('a reminder')]).turn, turn, 'words beside results')
  const notification = typed('<subagent_notification>{"id":1}</subagent_notification>')
  t.equal(idsOf([typed('go'), said, results(), notification]).turn, turn, 'what Codex adds')
  t.not(idsOf([typed('go'), said, results(), typed('and now')]).turn, turn)
  const repeated = idsOf([typed('go'), textMessage('assistant', 'done'), typed('go')])
  t.not(repeated.turn, turn, 'the same words again are another turn')
  t.not(idsOf([typed('go'), notification]).turn, turn, 'what follows no result was typed')
})
