import t from 'tap'
import { MemoryBudget } from '../../../src/admission/memory-budget.ts'
import { encodePayload } from '../../../src/dialects/request/payload-bytes.ts'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'
import {
  changePayload,
  extendPayload,
  reformPayload
} from '../../../src/server/ask/change-payload.ts'
import { BodyMemory } from '../../../src/server/turn/body-memory.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { RequestPayload } from '../../../src/upstream/call/requests.ts'

const owner = { key: 'anna', signal: new AbortController().signal }
const conversation = {
  conversationState: {
    chatTriggerType: 'MANUAL',
    conversationId: 'c',
    currentMessage: { userInputMessage: { content: 'hi', modelId: 'auto', origin: 'AI_EDITOR' } },
    history: []
  },
  additionalModelRequestFields: { thinking: { type: 'adaptive' } }
}

function setUp(memory: { readonly isFull: boolean }) {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as much of one as is read here
  const { bytes } = encodePayload(conversation as never, new Repairs())
  const grown: number[] = []
  const payload = new RequestPayload({
    bytes,
    memory: {
      growTo: (size) => {
        grown.push(size)
        if (memory.isFull && size > bytes.byteLength) throw new GatewayError('GW_MEMORY_FULL')
      },
      shrinkTo: () => {},
      shrinkToKept: () => {}
    }
  })
  const rewrites: string[] = []
  const transforms = {
    rewrite: async (_: Uint8Array, { kind }: { readonly kind: string }) => {
      rewrites.push(kind)
      t.ok(
        (grown.at(-1) ?? 0) >= 2 * bytes.byteLength,
        'there is memory for both before it is read'
      )
      return { bytes: new Uint8Array(bytes), tokens: [1], weight: 1 }
    }
  }
  const change = (step: Readonly<Record<string, unknown>>) =>
    changePayload(
      { transforms } as never,
      { payload, plan, signal: owner.signal, waiter: { key: owner.key, arrivedAt: 0 } },
      step as never
    )
  return { payload, transforms, change, rewrites }
}

const plan = { inputTokens: 10, contextWindow: 100, ids: {} } as never

t.test('changes of a request that was refused', async (t) => {
  t.test('have their memory set aside before it is read', async (t) => {
    const { payload, transforms, change, rewrites } = setUp({ isFull: false })
    await change({ name: 'reasoning-refused' })
    await change({ name: 'reasoning-refused' })
    await change({ name: 'fields-refused', refused: ['thinking'] })
    await change({ name: 'fields-refused', refused: ['max_tokens'] })
    await change({ name: 'history-trimmed' })
    await reformPayload(transforms, payload, plan, { form: 'target', owner })
    t.same(rewrites, ['reasoning', 'fields', 'fields', 'trim', 'form'])
    t.same([...payload.droppedFields], ['thinking', 'max_tokens'])
  })

  t.test('are refused where there is none, and nothing is read', async (t) => {
    const { payload, change, rewrites } = setUp({ isFull: true })
    await t.rejects(change({ name: 'reasoning-refused' }), { code: 'GW_MEMORY_FULL' })
    await t.rejects(change({ name: 'fields-refused', refused: ['thinking'] }), {
      code: 'GW_MEMORY_FULL'
    })
    t.same(rewrites, [])
    t.equal(payload.has('reasoning-refused'), false)
  })
})

t.test(
  'a kept conversation takes no more memory after another round than its bytes do',
  async (t) => {
    const MIB = 2 ** 20
    const budget = new MemoryBudget(64 * MIB, 10)
    using memory = new BodyMemory({
      ...owner,
      budget,
      kept: new MemoryBudget(MIB, 0),
      smallLane: new MemoryBudget(MIB, 0),
      inlineMaxBytes: 1024,
      timeoutMs: 1000
    })
    await memory.reserve(4 * MIB)
    const payload = new RequestPayload({ bytes: new Uint8Array(4 * MIB), memory, isKept: true })
    const transforms = {
      rewrite: async () => ({ bytes: new Uint8Array(5 * MIB), tokens: [1], weight: 1 })
    }
    const followUp = {
      answer: { text: 'Let me see.', toolCalls: [] },
      reply: { text: 'Go on.', toolResults: [] }
    }
    await extendPayload(transforms, payload, followUp, owner)
    t.equal(budget.reservedBytes, 10 * MIB, 'and once more, for a copy')
  }
)
