import type { DialectName } from '../../src/dialects/dialect.ts'
import type { Severity } from '../../src/dialects/lint/lint-request.ts'
import type { RequestOptions } from '../../src/dialects/request/to-upstream.ts'
import type { RepairCode } from '../../src/kiro/rules/repair-table.ts'
import type { RuleId } from '../../src/kiro/rules/rules.ts'

/** For every rule that a client can break: requests that do, what becomes of them, and where. */

export interface BrokenRequest {
  readonly rule: RuleId
  /** Code of the repair, or what else becomes of it. */
  readonly outcome: RepairCode | Exclude<Severity, 'repaired'>
  readonly pointer: string
  readonly dialect: DialectName
  readonly body: object
  readonly options?: Partial<RequestOptions>
}

type Json = Record<string, unknown>

const say = (role: string, content: unknown) => ({ role, content })
const hi = say('user', 'hi')
const use = (id = 't1', name = 'f', input: unknown = {}) => ({ type: 'tool_use', id, name, input })
const result = (id = 't1', content: unknown = 'ok') => ({
  type: 'tool_result',
  tool_use_id: id,
  content
})
const image = (more: Json = {}) => ({
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=', ...more }
})
/** `%PDF-1.4` and a line feed. */
const pdf = (more: Json = {}) => ({
  type: 'document',
  source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0xLjQK', ...more }
})
const withDocuments = (one: BrokenRequest): BrokenRequest => ({
  ...one,
  options: { sendsDocuments: true }
})
const object = { type: 'object', properties: {} }
const tool = (name: string, more: Json = {}) => ({
  name,
  description: name,
  input_schema: object,
  ...more
})

function claude(messages: unknown[], more: Json = {}): object {
  return { model: 'claude-haiku-4.5', max_tokens: 100, messages, ...more }
}
const withTool = (messages: unknown[]) => claude(messages, { tools: [tool('f')] })
const tools = (...offered: unknown[]) => claude([hi], { tools: offered })
const schema = (input_schema: unknown) => tools(tool('f', { input_schema }))
const anthropic = (
  rule: RuleId,
  outcome: BrokenRequest['outcome'],
  pointer: string,
  body: object
): BrokenRequest => ({ rule, outcome, pointer, dialect: 'anthropic-messages', body })

function nested(levels: number): Json {
  let inner: Json = object
  for (let level = 0; level < levels; level++) {
    inner = { type: 'object', properties: { d: inner } }
  }
  return inner
}

