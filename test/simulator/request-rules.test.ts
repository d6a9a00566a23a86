import t from 'tap'
import { checkRequest, checkWeight, checkWindow } from '../../src/simulator/request-rules.ts'
import { upstreamRequest, upstreamTool } from '../helper/simulator-request.ts'

type Json = Record<string, unknown>

interface Violation {
  readonly name: string
  readonly request: unknown
  readonly reason: string | null
  readonly message?: RegExp
}

const IMPROPER = /^Improperly formed request\.$/
const IMAGE = { format: 'png', source: { bytes: 'QUJD' } }
const images = (count: number) => Array.from({ length: count }, () => IMAGE)
const user = (content: string, context?: Json) => ({
  userInputMessage: {
    content,
    ...(context === undefined ? {} : { userInputMessageContext: context })
  }
})
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
const withImages = (images: unknown[], modelId = 'auto') =>
  upstreamRequest('hi', { message: { images, modelId } })
/** One call of `f` and its answer, with any of the parts replaced. */
const toolTurn = (parts: { uses?: Json[]; results?: Json[]; tools?: unknown[] }) =>
  withHistory([user('go'), assistant(' ', parts.uses ?? [use('t1')])], {
    toolResults: parts.results ?? [result('t1')],
    ...(parts.tools?.length === 0 ? {} : { tools: parts.tools ?? [f] })
  })

const SHAPE: Violation[] = [
  { name: 'a body that is no object', request: [], reason: null },
  { name: 'no conversationState', request: {}, reason: null },
  {
    name: 'no current message',
    request: upstreamRequest('hi', { state: { currentMessage: undefined } }),
    reason: null
  },
  {
    name: 'content that is no string',
    request: upstreamRequest('hi', { message: { content: [{ text: 'hi' }] } }),
    reason: null
  },
  {
    name: 'a root member of another protocol',
    request: upstreamRequest('hi', { root: { toolConfiguration: {} } }),
    reason: null
  },
  {
    name: 'inferenceConfiguration',
    request: upstreamRequest('hi', { root: { inferenceConfiguration: { maxTokens: 5 } } }),
    reason: null
  },
  { name: 'an empty context', request: upstreamRequest('hi', { context: {} }), reason: null },
  { name: 'an empty history', request: withHistory([]), reason: null },
  { name: 'an empty tool list', request: withTools(), reason: null },
  { name: 'an empty image list', request: withImages([]), reason: null },
  {
    name: 'chatTriggerType AUTO',
    request: upstreamRequest('hi', { state: { chatTriggerType: 'AUTO' } }),
    reason: null
  },
  {
    name: 'a conversation id that is no UUID',
    request: upstreamRequest('hi', { state: { conversationId: 'session 1' } }),
    reason: 'INVALID_CONVERSATION_ID',
    message: /conversation/
  },
  {
    name: 'an unknown origin',
    request: upstreamRequest('hi', { message: { origin: 'BROWSER' } }),
    reason: null
  },
  {
    name: 'a cachePoint of an unknown type',
    request: upstreamRequest('hi', { message: { cachePoint: { type: 'ephemeral' } } }),
    reason: null
  },
  {
    name: 'an unknown model',
    request: upstreamRequest('hi', { message: { modelId: 'gpt-4o' } }),
    reason: 'INVALID_MODEL_ID',
    message: /Invalid model/
  },
  {
    name: 'a model with dashes for dots',
    request: upstreamRequest('hi', { message: { modelId: 'claude-haiku-4-5' } }),
    reason: 'INVALID_MODEL_ID',
    message: /Invalid model/
  }
]

const CONTENT: Violation[] = [
  {
    name: 'a blank current message',
    request: upstreamRequest(' \n'),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'an empty user message in history',
    request: withHistory([user(''), assistant('a')]),
    reason: null
  },
  {
    name: 'an empty assistant message in history',
    request: withHistory([user('a'), assistant('')]),
    reason: null
  },
  {
    name: 'a user message of 600001 characters',
    request: upstreamRequest('x'.repeat(600_001)),
    reason: null
  },
  {
    name: 'an image of another format',
    request: withImages([{ ...IMAGE, format: 'jpg' }]),
    reason: null
  },
  {
    name: 'an image with a data URL',
    request: withImages([{ format: 'png', source: { bytes: 'data:image/png;base64,QUJD' } }]),
    reason: null
  },
  { name: 'eleven images', request: withImages(images(11)), reason: null },
  {
    name: 'an image for a model without eyes',
    request: withImages([IMAGE], 'glm-5'),
    reason: 'REQUEST_BODY_INVALID',
    message: /images/
  },
  {
    name: 'images of the assistant',
    request: withHistory([
      user('a'),
      { assistantResponseMessage: { content: 'b', images: images(1) } }
    ]),
    reason: null
  },
  {
    name: 'images in the context',
    request: upstreamRequest('hi', { context: { images: [IMAGE] } }),
    reason: null
  }
]

