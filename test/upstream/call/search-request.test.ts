import t from 'tap'
import { searchRequest } from '../../../src/upstream/call/requests.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'

const host = { url: 'https://runtime.us-east-1.kiro.dev', kind: 'runtime' as const }
const userAgent = 'kiro-gateway/test'

t.test('searchRequest() is a generation’s call to another path (kiro-protocol §9.4)', async (t) => {
  const snapshot = credentialSnapshot({ authType: 'social' })
  const approach = { isWithoutProfile: false }
  const request = searchRequest({ query: 'q', snapshot, host, approach, userAgent })
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
    userAgent
  })
  t.notOk('x-amzn-kiro-profile-arn' in without.headers)
  const key = credentialSnapshot({ authType: 'api-key', tokenType: 'API_KEY', token: 'ksk_1' })
  const { headers } = searchRequest({ query: 'q', snapshot: key, host, approach, userAgent })
  t.match(headers, { tokentype: 'API_KEY' })
  t.notOk('x-amzn-kiro-profile-arn' in headers)
})
