import t from 'tap'
import type { AuthType } from '../../../src/kiro/wire/credential-snapshot.ts'
import {
  desktopUrl,
  type HostKind,
  hostsFor,
  managementUrl,
  oidcUrl,
  profileArnFor,
  runtimeUrl,
  SharedProfileArn
} from '../../../src/kiro/wire/hosts.ts'

const defaults = { apiUrl: null, managementUrl: null, authUrl: null, oidcUrl: null }
const europe = { apiRegion: 'eu-central-1' }
const own = 'arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABC'

t.test('hostsFor()', (t) => {
  t.test('offers the runtime host, then q, in the API region', (t) => {
    t.same(hostsFor(europe, defaults), [
      { url: 'https://runtime.eu-central-1.kiro.dev', kind: 'runtime' },
      { url: 'https://q.eu-central-1.amazonaws.com', kind: 'q' }
    ])
    t.end()
  })
  t.test('offers an override alone, with its path and its scheme', (t) => {
    const apiUrl = 'http://127.0.0.1:9/kiro/{region}/'
    const hosts = hostsFor(europe, { ...defaults, apiUrl })
    t.same(hosts, [{ url: 'http://127.0.0.1:9/kiro/eu-central-1', kind: 'custom' }])
    t.equal(
      hosts.map((host) => runtimeUrl(host, 'generate', 'path')).join(),
      'http://127.0.0.1:9/kiro/eu-central-1/generateAssistantResponse'
    )
    for (const operation of ['generate', 'mcp'] as const) {
      t.equal(
        hosts.map((host) => runtimeUrl(host, operation, 'target')).join(),
        'http://127.0.0.1:9/kiro/eu-central-1/'
      )
    }
    t.end()
  })
  t.end()
})

t.test('the other hosts follow their own override', (t) => {
  t.equal(managementUrl(europe, defaults), 'https://management.eu-central-1.kiro.dev')
  t.equal(managementUrl(europe, { ...defaults, apiUrl: 'http://h:1' }), 'http://h:1')
  const both = { ...defaults, apiUrl: 'http://h:1', managementUrl: 'http://h:2/m' }
  t.equal(managementUrl(europe, both), 'http://h:2/m')
  t.equal(
    desktopUrl('us-east-1', '/refreshToken', defaults),
    'https://prod.us-east-1.auth.desktop.kiro.dev/refreshToken'
  )
  t.equal(
    desktopUrl('us-east-1', '/refreshToken', { ...defaults, authUrl: 'http://a:1/x' }),
    'http://a:1/x/refreshToken'
  )
  t.equal(oidcUrl('eu-west-1', '/token', defaults), 'https://oidc.eu-west-1.amazonaws.com/token')
  t.equal(
    oidcUrl('eu-west-1', '/token', { ...defaults, oidcUrl: 'http://o:1' }),
    'http://o:1/token'
  )
  t.end()
})

t.test('profileArnFor() follows the table of auth types and hosts', (t) => {
  const { social, builderId } = SharedProfileArn
  const table: [AuthType, string | null, Record<HostKind, string | null>][] = [
    ['social', own, { runtime: own, custom: own, q: own }],
    ['social', null, { runtime: social, custom: social, q: social }],
    ['builder-id', null, { runtime: builderId, custom: builderId, q: null }],
    ['builder-id', own, { runtime: own, custom: own, q: null }],
    ['idc', own, { runtime: own, custom: own, q: own }],
    ['idc', null, { runtime: null, custom: null, q: null }],
    ['external-idp', own, { runtime: own, custom: own, q: own }],
    ['api-key', own, { runtime: null, custom: null, q: null }]
  ]
  for (const [authType, profileArn, expected] of table) {
    for (const kind of ['runtime', 'custom', 'q'] as const) {
      const name = `${authType} with ${profileArn === null ? 'no' : 'an'} own ARN on ${kind}`
      t.equal(profileArnFor({ authType, profileArn }, kind), expected[kind], name)
    }
  }
  t.end()
})
