import t from 'tap'
import type { CredentialSnapshot } from '../../../src/kiro/wire/credential-snapshot.ts'
import { SharedProfileArn } from '../../../src/kiro/wire/hosts.ts'
import { allocateWithHeadroom, HEADROOM_BYTES } from '../../../src/shared/own-memory.ts'
import { RequestPayload } from '../../../src/upstream/call/requests.ts'
import {
  formOfBytes,
  type GenerationOptions,
  generationRequest,
  withConversationId,
  withProfileArn
} from '../../../src/upstream/call/requests.ts'

const id = '11111111-2222-3333-4444-555555555555'
const content = { conversationState: { conversationId: id, text: 'é "quoted"' } }
const payload = Buffer.from(JSON.stringify(content))
const arn = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/ABC"\\é'

const snapshot: CredentialSnapshot = {
  id: 'a',
  token: 'token-1',
  tokenType: 'none',
  authType: 'social',
  profileArn: arn,
  apiRegion: 'us-east-1',
  expiresAt: null
}

function request(changes: Partial<GenerationOptions> = {}) {
  const made = generationRequest({
    payload,
    snapshot,
    host: { url: 'https://api.example/base', kind: 'custom' },
    approach: { isWithoutProfile: false, isNewConversation: false },
    form: 'path',
    userAgent: 'gateway/1',
    invocationId: 'call-1',
    attempt: 2,
    maxAttempts: 3,
    bodyTimeoutMs: 1000,
    ...changes
  })
  return { ...made, json: JSON.parse(Buffer.from(made.body as Uint8Array).toString()) }
}

t.test('generationRequest()', (t) => {
  t.test('puts host, headers and body together', async (t) => {
    const { url, method, headers, json, bodyTimeoutMs } = request()
    t.equal(url.href, 'https://api.example/base/generateAssistantResponse')
    t.same([method, bodyTimeoutMs], ['POST', 1000])
    t.match(headers, {
      authorization: 'Bearer token-1',
      'amz-sdk-request': 'attempt=2; max=3',
      'amz-sdk-invocation-id': 'call-1',
      'x-amzn-kiro-profile-arn': arn
    })
    t.same(json, { profileArn: arn, ...content })
  })

  t.test('sends the ARN in body and header, or in neither', async (t) => {
    const without = request({ approach: { isWithoutProfile: true, isNewConversation: false } })
    t.same(without.json, content)
    t.notHas(without.headers, { 'x-amzn-kiro-profile-arn': String })
    const shared = request({ snapshot: { ...snapshot, profileArn: null } })
    t.equal(shared.json.profileArn, SharedProfileArn.social)
    t.equal(shared.headers['x-amzn-kiro-profile-arn'], SharedProfileArn.social)
    const apiKey = { ...snapshot, authType: 'api-key', tokenType: 'API_KEY' } as const
    t.same(request({ snapshot: apiKey }).json, content)
  })

  t.test('begins a new conversation with an id of its own, and nothing else changed', async (t) => {
    const approach = { isWithoutProfile: true, isNewConversation: true }
    const [first, second] = [request({ approach }).json, request({ approach }).json]
    const { conversationId } = first.conversationState
    t.match(conversationId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.not(second.conversationState.conversationId, conversationId)
    t.same(first, { conversationState: { ...content.conversationState, conversationId } })
    t.equal(JSON.parse(payload.toString()).conversationState.conversationId, id, 'a copy')
  })
  t.end()
})

t.test('generationRequest() in the target form', async (t) => {
  const session = `sess_${id}`
  const state = { conversationId: session, rootConversationId: session, chatTriggerType: 'MANUAL' }
  const target = Buffer.from(JSON.stringify({ agentMode: 'vibe', conversationState: state }))
  const { url, headers, json } = request({ payload: target, form: 'target' })
  t.equal(url.href, 'https://api.example/base/')
  t.match(headers, { 'x-amz-target': 'KiroRuntimeService.GenerateAssistantResponse' })
  t.notOk('x-amzn-kiro-profile-arn' in headers)
  t.same(json, { profileArn: arn, agentMode: 'vibe', conversationState: state })
  const approach = { isWithoutProfile: true, isNewConversation: true }
  const { conversationState: fresh } = request({ payload: target, form: 'target', approach }).json
  t.match(fresh.conversationId, /^sess_[0-9a-f-]{36}$/)
  t.not(fresh.conversationId, session)
  t.equal(fresh.rootConversationId, fresh.conversationId, 'a session is its own root')
  t.equal(formOfBytes(target), 'target')
  t.equal(formOfBytes(payload), 'path')
})

t.test('withProfileArn()', async (t) => {
  t.equal(withProfileArn(payload, null), payload, 'no copy where there is nothing to add')
  t.equal(
    Buffer.from(withProfileArn(payload, arn)).toString(),
    JSON.stringify({ profileArn: arn, ...content })
  )
  const roomy = allocateWithHeadroom(payload.length)
  payload.copy(roomy)
  const memory = { growTo: () => {}, shrinkTo: () => {}, shrinkToKept: () => {} }
  const kept = new RequestPayload({ bytes: roomy, memory })
  for (const each of [arn, `${arn}2`, null, arn]) {
    const { buffer, byteLength } = withProfileArn(kept.bytes, each)
    t.equal(buffer, roomy.buffer, 'no copy where there is room')
    t.same(
      JSON.parse(Buffer.from(buffer).toString('utf8', buffer.byteLength - byteLength)),
      each === null ? content : { profileArn: each, ...content },
      'attempt after attempt'
    )
  }
  const long = 'x'.repeat(HEADROOM_BYTES)
  t.equal(
    Buffer.from(withProfileArn(kept.bytes, long)).toString(),
    JSON.stringify({ profileArn: long, ...content }),
    'a copy where there is too little'
  )
  const large = Buffer.from(JSON.stringify({ text: 'x'.repeat(100_000) }))
  const { buffer, byteLength } = withProfileArn(large, arn)
  t.equal(buffer.byteLength, byteLength, 'has its memory for itself, so that it can be freed')
})

t.test('withConversationId()', async (t) => {
  const other = '99999999-8888-7777-6666-000000000000'
  t.equal(
    Buffer.from(withConversationId(payload, other)).toString(),
    payload.toString().replace(id, other)
  )
  for (const odd of [
    '{}',
    '{"profileArn":"x"}',
    '{"conversationState":{"conversationId":"short"}}'
  ]) {
    t.throws(() => withConversationId(Buffer.from(odd), other), /does not begin/, odd)
  }
})
