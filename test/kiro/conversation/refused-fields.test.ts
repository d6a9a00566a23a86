import t from 'tap'
import {
  ConversationMemory,
  type ConversationParts,
  fieldsLesson,
  refusedPath,
  rememberedPaths,
  requestFieldsOf,
  withoutFields
} from '../../../src/kiro/conversation/conversation-memory.ts'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'

const claude = {
  thinking: { type: 'adaptive', display: 'summarized' },
  output_config: { effort: 'high' },
  max_tokens: 2000
}
const paths = [
  'thinking',
  'thinking.type',
  'thinking.display',
  'output_config',
  'output_config.effort',
  'max_tokens'
]

function payloadOf(fields?: Readonly<Record<string, unknown>>): UpstreamPayload {
  return {
    conversationState: {
      conversationId: 'c',
      chatTriggerType: 'MANUAL',
      currentMessage: { userInputMessage: { content: 'hi', modelId: 'm', origin: 'AI_EDITOR' } }
    },
    ...(fields !== undefined && { additionalModelRequestFields: fields })
  }
}

t.test('requestFieldsOf()', async (t) => {
  t.equal(requestFieldsOf(payloadOf()), undefined)
  t.same(requestFieldsOf(payloadOf(claude)), { paths, maxTokens: 2000 })
})

t.test('a refusal names a field, or none', async (t) => {
  const prefix = 'Invalid additionalModelRequestFields: '
  const isUndefined = 'is not defined in the schema'
  const cases: readonly (readonly [refusal: string, path: string | null])[] = [
    [`${prefix}property 'max_tokens' ${isUndefined}`, 'max_tokens'],
    [`${prefix}property 'thinking.display' ${isUndefined}`, 'thinking.display'],
    [`property 'display' ${isUndefined} and the schema does not allow it`, 'thinking.display'],
    [`${prefix}property 'thinking.type' is not one of adaptive`, 'thinking'],
    [`${prefix}property 'output_config.effort' is not one of low`, 'output_config'],
    ['#/max_tokens: 128001 must have a maximum value of 128000.0', 'max_tokens'],
    [`${prefix}property 'reasoning' ${isUndefined}`, null],
    [`${prefix}not supported for this account`, null],
    ['', null]
  ]
  for (const [refusal, path] of cases) t.equal(refusedPath(paths, refusal), path, refusal)
})

t.test('withoutFields() leaves nothing empty', async (t) => {
  const left = (...refused: string[]) =>
    withoutFields(payloadOf(claude), refused).additionalModelRequestFields
  t.same(left('max_tokens'), { thinking: claude.thinking, output_config: { effort: 'high' } })
  t.same(left('thinking.display'), { ...claude, thinking: { type: 'adaptive' } })
  t.same(left('output_config.effort'), { thinking: claude.thinking, max_tokens: 2000 })
  t.same(withoutFields(payloadOf(claude), paths), payloadOf(), 'the whole member goes')
})

t.test('what was refused is remembered of the account, for an hour', async (t) => {
  let now = 0
  const told: ConversationParts[] = []
  const memory = new ConversationMemory(
    (learnt) => void told.push(learnt),
    () => now
  )
  const party = { account: 'a', model: 'claude-opus-5' }
  const known = (who: Partial<typeof party> = {}) =>
    rememberedPaths({ ...party, ...who }, { paths }, (parts) => memory.has(parts))
  memory.learn(fieldsLesson(party, ['max_tokens']))
  t.same(known(), ['max_tokens'])
  t.same(known({ model: 'claude-opus-4.8' }), [])
  t.same(known({ account: 'b' }), [])
  memory.learn(fieldsLesson(party, 'all'))
  t.same(known({ model: 'claude-opus-4.8' }), paths, 'the whole member: of no model')
  t.same(known({ account: 'b' }), [])
  t.same(memory.all(), [{ ...told[0], hashes: told.flatMap(({ hashes }) => hashes) }])
  now = 60 * 60 * 1000 - 1
  t.same(known(), paths)
  now += 1
  t.same(known(), [])
})
