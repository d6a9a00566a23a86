import t from 'tap'
import { encodePayload } from '../../../src/dialects/request/payload-bytes.ts'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'
import {
  dropFields,
  reformPayload,
  stripReasoning,
  trimPayload
} from '../../../src/server/ask/change-payload.ts'
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
      return { bytes: new Uint8Array(bytes), tokens: 1, weight: 1 }
    }
  }
  return { payload, transforms, rewrites }
}

const plan = { inputTokens: 10, contextWindow: 100, ids: {} } as never

t.test('changes of a request that was refused', async (t) => {
  t.test('have their memory set aside before it is read', async (t) => {
    const { payload, transforms, rewrites } = setUp({ isFull: false })
    await stripReasoning(transforms, payload, owner)
    await stripReasoning(transforms, payload, owner)
    await dropFields(transforms, payload, ['thinking'], owner)
    await dropFields(transforms, payload, ['max_tokens'], owner)
    await trimPayload(transforms, payload, plan, owner)
    await reformPayload(transforms, payload, plan, { form: 'target', owner })
    t.same(rewrites, ['reasoning', 'fields', 'fields', 'trim', 'form'])
    t.same([...payload.droppedFields], ['thinking', 'max_tokens'])
  })

  t.test('are refused where there is none, and nothing is read', async (t) => {
    const { payload, transforms, rewrites } = setUp({ isFull: true })
    await t.rejects(stripReasoning(transforms, payload, owner), { code: 'GW_MEMORY_FULL' })
    await t.rejects(dropFields(transforms, payload, ['thinking'], owner), {
      code: 'GW_MEMORY_FULL'
    })
    t.same(rewrites, [])
    t.equal(payload.has('reasoning-refused'), false)
  })
})
