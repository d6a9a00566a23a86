import t from 'tap'
import { searchRequest } from '../../../src/upstream/call/requests.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'

const host = { url: 'https://runtime.us-east-1.kiro.dev', kind: 'runtime' as const }
const userAgent = 'kiro-gateway/test'
const form = 'path'

t.test('searchRequest() is a generation’s call to another path (kiro-protocol §9.4)', async (t) => {
  const snapshot = credentialSnapshot({ authType: 'social' })
  const approach = { isWithoutProfile: false }
  const request = searchRequest({ query: 'q', snapshot, host, approach, form, userAgent })
  t.match(request, {
    method: 'POST',
    url: 'https://runtime.us-east-1.kiro.dev/mcp',
    timeoutMs: 60_000,
    headers: {
      authorization: `Bearer ${snapshot.token}`,
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': userAgent,
      'x-amzn-kiro-profile-arn': /^arn:aws:codewhisperer:/
    }
  })
  t.match(JSON.parse(request.body ?? ''), { params: { arguments: { query: 'q' } } })
  const without = searchRequest({
    query: 'q',
    snapshot,
    host,
    approach: { isWithoutProfile: true },
    form,
    userAgent
  })
  t.notOk('x-amzn-kiro-profile-arn' in without.headers)
  const key = credentialSnapshot({ authType: 'api-key', tokenType: 'API_KEY', token: 'ksk_1' })
  const { headers } = searchRequest({ query: 'q', snapshot: key, host, approach, form, userAgent })
  t.match(headers, { tokentype: 'API_KEY' })
  t.notOk('x-amzn-kiro-profile-arn' in headers)
})

t.test('searchRequest() in the target form has the profile in its body', async (t) => {
  const snapshot = credentialSnapshot({ authType: 'social' })
  const call = { query: 'kiro pricing', snapshot, host, form: 'target', userAgent } as const
  const { url, headers, body } = searchRequest({ ...call, approach: { isWithoutProfile: false } })
  t.equal(url, 'https://runtime.us-east-1.kiro.dev/')
  t.match(headers, {
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': 'KiroRuntimeService.InvokeMCP'
  })
  t.notOk('x-amzn-kiro-profile-arn' in headers)
  t.notOk('x-kiro-attempt' in headers)
  t.match(JSON.parse(body ?? ''), {
    method: 'tools/call',
    params: { name: 'web_search', arguments: { query: 'kiro pricing' } },
    profileArn: /^arn:aws:codewhisperer:/
  })
  const without = searchRequest({ ...call, approach: { isWithoutProfile: true } })
  t.notOk('profileArn' in JSON.parse(without.body ?? ''))
})
