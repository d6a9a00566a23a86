import t from 'tap'
import { viewRequest, type RequestView } from '../../src/simulator/request-view.ts'
import { checkReplay, signerFor } from '../strict-simulator/signatures.ts'
import { growthOf } from '../helper/growth.ts'

const ACCOUNT = 'account'

const userEntry = (text: string) => ({
  userInputMessage: { content: text, modelId: 'claude-opus-5', origin: 'AI_EDITOR' }
})

function viewOf(history: readonly object[]): RequestView {
  const currentMessage = userEntry('And now?')
  return viewRequest({ conversationState: { history, currentMessage } }, 'path')
}

/** A conversation in which every answer was thought about. */
function thoughtAbout(answers: number): RequestView {
  const history = Array.from({ length: answers }, (_, index) => [
    userEntry(`${index} ${'word '.repeat(20)}`),
    { assistantResponseMessage: { content: 'Yes.' } }
  ])
  return viewOf(history.flat())
}

/** The same with the signatures that the simulator has given for it. */
function signed(view: RequestView): RequestView {
  const turns = [...view.history]
  for (const [index, turn] of turns.entries()) {
    const current = turns[index - 1]
    if (turn.role !== 'assistant' || current?.role !== 'user') continue
    const sign = signerFor({ ...view, history: turns.slice(0, index - 1), current }, ACCOUNT)
    const reasoningText = { text: 'hm', signature: sign('hm') }
    turns[index] = { ...turn, message: { ...turn.message, reasoningContent: { reasoningText } } }
  }
  return { ...view, history: turns }
}

t.test('what was signed comes back, unless something before it has changed', async (t) => {
  const view = signed(thoughtAbout(3))
  t.equal(checkReplay(view, 'claude-opus-5', ACCOUNT), null)
  t.match(checkReplay(view, 'claude-opus-5', 'another'), { reason: 'THINKING_SIGNATURE_INVALID' })
  t.equal(checkReplay(view, 'gpt-5.6-sol', 'another'), null, 'nobody looks at those of others')
  const { history } = view
  const changed = history.map((turn, index) => (index === 2 ? { ...turn, content: 'x' } : turn))
  t.match(checkReplay({ ...view, history: changed }, 'claude-opus-5', ACCOUNT), {
    message: /^messages\.3\..* is bound to a different conversation$/
  })
})

t.test('a conversation of many thoughts is checked in time that grows with it', async (t) => {
  const growth = growthOf((kb) => {
    const view = signed(thoughtAbout(kb * 2))
    return () => {
      checkReplay(view, 'claude-opus-5', ACCOUNT)
    }
  })
  t.ok(growth.isLinear, growth.told)
})