const HISTORY: Violation[] = [
  {
    name: 'H1: history that begins with an assistant',
    request: withHistory([assistant('a')]),
    reason: null
  },
  {
    name: 'H2: two users in a row',
    request: withHistory([user('a'), user('b'), assistant('c')]),
    reason: null
  },
  {
    name: 'H2: two assistants in a row',
    request: withHistory([user('a'), assistant('b'), assistant('c')]),
    reason: null
  },
  {
    name: 'H3: history that ends with a user',
    request: withHistory([user('a'), assistant('b'), user('c')]),
    reason: null
  },
  {
    name: 'H4: a result without its call',
    request: toolTurn({ results: [result('t1'), result('t2')] }),
    reason: null
  },
  {
    name: 'H4: a result in the first message',
    request: upstreamRequest('hi', { context: { tools: [f], toolResults: [result('t1')] } }),
    reason: null
  },
  {
    name: 'H5: a call without its result',
    request: toolTurn({ uses: [use('t1'), use('t2')] }),
    reason: null
  },
  { name: 'H6: tool turns without tools', request: toolTurn({ tools: [] }), reason: null },
  {
    name: 'H7: a call of a tool that is not offered',
    request: toolTurn({ tools: [upstreamTool('g')] }),
    reason: null
  },
  {
    name: 'H8: a call id twice',
    request: toolTurn({ uses: [use('t1'), use('t1')] }),
    reason: 'TOOL_DUPLICATE',
    message: /t1/
  },
  {
    name: 'H8: a result id twice',
    request: toolTurn({ results: [result('t1'), result('t1')] }),
    reason: 'TOOL_DUPLICATE',
    message: /t1/
  },
  {
    name: 'H9: more than 10000 entries',
    request: withHistory(
      Array.from({ length: 10_002 }, (_, i) => (i % 2 ? assistant('a') : user('b')))
    ),
    reason: null
  },
  {
    name: 'tools in history',
    request: withHistory([user('a', { tools: [f] }), assistant('b')]),
    reason: null
  },
  {
    name: 'an empty toolUses list',
    request: withHistory([user('a'), assistant('b', [])]),
    reason: null
  },
  {
    name: 'a tool use id of 65 characters',
    request: toolTurn({ uses: [use('t'.repeat(65))], results: [result('t'.repeat(65))] }),
    reason: 'REQUEST_BODY_INVALID',
    message: /^Invalid tool use format\.$/
  },
  {
    name: 'a tool use id with a forbidden character',
    request: toolTurn({ uses: [use('t|1')], results: [result('t|1')] }),
    reason: 'REQUEST_BODY_INVALID',
    message: /^Invalid tool use format\.$/
  },
  {
    name: 'tool input that is a string',
    request: toolTurn({ uses: [use('t1', 'f', '{}')] }),
    reason: 'REQUEST_BODY_INVALID',
    message: /^Invalid tool use format\.$/
  },
  {
    name: 'an upper-case status',
    request: toolTurn({ results: [result('t1', { status: 'SUCCESS' })] }),
    reason: null
  },
  {
    name: 'a result without content',
    request: toolTurn({ results: [result('t1', { content: [] })] }),
    reason: null
  },
  {
    name: 'an empty result text',
    request: toolTurn({ results: [result('t1', { content: [{ text: '' }] })] }),
    reason: null
  },
  {
    name: 'an image inside a result',
    request: toolTurn({ results: [result('t1', { content: [{ image: IMAGE }] })] }),
    reason: null
  }
]

