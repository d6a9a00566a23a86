import t from 'tap'
import { ProfileFinder } from '../../../src/control/account/profile-finder.ts'
import type { CredentialSnapshot } from '../../../src/kiro/wire/credential-snapshot.ts'
import type { JsonRequest, JsonResponse } from '../../../src/upstream/call/json-exchange.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

const snapshot: CredentialSnapshot = {
  id: 'account',
  token: 'token',
  tokenType: 'none',
  authType: 'idc',
  profileArn: null,
  apiRegion: 'us-east-1',
  expiresAt: null
}
const ARN = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/P'
const upstream = {
  apiUrl: null,
  managementUrl: null,
  authUrl: null,
  oidcUrl: null,
  userAgent: 'test'
}
const { signal } = new AbortController()

/** `answers` by region; a region without one can't be reached. */
function finderOf(answers: Readonly<Record<string, Pick<JsonResponse, 'status' | 'text'>>>) {
  const asked: string[] = []
  const recorded = recordedLog()
  const call = (request: JsonRequest): Promise<JsonResponse> => {
    const region = new URL(request.url).hostname.split('.')[1] ?? ''
    asked.push(region)
    const answer = answers[region]
    if (answer === undefined) return Promise.reject(new Error('unreachable'))
    return Promise.resolve({ ...answer, headers: {} })
  }
  const finder = new ProfileFinder({ call, upstream, log: recorded.log })
  return { finder, asked, text: recorded.text }
}

const listed = { status: 200, text: JSON.stringify({ profiles: [{ arn: '' }, { arn: ARN }] }) }
const denied = { status: 403, text: '{"message":"not here"}' }

t.test('find()', async (t) => {
  t.test('takes the profile of the region that has one, and the region with it', async (t) => {
    const { finder, asked } = finderOf({ 'us-east-1': denied, 'eu-central-1': listed })
    t.same(finder.complete(snapshot), snapshot)
    t.equal(await finder.find(snapshot, signal), 'found')
    t.same(asked, ['us-east-1', 'eu-central-1'])
    t.match(finder.complete(snapshot), { profileArn: ARN, apiRegion: 'eu-central-1' })
  })

  t.test('says that there is none only when every region has said so', async (t) => {
    const { finder, text } = finderOf({ 'us-east-1': denied, 'eu-central-1': denied })
    t.equal(await finder.find(snapshot, signal), 'none')
    t.match(text(), 'PROFILE_ARN')
  })

  t.test('does not know when a region could not be asked', async (t) => {
    for (const answers of [
      { 'us-east-1': denied },
      { 'us-east-1': denied, 'eu-central-1': { status: 503, text: '' } }
    ]) {
      const { finder, text } = finderOf(answers)
      t.equal(await finder.find(snapshot, signal), 'unknown')
      t.notMatch(text(), 'PROFILE_ARN')
    }
  })

  t.test('says nothing when it is given up', async (t) => {
    const { finder, text } = finderOf({})
    t.equal(await finder.find(snapshot, AbortSignal.abort()), 'unknown')
    t.equal(text(), '')
  })
})

t.test('only sign-ins of organisations need a profile', async (t) => {
  const { finder } = finderOf({})
  t.ok(finder.needsProfile(snapshot))
  t.ok(finder.needsProfile({ ...snapshot, authType: 'external-idp' }))
  for (const authType of ['social', 'builder-id', 'api-key'] as const)
    t.notOk(finder.needsProfile({ ...snapshot, authType }))
  t.notOk(finder.needsProfile({ ...snapshot, profileArn: ARN }))
})
