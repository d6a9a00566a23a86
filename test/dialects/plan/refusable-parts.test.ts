import t from 'tap'
import { refusablePartsOf } from '../../../src/dialects/plan/plan.ts'
import {
  ConversationMemory,
  type ConversationParts
} from '../../../src/kiro/conversation/conversation-memory.ts'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'

const NOTHING: ConversationParts = { conversationId: 'c', hashes: [] }

const entry = (index: number) => ({
  assistantResponseMessage: {
    content: 'a',
    reasoningContent: { reasoningText: { text: '', signature: `signature ${index}` } }
  }
})

const partsAt = (from: number, to: number) => {
  const history = Array.from({ length: to - from }, (_, index) => entry(from + index))
  const payload: UpstreamPayload = {
    conversationState: {
      conversationId: 'c',
      chatTriggerType: 'MANUAL',
      history,
      currentMessage: { userInputMessage: { content: '', modelId: 'm', origin: 'AI_EDITOR' } }
    }
  }
  return refusablePartsOf(payload, 'c').replay ?? NOTHING
}

t.test('a refusal is known again however long the conversation becomes', async (t) => {
  const memory = new ConversationMemory()
  memory.learn(partsAt(0, 100))
  t.equal(partsAt(0, 100).hashes.length, 64)
  t.ok(memory.has(partsAt(0, 1000)), 'the first is still there')
  t.ok(memory.has(partsAt(50, 110)), 'so are some of the newest')
  t.notOk(memory.has(partsAt(100, 200)), 'all are gone')
})
