import t from 'tap'
import {
  isProfileArn,
  isRegion,
  regionsToAsk,
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
  t.test('knows GovCloud, by sign-in and by ARN', (t) => {
    t.equal(resolveApiRegion({ ...none, ssoRegion: 'us-gov-east-1' }), 'us-gov-east-1')
    const profileArn = own
      .replace('arn:aws:', 'arn:aws-us-gov:')
      .replace('eu-central', 'us-gov-west')
    t.equal(resolveApiRegion({ ...none, profileArn }), 'us-gov-west-1')
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

t.test('isRegion() refuses what could change a host name', (t) => {
  for (const region of [
    'us-east-1',
    'ap-southeast-2',
    'us-gov-west-1',
    'us-iso-east-1',
    'us-isob-east-1',
    'eusc-de-east-1'
  ])
    t.ok(isRegion(region), region)
  for (const text of [
    '',
    'us-east',
    'us-east-1.evil.com',
    'us-east-1/',
    'US-EAST-1',
    'x@y',
    'us-east-1\n',
    'us-east-01',
    'us_east_1',
    'a.b',
    'evil.example',
    `us-${'x'.repeat(60)}-1`
  ]) {
    t.notOk(isRegion(text), JSON.stringify(text))
  }
  t.end()
})

t.test('isProfileArn()', (t) => {
  t.ok(isProfileArn(own))
  t.ok(isProfileArn(SharedProfileArn.social))
  t.ok(isProfileArn(own.replace('arn:aws:', 'arn:aws-us-gov:')))
  t.notOk(isProfileArn(own.replace('arn:aws:', 'arn:awsx:')))
  for (const text of ['', `${own} `, own.replace('123456789012', '12345'), `${own}/x`]) {
    t.notOk(isProfileArn(text), JSON.stringify(text))
  }
  t.end()
})

t.test('regionsToAsk() stays within a partition', (t) => {
  t.same(regionsToAsk('us-east-1'), ['us-east-1', 'eu-central-1'])
  t.same(regionsToAsk('eu-central-1'), ['eu-central-1', 'us-east-1'])
  t.same(regionsToAsk('ap-south-1'), ['ap-south-1', 'us-east-1', 'eu-central-1'])
  t.same(regionsToAsk('us-gov-east-1'), ['us-gov-east-1', 'us-gov-west-1'])
  t.end()
})