const repaired: readonly BrokenRequest[] = [
  anthropic('model-known', 'model-substituted', '/model', {
    ...claude([hi]),
    model: 'claude-sonnet-3.0'
  }),
  anthropic(
    'model-fields',
    'effort-clamped',
    '/output_config/effort',
    claude([hi], { output_config: { effort: 'ludicrous' } })
  ),
  anthropic('turn-role', 'role-unknown', '/messages/0/role', claude([say('robot', 'hi')])),
  anthropic('turn-role', 'system-as-user', '/messages/1', claude([hi, say('system', 'be kind')])),
  anthropic(
    'turn-role',
    'call-misplaced',
    '/messages/0/content/0',
    withTool([say('user', [use()])])
  ),
  anthropic('turn-order', 'turns-merged', '/messages/1', claude([hi, hi])),
  anthropic('first-turn', 'first-turn-added', '/messages/0', claude([say('assistant', 'a'), hi])),
  anthropic('last-turn', 'last-turn-added', '/messages/1', claude([hi, say('assistant', 'a')])),
  anthropic('turn-text', 'turn-blank', '/messages/1', claude([hi, say('assistant', ' '), hi])),
  anthropic(
    'turn-text',
    'placeholder-removed',
    '/messages/1',
    claude([hi, say('assistant', '(empty)'), hi])
  ),
  anthropic(
    'content-text',
    'block-dropped',
    '/messages/0/content/1',
    claude([say('user', [{ type: 'text', text: 'hi' }, { type: 'hologram' }])])
  ),
  anthropic(
    'content-text',
    'document-omitted',
    '/messages/2/content/0/content/0',
    withTool([
      hi,
      say('assistant', [use()]),
      say('user', [result('t1', [{ type: 'document', source: { type: 'file', file_id: 'x' } }])])
    ])
  ),
  anthropic(
    'text-unicode',
    'surrogate-replaced',
    '/messages/0/content',
    claude([say('user', 'a\ud800')])
  ),
  anthropic(
    'image-format',
    'image-type-corrected',
    '/messages/0/content/0/source',
    claude([say('user', [image({ media_type: 'image/gif' })])])
  ),
  anthropic('image-support', 'image-omitted', '/messages/0', {
    ...claude([say('user', [image()])]),
    model: 'glm-5'
  }),
  anthropic(
    'image-place',
    'image-moved',
    '/messages/1',
    claude([hi, say('assistant', [image()]), hi])
  ),
  withDocuments(
    anthropic(
      'document-count',
      'document-as-text',
      '/messages/0/content/0',
      claude([
        say(
          'user',
          Array.from({ length: 6 }, () => pdf({ media_type: 'text/csv', data: 'YSxi' }))
        )
      ])
    )
  ),
  withDocuments(
    anthropic(
      'document-place',
      'document-moved',
      '/messages/1',
      claude([hi, say('assistant', [pdf()]), hi])
    )
  ),
  anthropic(
    'image-count',
    'image-limit',
    '/messages/0',
    claude([say('user', Array(11).fill(image()))])
  ),
  anthropic(
    'tool-function',
    'server-tool-dropped',
    '/tools/0',
    tools({ type: 'computer_20250124', name: 'c' })
  ),
  anthropic(
    'tool-function',
    'tool-placeholder-dropped',
    '/tools/0',
    tools(tool('DeferredToolPlaceholder'))
  ),
  anthropic(
    'tool-count',
    'tool-limit',
    '/tools/120',
    tools(...Array.from({ length: 121 }, (_, index) => tool(`f${index}`)))
  ),
  anthropic('tool-name-unique', 'tool-duplicate-dropped', '/tools/1', tools(tool('f'), tool('f'))),
  anthropic('tool-name', 'tool-name-changed', '/tools/0', tools(tool('a.b'))),
  anthropic(
    'tool-description',
    'tool-description-filled',
    '/tools/0',
    tools(tool('f', { description: '' }))
  ),
  anthropic(
    'tool-description-length',
    'tool-description-moved',
    '/tools/0',
    tools(tool('f', { description: 'x'.repeat(10_001) }))
  ),
  anthropic(
    'tool-schema-type',
    'tool-schema-typed',
    '/tools/0/input_schema',
    schema({ type: 'string' })
  ),
  anthropic(
    'tool-schema-keywords',
    'tool-schema-cleaned',
    '/tools/0/input_schema/properties/a~1b/additionalProperties',
    schema({ type: 'object', properties: { 'a/b': { additionalProperties: false } } })
  ),
  anthropic(
    'tool-schema-root',
    'tool-schema-flattened',
    '/tools/0/input_schema/anyOf',
    schema({ ...object, anyOf: [{ properties: { a: {} } }] })
  ),
  anthropic(
    'tool-schema-references',
    'tool-schema-inlined',
    '/tools/0/input_schema/properties/a',
    schema({ type: 'object', properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: {} } })
  ),
  anthropic(
    'tool-schema-depth',
    'tool-schema-cut',
    `/tools/0/input_schema${'/properties/d'.repeat(100)}`,
    schema(nested(102))
  ),
  anthropic(
    'tool-declared',
    'tool-choice-dropped',
    '/tool_choice',
    claude([hi], { tools: [tool('f')], tool_choice: { type: 'tool', name: 'g' } })
  ),
  anthropic(
    'tool-declared',
    'tool-undeclared',
    '/messages/1/content/0',
    withTool([hi, say('assistant', [use('t1', 'g')]), say('user', [result()])])
  ),
  anthropic(
    'tools-offered',
    'tools-as-text',
    '/messages/1/content/0',
    claude([hi, say('assistant', [use()]), say('user', [result()])])
  ),
  anthropic(
    'tool-id',
    'tool-id-changed',
    '/messages/1/content/0',
    withTool([hi, say('assistant', [use('a b')]), say('user', [result('a b')])])
  ),
  anthropic(
    'tool-id',
    'tool-id-added',
    '/messages/1/content/0',
    withTool([hi, say('assistant', [use('')]), say('user', [result('')])])
  ),
  anthropic(
    'tool-input',
    'tool-arguments-wrapped',
    '/messages/1/content/0',
    withTool([hi, say('assistant', [use('t1', 'f', [1])]), say('user', [result()])])
  ),
  anthropic(
    'tool-id-unique',
    'call-duplicate',
    '/messages/1/content/1',
    withTool([hi, say('assistant', [use(), use()]), say('user', [result()])])
  ),
  anthropic(
    'tool-id-unique',
    'result-duplicate',
    '/messages/2/content/1',
    withTool([hi, say('assistant', [use()]), say('user', [result(), result()])])
  ),
  anthropic(
    'result-call',
    'result-orphan',
    '/messages/0/content/0',
    withTool([say('user', [result()])])
  ),
  anthropic(
    'call-result',
    'call-interrupted',
    '/messages/1/content/0',
    withTool([hi, say('assistant', [use()]), hi])
  )
]

