import type { RuleId } from '../../src/kiro/rules/rules.ts'
import { checkProfile } from '../strict-simulator/credentials.ts'
import type { StrictRefusal as Refusal } from '../strict-simulator/refusals.ts'
import { checkRequest, checkWeight, checkWindow } from '../strict-simulator/request-rules.ts'
import type { RequestView } from '../../src/simulator/request-view.ts'
import { upstreamRequest, upstreamTool } from './simulator-request.ts'

/** For every rule that the simulator enforces: what it says of a request to the upstream that breaks this rule alone. */

type Json = Record<string, unknown>

const user = (content: unknown, context?: Json) => ({
  userInputMessage: { content, ...(context && { userInputMessageContext: context }) }
})
const assistant = (content: string, toolUses?: Json[]) => ({
  assistantResponseMessage: { content, ...(toolUses && { toolUses }) }
})
const use = (toolUseId = 't1', name = 'f', input: unknown = {}) => ({ toolUseId, name, input })
const result = (toolUseId = 't1', text = 'ok') => ({ toolUseId, content: [{ text }] })
const image = (more: Json = {}) => ({ format: 'png', source: { bytes: 'QUJD' }, ...more })
const f = upstreamTool('f')
const spec = (more: Json) => ({
  toolSpecification: { ...(f['toolSpecification'] as Json), ...more }
})

const history = (...entries: unknown[]) => upstreamRequest('hi', { state: { history: entries } })
const tools = (...offered: unknown[]) => upstreamRequest('hi', { context: { tools: offered } })
const schema = (json: unknown) => tools(spec({ inputSchema: { json } }))
const images = (...sent: unknown[]) => upstreamRequest('hi', { message: { images: sent } })
const documents = (...sent: unknown[]) => upstreamRequest('hi', { message: { documents: sent } })
const document = (more: Json = {}) => ({
  name: 'a',
  format: 'pdf',
  source: { bytes: 'JVBERi0xLjQK' },
  ...more
})
const toolTurn = (uses: Json[], results: Json[], offered: Json[] = [f]) =>
  upstreamRequest('hi', {
    state: { history: [user('go'), assistant(' ', uses)] },
    context: { toolResults: results, ...(offered.length > 0 && { tools: offered }) }
  })

function nested(levels: number): Json {
  let json: Json = { type: 'object' }
  for (let level = 0; level < levels; level++) {
    json = { type: 'object', properties: { down: json } }
  }
  return json
}

const PAYLOADS: Partial<Record<RuleId, unknown>> = {
  'request-shape': [],
  'root-members': upstreamRequest('hi', { root: { toolConfiguration: {} } }),
  'empty-members': tools(),
  'trigger-type': upstreamRequest('hi', { state: { chatTriggerType: 'AUTO' } }),
  'conversation-id': upstreamRequest('hi', { state: { conversationId: 'mine' } }),
  origin: upstreamRequest('hi', { message: { origin: 'BROWSER' } }),
  'cache-point': tools(f, { cachePoint: { type: 'default' } }),
  'reasoning-signature': history(user('a'), {
    assistantResponseMessage: { content: 'b', reasoningContent: { text: 'c', signature: 'd' } }
  }),
  'model-known': upstreamRequest('hi', { message: { modelId: 'claude-haiku-4-5' } }),
  'model-fields': upstreamRequest('hi', {
    message: { modelId: 'claude-opus-4.6' },
    root: { additionalModelRequestFields: { output_config: { effort: 'xhigh' } } }
  }),
  'first-turn': history(assistant('a')),
  'turn-order': history(user('a'), user('b'), assistant('c')),
  'last-turn': history(user('a')),
  'turn-role': history({ systemMessage: { content: 'a' } }),
  'turn-text': history(user('a'), assistant('')),
  'turn-length': upstreamRequest('x'.repeat(600_001)),
  'history-length': history(
    ...Array.from({ length: 10_002 }, (_, index) => (index % 2 ? assistant('a') : user('b')))
  ),
  'content-text': upstreamRequest('hi', { message: { content: [{ text: 'hi' }] } }),
  'result-call': toolTurn([use()], [result(), result('t2')]),
  'call-result': toolTurn([use(), use('t2')], [result()]),
  'tools-offered': toolTurn([use()], [result()], []),
  'tool-declared': toolTurn([use('t1', 'g')], [result()]),
  'tool-id': toolTurn([use('a b')], [result('a b')]),
  'tool-id-unique': toolTurn([use(), use()], [result()]),
  'tool-input': toolTurn([use('t1', 'f', [1])], [result()]),
  'result-shape': toolTurn([use()], [result('t1', '')]),
  'result-length': toolTurn([use()], [result('t1', 'x'.repeat(800_001))]),
  'tool-place': history(user('a', { tools: [f] }), assistant('b')),
  'tool-function': tools({ webSearch: {} }),
  'tool-count': tools(...Array.from({ length: 121 }, (_, index) => upstreamTool(`f${index}`))),
  'tool-name': tools(upstreamTool('a.b')),
  'tool-name-unique': tools(f, f),
  'tool-description': tools(spec({ description: ' ' })),
  'tool-description-length': tools(spec({ description: 'x'.repeat(10_241) })),
  'tool-schema-type': schema({ type: 'string' }),
  'tool-schema-root': schema({ type: 'object', anyOf: [] }),
  'tool-schema-keywords': schema({ type: 'object', additionalProperties: false }),
  'tool-schema-depth': schema(nested(101)),
  'image-format': images(image({ format: 'bmp' })),
  'image-bytes': images(image({ source: { bytes: 'data:image/png;base64,QUJD' } })),
  'image-size': images(image({ source: { bytes: 'A'.repeat(14_000_000) } })),
  'image-count': images(...Array.from({ length: 11 }, () => image())),
  'image-support': upstreamRequest('hi', { message: { modelId: 'glm-5', images: [image()] } }),
  'document-count': documents(...Array.from({ length: 6 }, () => document())),
  'document-format': documents(document({ format: 'docx' })),
  'document-bytes': documents(document({ source: { bytes: 'data:;base64,JVBERi0=' } })),
  'document-name': documents(document({ name: 'a.pdf' })),
  'document-place': history(user('a'), {
    assistantResponseMessage: { content: 'b', documents: [document()] }
  }),
  'image-place': history(user('a'), { assistantResponseMessage: { content: 'b', images: [] } })
}

/** What the simulator says; `null` where it takes the request or does not know the rule. */
export function refusalOfBroken(rule: RuleId): Refusal | null {
  if (rule === 'payload-weight') return checkWeight('é'.repeat(167_501))
  if (rule === 'context-window') return checkWindow(200_001, 200_000)
  if (rule === 'profile-arn') {
    return checkProfile({ token: 'any', tokenType: undefined, profileArn: 'arn:aws:wrong' })
  }
  const payload = PAYLOADS[rule]
  if (payload === undefined) return null
  const verdict: RequestView | Refusal = checkRequest(payload)
  return 'status' in verdict ? verdict : null
}
