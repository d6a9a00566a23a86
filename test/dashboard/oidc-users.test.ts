import t from 'tap'
import { OidcTrips } from '../../src/dashboard/oidc-trip.ts'
import {
  admitOidcUser,
  oidcDigests,
  oidcSubject,
  oidcUserOf
} from '../../src/dashboard/oidc-users.ts'
import { Sessions } from '../../src/dashboard/session.ts'

const RULES = {
  oidcIssuer: 'https://id.example.com',
  oidcClientId: 'panel',
  operators: ['Anna@example.com', '*@team.example.com', '*', 'ben'],
  oidcGroups: ['gateway-admins']
} as const

const claims = (email: string, isVerified: unknown = true) => ({
  sub: 's1',
  email,
  email_verified: isVerified
})

t.test('who may operate', async (t) => {
  t.same(admitOidcUser(claims('ANNA@example.com'), RULES), {
    user: 'anna@example.com',
    by: 'email:Anna@example.com'
  })
  t.same(admitOidcUser(claims('eve@team.example.com', 'true'), RULES), {
    user: 'eve@team.example.com',
    by: 'email:*@team.example.com'
  })
  for (const stranger of [
    'eve@example.com',
    'anna@example.com.evil.org',
    'x@evil-team.example.com',
    'x@team.example.com@evil.org',
    'ben',
    '*',
    ''
  ])
    t.equal(admitOidcUser(claims(stranger), RULES), 'not-allowed', stranger)
  for (const isVerified of [false, undefined, 'false', 1, null])
    t.equal(
      admitOidcUser({ ...claims('anna@example.com'), email_verified: isVerified }, RULES),
      'unverified'
    )
  const group = { by: 'group:gateway-admins' }
  t.match(admitOidcUser({ sub: 's1', groups: ['staff', 'gateway-admins'] }, RULES), group)
  t.match(admitOidcUser({ sub: 's1', groups: 'gateway-admins' }, RULES), group)
  t.equal(admitOidcUser({ sub: 's1', groups: ['staff'] }, RULES), 'not-allowed')
})

t.test('nobody takes the name of another for the audit log', async (t) => {
  const groups = ['gateway-admins']
  t.match(
    admitOidcUser(
      { ...claims('boss@example.com', false), groups, preferred_username: 'eve' },
      RULES
    ),
    { user: 'eve (s1)', by: 'group:gateway-admins' },
    'an address that nobody has verified is not shown'
  )
  t.match(admitOidcUser({ sub: 'a\nb\u202e', groups }, RULES), { user: 'a?b?' })
})

t.test('a session ends with the rule that let its user in', async (t) => {
  const user = { user: 'anna@example.com', by: 'email:Anna@example.com' }
  const subject = oidcSubject(user) ?? ''
  t.match(subject, /^oidc-[\w-]+$/)
  t.same(oidcUserOf(subject), user)
  const [digest] = oidcDigests(user, RULES)
  t.equal(digest?.byteLength, 32)
  t.same(oidcDigests(user, { ...RULES, operators: ['*@example.com'] }), [])
  t.same(oidcDigests(user, { ...RULES, oidcIssuer: null }), [])
  t.notSame(oidcDigests(user, { ...RULES, oidcClientId: 'other' }), [digest])
  t.same(oidcDigests({ ...user, by: 'group:Anna@example.com' }, RULES), [])
  for (const other of ['operator', 'k_1', 'oidc-', 'oidc-AAAA', 'oidc-W10'])
    t.equal(oidcUserOf(other), null, other)
  t.equal(oidcSubject({ user: 'x'.repeat(500), by: 'group:a' }), null, 'too long for a cookie')
})

t.test('a sign-in under way is a signed cookie of ten minutes', async (t) => {
  let now = 1_800_000_000_000
  const trips = new OidcTrips(new Sessions('ab'.repeat(32)), () => now)
  const checks = {
    state: 's'.repeat(43),
    nonce: 'n'.repeat(43),
    verifier: 'v'.repeat(43),
    device: 'BCDFGHJK'
  }
  const cookie = trips.begin(checks, true)
  t.match(cookie, /^__Host-\w+=[\w.-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/)
  t.match(trips.begin(checks, false), /^\w+=[\w.-]+; Path=\/; .*SameSite=Lax$/)
  const [pair = ''] = cookie.split(';', 1)
  t.same(trips.find(`other=1; ${pair}`), checks)
  t.equal(
    new OidcTrips(new Sessions('cd'.repeat(32)), () => now).find(pair),
    null,
    'of another gateway'
  )
  const middle = pair.length - 60
  for (let at = 20; at < pair.length; at += 7) {
    const forged = pair.slice(0, at) + (pair[at] === 'a' ? 'b' : 'a') + pair.slice(at + 1)
    t.equal(trips.find(forged), null, `changed at ${at} of ${middle}`)
  }
  now += 600_000
  t.equal(trips.find(pair), null, 'too late')
  for (const none of [undefined, '', 'kiro_gateway_oidc=', 'kiro_gateway_oidc=1.2.3.4.5.6'])
    t.equal(trips.find(none), null)
})
