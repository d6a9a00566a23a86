import t from 'tap'
import { tokenTypeOf } from '../../../src/credentials/sign-in.ts'
import { bearerHeaders, runtimeHeaders } from '../../../src/kiro/wire/hosts.ts'

const options = {
  operation: 'generate',
  form: 'path',
  userAgent: 'kiro-gateway/1.0',
  invocationId: 'b7a1e5c2-0f5e-4f7e-9a53-1f1f0e8f7a10',
  attempt: 2,
  maxAttempts: 3,
  profileArn: null
} as const

t.test('runtimeHeaders()', (t) => {
  t.test('says who calls with a key, and that it is a key', (t) => {
    t.same(runtimeHeaders({ token: 'ksk_EXAMPLE', tokenType: 'API_KEY' }, options), {
      authorization: 'Bearer ksk_EXAMPLE',
      tokentype: 'API_KEY',
      'user-agent': 'kiro-gateway/1.0',
      'x-amz-user-agent': 'kiro-gateway/1.0',
      'content-type': 'application/json',
      accept: 'application/vnd.amazon.eventstream',
      'x-amzn-kiro-agent-mode': 'vibe',
      'amz-sdk-invocation-id': options.invocationId,
      'amz-sdk-request': 'attempt=2; max=3'
    })
    t.end()
  })
  t.test('has no token type for an ordinary sign-in, and the profile where there is one', (t) => {
    const headers = runtimeHeaders(
      { token: 'a1', tokenType: 'none' },
      { ...options, profileArn: 'arn:x' }
    )
    t.notOk('tokentype' in headers)
    t.equal(headers['x-amzn-kiro-profile-arn'], 'arn:x')
    t.end()
  })
  t.test('of the target form are these, and none besides', async (t) => {
    const target = { ...options, form: 'target', profileArn: 'arn:x' } as const
    const common = {
      authorization: 'Bearer a1',
      'content-type': 'application/x-amz-json-1.0',
      'user-agent': 'kiro-gateway/1.0',
      'amz-sdk-invocation-id': options.invocationId,
      'amz-sdk-request': 'attempt=2; max=3'
    }
    t.same(runtimeHeaders({ token: 'a1', tokenType: 'none' }, target), {
      ...common,
      'x-amz-target': 'KiroRuntimeService.GenerateAssistantResponse',
      'x-amzn-kiro-client-attribution': 'unrecognized',
      'x-kiro-attempt': '2;max=3'
    })
    const search = { ...target, operation: 'mcp' } as const
    t.same(runtimeHeaders({ token: 'a1', tokenType: 'EXTERNAL_IDP' }, search), {
      ...common,
      tokentype: 'EXTERNAL_IDP',
      'x-amz-target': 'KiroRuntimeService.InvokeMCP'
    })
  })
  t.end()
})

t.test('bearerHeaders() names the type of an identity provider’s token on every call', (t) => {
  const snapshot = { token: 'jwt', tokenType: tokenTypeOf('external-idp') }
  t.equal(bearerHeaders(snapshot, 'ua')['tokentype'], 'EXTERNAL_IDP')
  for (const type of ['social', 'builder-id', 'idc'] as const) t.equal(tokenTypeOf(type), 'none')
  t.equal(tokenTypeOf('api-key'), 'API_KEY')
  t.end()
})