const spec = (more: Json) => ({
  toolSpecification: { ...(f['toolSpecification'] as Json), ...more }
})
const SCHEMA_MESSAGE = /^tools\.0\.custom\.input_schema: /
const TOOLS: Violation[] = [
  {
    name: 'a cachePoint among the tools',
    request: withTools(f, { cachePoint: { type: 'default' } }),
    reason: null
  },
  {
    name: 'a tool name of 64 characters',
    request: withTools(upstreamTool('n'.repeat(64))),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'a tool name with a dot',
    request: withTools(upstreamTool('a.b')),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'a tool name that begins with a digit',
    request: withTools(upstreamTool('1a')),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'a tool name twice',
    request: withTools(f, f),
    reason: 'TOOL_DUPLICATE',
    message: /Duplicate tool name: f/
  },
  {
    name: 'a blank description',
    request: withTools(spec({ description: ' ' })),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'a description of 10241 characters',
    request: withTools(spec({ description: 'd'.repeat(10_241) })),
    reason: 'REQUEST_BODY_INVALID'
  },
  {
    name: 'a schema that is missing',
    request: withTools(spec({ inputSchema: {} })),
    reason: 'TOOL_SCHEMA_INVALID',
    message: SCHEMA_MESSAGE
  },
  {
    name: 'a schema of another type',
    request: withSchema({ type: 'array' }),
    reason: 'TOOL_SCHEMA_INVALID',
    message: SCHEMA_MESSAGE
  },
  ...['oneOf', 'anyOf', 'allOf'].map((combinator) => ({
    name: `${combinator} at the root of a schema`,
    request: withSchema({ type: 'object', [combinator]: [{ properties: {} }] }),
    reason: 'TOOL_SCHEMA_INVALID',
    message: /does not support oneOf, allOf, or anyOf at the top level/
  })),
  {
    name: 'additionalProperties deep in a schema',
    request: withSchema({
      type: 'object',
      properties: { a: { anyOf: [{ type: 'object', additionalProperties: false }] } }
    }),
    reason: 'TOOL_SCHEMA_INVALID',
    message: SCHEMA_MESSAGE
  },
  {
    name: 'an empty required list',
    request: withSchema({ type: 'object', properties: {}, required: [] }),
    reason: 'TOOL_SCHEMA_INVALID',
    message: SCHEMA_MESSAGE
  },
  {
    name: 'properties that are null',
    request: withSchema({ type: 'object', properties: null }),
    reason: 'TOOL_SCHEMA_INVALID',
    message: SCHEMA_MESSAGE
  }
]

const withFields = (modelId: string, additionalModelRequestFields: unknown) =>
  upstreamRequest('hi', { message: { modelId }, root: { additionalModelRequestFields } })
const field = (name: string, modelId: string, fields: unknown, message: RegExp): Violation => ({
  name,
  request: withFields(modelId, fields),
  reason: null,
  message
})
const FIELDS: Violation[] = [
  field(
    'reasoning for a Claude model',
    'claude-opus-5',
    { reasoning: { effort: 'low' } },
    /^Invalid additionalModelRequestFields: property 'reasoning' is not defined in the schema$/
  ),
  field('thinking for a GPT model', 'gpt-5.6-sol', { thinking: {} }, /'thinking' is not defined/),
  field('any field for a model without schema', 'glm-5', { max_tokens: 2000 }, /'max_tokens'/),
  field(
    'an effort that the model lacks',
    'claude-opus-4.6',
    { output_config: { effort: 'xhigh' } },
    /one of low, medium, high, max/
  ),
  field('max_tokens below its bound', 'claude-opus-5', { max_tokens: 1023 }, /below 1024/),
  field('max_tokens above its bound', 'claude-opus-5', { max_tokens: 128_001 }, /above 128000/),
  field('max_tokens that is no integer', 'claude-opus-5', { max_tokens: 2000.5 }, /not an integer/),
  field(
    'an unknown member deep down',
    'claude-opus-5',
    { thinking: { budget: 1 } },
    /'thinking\.budget'/
  ),
  field('fields that are no object', 'claude-opus-5', [], IMPROPER)
]

t.test('checkRequest()', async (t) => {
  for (const violation of [...SHAPE, ...CONTENT, ...HISTORY, ...TOOLS, ...FIELDS]) {
    t.test(`refuses ${violation.name}`, async (t) => {
      const refusal = checkRequest(structuredClone(violation.request))
      t.match(refusal, {
        status: 400,
        errorType: 'ValidationException',
        reason: violation.reason,
        message: violation.message ?? IMPROPER,
        rule: /\w/
      })
    })
  }

  const accepted: Record<string, unknown> = {
    'the minimal request': upstreamRequest('hi'),
    'a request without conversation id': upstreamRequest('hi', {
      state: { conversationId: undefined }
    }),
    'a history': withHistory([user(' '), assistant('Welcome')]),
    'a tool loop': toolTurn({}),
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

t.test('checkWeight()', async (t) => {
  t.test('counts one for ASCII', async (t) => {
    t.equal(checkWeight('x'.repeat(1_340_000)), null)
    t.match(checkWeight('x'.repeat(1_340_001)), { reason: 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' })
  })

  t.test('counts eight for any other character, also for one of two halves', async (t) => {
    for (const char of ['é', '漢', '🎉']) {
      t.equal(checkWeight(char.repeat(167_500)), null, char)
      t.match(checkWeight(char.repeat(167_501)), { message: 'Input is too long.' }, char)
    }
  })
})

t.test('checkWindow()', async (t) => {
  t.equal(checkWindow(200_000, 200_000), null)
  t.match(checkWindow(200_001, 200_000), { message: /Maximum input length is 200000 tokens/ })
})
