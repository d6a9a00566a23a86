import t from 'tap'
import { isRuleId, RuleTable, type RuleId } from '../../src/kiro/rules/rules.ts'
import { checkRequest, checkWeight, checkWindow } from '../strict-simulator/request-rules.ts'
import { refusalOfBroken } from '../helper/broken-payloads.ts'
import { upstreamRequest, upstreamTool } from '../helper/simulator-request.ts'

type Json = Record<string, unknown>

const IMAGE = { format: 'png', source: { bytes: 'QUJD' } }
const images = (count: number) => Array.from({ length: count }, () => IMAGE)
const user = (content: string) => ({ userInputMessage: { content } })
const assistant = (content: string, toolUses?: Json[]) => ({
  assistantResponseMessage: { content, ...(toolUses === undefined ? {} : { toolUses }) }
})
const use = (toolUseId: string, name = 'f', input: unknown = {}) => ({ toolUseId, name, input })
const result = (toolUseId: string, more: Json = {}) => ({
  toolUseId,
  content: [{ text: 'ok' }],
  status: 'success',
  ...more
})
const f = upstreamTool('f')
const withHistory = (history: unknown[], context?: Json) =>
  upstreamRequest('hi', { state: { history }, ...(context === undefined ? {} : { context }) })
const withTools = (...tools: unknown[]) => upstreamRequest('hi', { context: { tools } })
const withSchema = (schema: Json) => withTools(upstreamTool('f', schema))
const withImages = (images: unknown[]) => upstreamRequest('hi', { message: { images } })
/** One call of `f` and its answer, with either replaced. */
const toolTurn = (parts: { uses?: Json[]; results?: Json[] }) =>
  withHistory([user('go'), assistant(' ', parts.uses ?? [use('t1')])], {
    toolResults: parts.results ?? [result('t1')],
    tools: [f]
  })
const withFields = (modelId: string, additionalModelRequestFields: unknown) =>
  upstreamRequest('hi', { message: { modelId }, root: { additionalModelRequestFields } })

type Said = readonly [reason: string | null, message: RegExp]

const IMPROPER = /^Improperly formed request\.$/
const INVALID: Said = ['REQUEST_BODY_INVALID', IMPROPER]
const TOO_LONG = 'CONTENT_LENGTH_EXCEEDS_THRESHOLD'
const schemaSays = (words: string): Said => [
  'TOOL_SCHEMA_INVALID',
  new RegExp(`^tools\\.0\\.custom\\.input_schema: ${words}`)
]

/** The words for each rule that has its own. */
const SAID: Partial<Record<RuleId, Said>> = {
  'conversation-id': ['INVALID_CONVERSATION_ID', /^Invalid conversation id\.$/],
  'reasoning-signature': INVALID,
  'profile-arn': INVALID,
  'payload-weight': [TOO_LONG, /^Input is too long\.$/],
  'context-window': [TOO_LONG, /Maximum input length is 200000 tokens/],
  'model-known': ['INVALID_MODEL_ID', /Invalid model/],
  'model-fields': [null, /is not one of low, medium, high, max$/],
  'tool-id': ['REQUEST_BODY_INVALID', /^Invalid tool use format\.$/],
  'tool-id-unique': ['TOOL_DUPLICATE', /t1/],
  'tool-input': ['REQUEST_BODY_INVALID', /^Invalid tool use format\.$/],
  'tool-name': INVALID,
  'tool-name-unique': ['TOOL_DUPLICATE', /Duplicate tool name: f/],
  'tool-description': INVALID,
  'tool-description-length': INVALID,
  'tool-schema-type': schemaSays(''),
  'tool-schema-root': schemaSays('.* does not support oneOf, allOf, or anyOf at the top level'),
  'tool-schema-keywords': schemaSays(''),
  'tool-schema-depth': schemaSays(''),
  'image-support': ['REQUEST_BODY_INVALID', /images/]
}

/** Requests that break a rule in another way than `broken-payloads.ts` does. */
const OTHERS: readonly (readonly [name: string, rule: RuleId, request: unknown])[] = [
  ['no conversationState', 'request-shape', {}],
  [
    'no current message',
    'request-shape',
    upstreamRequest('hi', { state: { currentMessage: undefined } })
  ],
  ['an empty context', 'empty-members', upstreamRequest('hi', { context: {} })],
  ['an empty history', 'empty-members', withHistory([])],
  ['an empty image list', 'empty-members', withImages([])],
  ['an empty toolUses list', 'empty-members', withHistory([user('a'), assistant('b', [])])],
  ['an empty user message', 'turn-text', withHistory([user(''), assistant('a')])],
  [
    'a cachePoint of an unknown type',
    'cache-point',
    upstreamRequest('hi', { message: { cachePoint: { type: 'ephemeral' } } })
  ],
  ['images in the context', 'image-place', upstreamRequest('hi', { context: { images: [IMAGE] } })],
  [
    'a result in the first message',
    'result-call',
    upstreamRequest('hi', { context: { tools: [f], toolResults: [result('t1')] } })
  ],
  ['a result id twice', 'tool-id-unique', toolTurn({ results: [result('t1'), result('t1')] })],
  [
    'a tool use id of 65 characters',
    'tool-id',
    toolTurn({ uses: [use('t'.repeat(65))], results: [result('t'.repeat(65))] })
  ],
  [
    'an upper-case status',
    'result-shape',
    toolTurn({ results: [result('t1', { status: 'SUCCESS' })] })
  ],
  [
    'a result without content',
    'result-shape',
    toolTurn({ results: [result('t1', { content: [] })] })
  ],
  [
    'an image inside a result',
    'result-shape',
    toolTurn({ results: [result('t1', { content: [{ image: IMAGE }] })] })
  ],
  ['a tool name of 64 characters', 'tool-name', withTools(upstreamTool('n'.repeat(64)))],
  ['a tool name that begins with a digit', 'tool-name', withTools(upstreamTool('1a'))],
  [
    'additionalProperties deep in a schema',
    'tool-schema-keywords',
    withSchema({
      type: 'object',
      properties: { a: { anyOf: [{ type: 'object', additionalProperties: false }] } }
    })
  ],
  [
    'an empty required list',
    'tool-schema-keywords',
    withSchema({ type: 'object', properties: {}, required: [] })
  ],
  [
    'properties that are null',
    'tool-schema-keywords',
    withSchema({ type: 'object', properties: null })
  ]
]

