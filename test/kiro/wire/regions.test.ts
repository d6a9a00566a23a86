import t from 'tap'
import {
  isProfileArn,
  isRegion,
  resolveApiRegion,
  SharedProfileArn
} from '../../../src/kiro/wire/hosts.ts'

const own = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABC'
const none = { explicit: null, profileArn: null, ssoRegion: null }

t.test('resolveApiRegion()', (t) => {
  t.test('takes the first hint of: explicit, ARN, known sign-in region, us-east-1', (t) => {
    const all = { explicit: 'ap-south-1', profileArn: own, ssoRegion: 'eu-central-1' }
    t.equal(resolveApiRegion(all), 'ap-south-1')
    t.equal(resolveApiRegion({ ...all, explicit: null, ssoRegion: 'us-east-1' }), 'eu-central-1')
    t.equal(resolveApiRegion({ ...none, ssoRegion: 'eu-central-1' }), 'eu-central-1')
    t.equal(resolveApiRegion(none), 'us-east-1')
    t.end()
  })
  t.test('never builds an API host from a sign-in region without API', (t) => {
    t.equal(resolveApiRegion({ ...none, ssoRegion: 'ap-southeast-1' }), 'us-east-1')
    t.end()
  })
  t.test('is not pinned by the shared ARNs', (t) => {
    for (const profileArn of [SharedProfileArn.social, SharedProfileArn.builderId]) {
      t.equal(resolveApiRegion({ ...none, profileArn, ssoRegion: 'eu-central-1' }), 'eu-central-1')
    }
    t.end()
  })
  t.test('ignores an ARN whose region is none', (t) => {
    for (const profileArn of [
      'arn:aws:codewhisperer:evil.com/x:1:profile/x',
      'nonsense',
      'a:b:c::'
    ]) {
      t.equal(resolveApiRegion({ ...none, profileArn }), 'us-east-1', profileArn)
    }
    t.end()
  })
  t.end()
})

t.test('C35. isRegion() refuses what could change a host name', (t) => {
  for (const region of ['us-east-1', 'ap-southeast-2', 'us-gov-west-1'])
    t.ok(isRegion(region), region)
  for (const text of [
    '',
    'us-east',
    'us-east-1.evil.com',
    'us-east-1/',
    'US-EAST-1',
    'x@y',
    'us-east-1\n'
  ]) {
    t.notOk(isRegion(text), JSON.stringify(text))
  }
  t.end()
})

t.test('C35. isProfileArn()', (t) => {
  t.ok(isProfileArn(own))
  t.ok(isProfileArn(SharedProfileArn.social))
  for (const text of ['', `${own} `, own.replace('123456789012', '12345'), `${own}/x`]) {
    t.notOk(isProfileArn(text), JSON.stringify(text))
  }
  t.end()
})
