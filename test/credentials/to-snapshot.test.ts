import t from 'tap'
import { toSnapshot } from '../../src/credentials/sign-in.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const ARN = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABC'
const none = { profileArn: null, apiRegion: null }
const stored = {
  ...storedCredential({ refreshToken: 'r1', ssoRegion: 'ap-southeast-1' }),
  accessToken: 'a1'
}

t.test('toSnapshot()', (t) => {
  t.test('keeps sign-in region and API region apart', (t) => {
    t.equal(toSnapshot('id', stored, none).apiRegion, 'us-east-1')
    t.equal(toSnapshot('id', { ...stored, profileArn: ARN }, none).apiRegion, 'eu-central-1')
    t.equal(toSnapshot('id', stored, { ...none, apiRegion: 'us-west-2' }).apiRegion, 'us-west-2')
    const named = { ...stored, apiRegion: 'eu-central-1' }
    t.equal(toSnapshot('id', named, { ...none, apiRegion: 'us-west-2' }).apiRegion, 'eu-central-1')
    t.end()
  })
  t.test('takes PROFILE_ARN where the sign-in names no profile', (t) => {
    const settings = { ...none, profileArn: 'arn:x' }
    t.equal(toSnapshot('id', stored, settings).profileArn, 'arn:x')
    t.equal(toSnapshot('id', { ...stored, profileArn: ARN }, settings).profileArn, ARN)
    t.end()
  })
  t.test('gives workers what a call needs and nothing else', (t) => {
    t.same(toSnapshot('id', { ...stored, authType: 'external-idp', expiresAt: 7 }, none), {
      id: 'id',
      token: 'a1',
      tokenType: 'EXTERNAL_IDP',
      authType: 'external-idp',
      profileArn: null,
      apiRegion: 'us-east-1',
      expiresAt: 7
    })
    t.end()
  })
  t.end()
})
