import t from 'tap'
import { parseSignIn, type Registration } from '../../src/credentials/parse-sign-in.ts'

const ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/ABC'
const client = { clientId: 'ci', clientSecret: 'cs' }

function parse(file: Record<string, unknown>, registration: Registration = null) {
  return parseSignIn({ accessToken: 'a1', ...file }, registration, 'us-west-2')
}

function problemOf(file: Record<string, unknown>, registration: Registration) {
  return parse(file, registration).stored.renewalProblem
}

t.test('parseSignIn()', (t) => {
  t.test('reads a desktop sign-in', (t) => {
    const { stored, oddities } = parse({
      refreshToken: 'r1',
      expiresAt: '2026-09-01T00:59:00.123456789Z',
      profileArn: ARN,
      region: 'us-east-1',
      authMethod: 'social',
      provider: 'Github'
    })
    t.same(stored, {
      authType: 'social',
      accessToken: 'a1',
      refreshToken: 'r1',
      expiresAt: Date.parse('2026-09-01T00:59:00.123Z'),
      profileArn: ARN,
      ssoRegion: 'us-east-1',
      apiRegion: null,
      client: null,
      renewalProblem: null
    })
    t.same(oddities, [])
    t.end()
  })
  t.test('tells the kinds of sign-in apart', (t) => {
    const table: [Record<string, unknown>, Registration, string][] = [
      [{}, null, 'social'],
      [{ authMethod: 'social' }, { problem: 'p' }, 'social'],
      [{ authMethod: 'IdC' }, client, 'idc'],
      [{ authMethod: 'IdC' }, null, 'idc'],
      [{}, client, 'idc'],
      [{ authMethod: 'iam' }, client, 'idc'],
      [{ authMethod: 'social' }, client, 'idc'],
      [{ authMethod: 'builder-id' }, client, 'builder-id'],
      [{ authMethod: 'IdC', provider: 'BuilderId' }, client, 'builder-id'],
      [{ startUrl: 'https://view.awsapps.com/start/' }, client, 'builder-id'],
      [{ startUrl: 'https://corp.awsapps.com/start' }, client, 'idc'],
      [{ authMethod: 'external_idp' }, client, 'external-idp'],
      [{ accessToken: 'ksk_1', authMethod: 'api_key' }, null, 'api-key'],
      [{ accessToken: 'ksk_1' }, null, 'api-key']
    ]
    for (const [file, registration, expected] of table) {
      t.equal(parse(file, registration).stored.authType, expected, JSON.stringify(file))
    }
    t.end()
  })
  t.test('says why a sign-in cannot be renewed', (t) => {
    t.equal(problemOf({}, null), null)
    t.equal(problemOf({}, client), null)
    t.match(problemOf({ authMethod: 'IdC' }, null), 'no client registration')
    t.equal(problemOf({}, { problem: 'it is gone' }), 'it is gone')
    t.match(problemOf({ authMethod: 'external_idp' }, null), 'identity provider')
    t.match(problemOf({ accessToken: 'ksk_1' }, null), 'API key')
    t.end()
  })
  t.test('does not keep what Builder ID must not send, and no malformed ARN', (t) => {
    const builder = parse({ profileArn: ARN, authMethod: 'builder-id' }, client)
    t.equal(builder.stored.profileArn, null)
    const bad = parse({ profileArn: 'arn:x', expiresAt: '2026-09-01T00:00:00Z' })
    t.equal(bad.stored.profileArn, null)
    t.match(bad.oddities, ['profileArn is malformed and ignored'])
    t.end()
  })
  t.test('takes the sign-in region from the settings where the file has none', (t) => {
    t.equal(parse({}).stored.ssoRegion, 'us-west-2')
    t.same(parse({ apiRegion: 'eu-central-1' }).stored.apiRegion, 'eu-central-1')
    t.end()
  })
  t.test('refuses damage without repeating it', (t) => {
    const table: [Record<string, unknown>, string][] = [
      [{ accessToken: undefined }, 'neither "accessToken" nor "refreshToken"'],
      [{ accessToken: '', refreshToken: 7 }, 'neither'],
      [{ accessToken: 'secret\r\nx: y' }, 'damaged "accessToken"'],
      [{ refreshToken: 'secret...' }, 'damaged "refreshToken"'],
      [{ region: 'secret.evil.com/' }, '"region" that is not an AWS region'],
      [{ apiRegion: 'secret' }, '"apiRegion"'],
      [{ accessToken: 'secret', authMethod: 'api_key' }, 'claims to hold an API key']
    ]
    for (const [file, message] of table) {
      const error = t.throws(() => parse(file), { message: new RegExp(message) })
      t.notMatch(String(error), 'secret')
    }
    t.end()
  })
  t.end()
})