const others: readonly BrokenRequest[] = [
  anthropic('request-shape', 'refused', '/messages', claude([])),
  anthropic('model-known', 'refused', '/model', { ...claude([hi]), model: 'llama-7' }),
  anthropic(
    'content-text',
    'refused',
    '/messages/0/content/0',
    claude([say('user', [{ type: 'audio' }])])
  ),
  anthropic(
    'image-format',
    'refused',
    '/messages/0/content/0/source',
    claude([say('user', [image({ media_type: 'image/bmp', data: 'Qk0=' })])])
  ),
  withDocuments(
    anthropic(
      'document-size',
      'refused',
      '/messages/0/content/0',
      claude([
        say('user', [
          pdf({ media_type: 'application/msword', data: `0M8R4A${'A'.repeat(1_200_002)}` })
        ])
      ])
    )
  ),
  withDocuments(
    anthropic(
      'document-format',
      'refused',
      '/messages/0/content/0',
      claude([say('user', [pdf({ data: 'UEsDBA==' })])])
    )
  ),
  withDocuments(
    anthropic(
      'document-bytes',
      'refused',
      '/messages/0/content/0',
      claude([say('user', [pdf({ data: '%%%' })])])
    )
  ),
  anthropic(
    'image-bytes',
    'refused',
    '/messages/0/content/0/source',
    claude([say('user', [image({ data: '%%%' })])])
  ),
  anthropic('payload-size', 'borderline', '', claude([say('user', 'x'.repeat(540_000))])),
  anthropic('payload-weight', 'borderline', '', claude([say('user', '漢'.repeat(151_000))])),
  anthropic('context-window', 'borderline', '', claude([say('user', '漢'.repeat(190_000))])),
  anthropic('turn-length', 'borderline', '/messages/0', claude([say('user', 'x'.repeat(400_001))])),
  anthropic(
    'result-length',
    'borderline',
    '/messages/2/content/0',
    withTool([hi, say('assistant', [use()]), say('user', [result('t1', 'x'.repeat(400_001))])])
  ),
  anthropic(
    'history-length',
    'borderline',
    '',
    claude(Array.from({ length: 9001 }, (_, index) => say(index % 2 ? 'assistant' : 'user', 'a')))
  ),
  anthropic('image-count', 'borderline', '', claude([say('user', Array(9).fill(image()))])),
  anthropic(
    'image-size',
    'borderline',
    '/messages/0',
    claude([say('user', [image({ data: `iVBORw0KGgo${'A'.repeat(12_700_000)}` })])])
  ),
  anthropic('tool-schema-depth', 'borderline', '/tools/0/input_schema', schema(nested(90))),
  {
    ...anthropic('model-known', 'borderline', '/model', { ...claude([hi]), model: 'llama-7' }),
    options: { isCatalogueLive: false }
  },
  {
    ...anthropic(
      'tool-count',
      'borderline',
      '/tools',
      tools(...Array.from({ length: 121 }, (_, index) => tool(`f${index}`)))
    ),
    options: { toolMaxCount: 200 }
  },
  {
    ...anthropic(
      'tool-description-length',
      'borderline',
      '/tools',
      tools(tool('f', { description: 'x'.repeat(10_001) }))
    ),
    options: { toolDescriptionMaxLength: 20_000 }
  }
]

export const brokenRequests: readonly BrokenRequest[] = [...repaired, ...others]
