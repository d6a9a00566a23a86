import t from 'tap'
import { encodeWithin } from '../../../src/dialects/request/payload-bytes.ts'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'

const Chars = 100_000
const needed = { type: 'room-needed' }

t.test(
  'a payload that escapes make too large is refused before any of it is written',
  async (t) => {
    let isWritten = false
    const { conversationState } = payloadOf('\u0001'.repeat(Chars))
    const toJSON = (): object => {
      isWritten = true
      return conversationState.currentMessage
    }
    const currentMessage = { ...conversationState.currentMessage, toJSON }
    const payload = { conversationState: { ...conversationState, currentMessage } }
    const bodyBytes = Chars * 6 // a control character is six bytes there, and has to be six of the payload
    t.notMatch(encodeWithin(payload, new Repairs(), { bodyBytes, roomBytes: 0 }), needed)
    t.ok(isWritten)
    isWritten = false
    const half = { bodyBytes: bodyBytes / 2, roomBytes: 0 }
    t.match(encodeWithin(payload, new Repairs(), half), needed)
    t.notOk(isWritten)
  }
)

t.test('and what fits is never refused for what is in it', async (t) => {
  const everyUnit = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit)).join('')
  for (const text of [
    everyUnit,
    '\ud83d\ude00'.repeat(Chars),
    '"\\\n\v\u007f\u0080'.repeat(Chars)
  ]) {
    const payload = payloadOf(text)
    const roomBytes = Buffer.byteLength(JSON.stringify(payload))
    const encoded = encodeWithin(payload, new Repairs(), { bodyBytes: roomBytes / 2, roomBytes })
    t.notMatch(encoded, needed)
  }
})

function payloadOf(content: string): UpstreamPayload {
  return {
    conversationState: {
      conversationId: '00000000-0000-4000-8000-000000000000',
      chatTriggerType: 'MANUAL',
      history: [],
      currentMessage: { userInputMessage: { content, modelId: 'auto', origin: 'AI_EDITOR' } }
    }
  }
}