/** Values that the model's own schema refuses. */
const FIELDS: readonly (readonly [modelId: string, fields: unknown, message: RegExp])[] = [
  [
    'claude-opus-5',
    { reasoning: { effort: 'low' } },
    /^Invalid additionalModelRequestFields: property 'reasoning' is not defined in the schema$/
  ],
  ['glm-5', { max_tokens: 2000 }, /'max_tokens'/],
  ['claude-opus-5', { output_config: { effort: 1 } }, /is not a string/],
  ['claude-opus-5', { max_tokens: 1023 }, /below 1024/],
  ['claude-opus-5', { max_tokens: 128_001 }, /above 128000/],
  ['claude-opus-5', { max_tokens: 2000.5 }, /not an integer/],
  ['claude-opus-5', { thinking: { budget: 1 } }, /'thinking\.budget'/],
  ['claude-opus-5', [], IMPROPER]
]

t.test('checkRequest()', async (t) => {
  const [errorType, status] = ['ValidationException', 400]
  for (const rule of Object.keys(RuleTable).filter(isRuleId)) {
    const refusal = refusalOfBroken(rule)
    if (refusal === null) continue
    t.test(`words the refusal by ${rule}`, async (t) => {
      const [reason, message] = SAID[rule] ?? [null, IMPROPER]
      t.match(refusal, { status, errorType, reason, message })
    })
  }
  for (const [name, rule, request] of OTHERS) {
    t.test(`refuses ${name}`, async (t) => {
      const [reason, message] = SAID[rule] ?? [null, IMPROPER]
      const refusal = checkRequest(structuredClone(request))
      t.match(refusal, { status, errorType, rule, reason, message })
    })
  }
  for (const [modelId, fields, message] of FIELDS) {
    t.test(`refuses ${JSON.stringify(fields)} for ${modelId}`, async (t) => {
      const refusal = checkRequest(withFields(modelId, fields))
      t.match(refusal, { status, errorType, rule: 'model-fields', reason: null, message })
    })
  }

  const accepted: Record<string, unknown> = {
    'a request without conversation id': upstreamRequest('hi', {
      state: { conversationId: undefined }
    }),
    'a history': withHistory([user(' '), assistant('Welcome')]),
    'a tool loop whose current message is blank': upstreamRequest('', {
      state: { history: [user('go'), assistant(' ', [use('t1')])] },
      context: { tools: [f], toolResults: [result('t1')] }
    }),
    'a tool of the history in another case': toolTurn({ uses: [use('t1', 'F')] }),
    'a result as JSON, with an error': toolTurn({
      results: [result('t1', { status: 'error', content: [{ json: { a: 1 } }] })]
    }),
    'ids of 64 characters': toolTurn({
      uses: [use('t'.repeat(64))],
      results: [result('t'.repeat(64))]
    }),
    'a tool name of 63 characters': withTools(upstreamTool('n'.repeat(63))),
    'properties named like keywords': withSchema({
      type: 'object',
      properties: { required: { type: 'string' }, additionalProperties: { type: 'string' } },
      required: ['required']
    }),
    'combinators below the root': withSchema({
      type: 'object',
      properties: { a: { anyOf: [{ type: 'string' }, { type: 'null' }] } }
    }),
    'values that look like keywords': withSchema({
      type: 'object',
      properties: { a: { default: { additionalProperties: true, required: [] } } }
    }),
    'ten images': withImages(images(10)),
    'cache points': upstreamRequest('hi', { message: { cachePoint: { type: 'default' } } }),
    'native reasoning of Claude': withFields('claude-opus-5', {
      thinking: { type: 'adaptive', display: 'summarized' },
      output_config: { effort: 'xhigh' },
      max_tokens: 1024
    }),
    'native reasoning of GPT': withFields('gpt-5.6-sol', { reasoning: { effort: 'none' } }),
    'control words behind the model name': upstreamRequest('hi', {
      message: { modelId: 'claude-opus-5+sim:gap=0' }
    })
  }
  for (const [name, request] of Object.entries(accepted)) {
    t.test(`accepts ${name}`, async (t) => {
      t.match(checkRequest(JSON.parse(JSON.stringify(request))), { current: { role: 'user' } })
    })
  }
})

t.test('checkWeight() counts one for ASCII and eight for any other character', async (t) => {
  t.equal(checkWeight('x'.repeat(1_340_000)), null)
  t.match(checkWeight('x'.repeat(1_340_001)), { reason: TOO_LONG })
  for (const char of ['é', '漢', '🎉']) {
    t.equal(checkWeight(char.repeat(167_500)), null, char)
    t.match(checkWeight(char.repeat(167_501)), { reason: TOO_LONG }, char)
  }
})

t.test('checkWindow()', async (t) => {
  t.equal(checkWindow(200_000, 200_000), null)
})
