import t from 'tap'
import { encodePayload, encodeWithin } from '../../../src/dialects/request/payload-bytes.ts'
import { writePieces } from '../../../src/dialects/request/payload-pieces.ts'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'
import type { HistoryEntry, UpstreamPayload } from '../../../src/kiro/wire/payload.ts'
import { ownsMemory } from '../../../src/shared/own-memory.ts'

const everyUnit = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit)).join('')
const texts = [
  '',
  'plain',
  'ümlauts',
  '\ud83d\ude00',
  'half \ud83d',
  '"\\\n\u0001\u2028',
  '\\ud800',
  everyUnit
]

function payloadOf(history: readonly HistoryEntry[] | undefined, content: string): UpstreamPayload {
  return {
    agentMode: 'vibe',
    conversationState: {
      conversationId: 'id',
      chatTriggerType: 'MANUAL',
      ...(history !== undefined && { history }),
      currentMessage: { userInputMessage: { content, modelId: 'auto', origin: 'AI_EDITOR' } }
    },
    additionalModelRequestFields: { output: { effort: 'high' }, list: [1, null, true] }
  }
}

function historyOf(content: string): HistoryEntry[] {
  return [
    { userInputMessage: { content, modelId: 'auto', origin: 'AI_EDITOR' } },
    { assistantResponseMessage: { content, toolUses: [] } }
  ]
}

t.test('pieces are the text of JSON.stringify()', async (t) => {
  for (const content of texts) {
    for (const history of [undefined, [], historyOf(content)]) {
      const payload = payloadOf(history, content)
      const json = JSON.stringify(payload)
      const text = writePieces(payload, 2_000_000)
      t.equal(text?.bytes.toString(), json)
      t.equal(text?.chars, json.length)
      t.equal(text?.maySplit, json.includes('\\ud'))
      t.ok(text !== null && ownsMemory(text.bytes), 'and can be moved out of a thread')
    }
  }
  const left = { ...payloadOf([], 'a'), agentMode: undefined } as unknown as UpstreamPayload
  t.equal(writePieces(left, 1000)?.bytes.toString(), JSON.stringify(left))
})

t.test('what takes more room is not written', async (t) => {
  for (const content of texts) {
    const payload = payloadOf(historyOf(content), content)
    const bytes = Buffer.byteLength(JSON.stringify(payload))
    t.equal(writePieces(payload, bytes)?.bytes.byteLength, bytes)
    t.equal(writePieces(payload, bytes - 1), null)
  }
})

t.test('a large payload is written as a small one', async (t) => {
  for (const content of texts) {
    const payload = payloadOf(historyOf(content), content)
    const repairs = [new Repairs(), new Repairs()] as const
    const whole = encodePayload(payload, repairs[0])
    const pieces = encodeWithin(payload, repairs[1], { bodyBytes: 2_000_000, roomBytes: Infinity })
    t.same(pieces, whole)
    t.same(repairs[1].codes, repairs[0].codes)
  }
})
