import { createHash } from 'node:crypto'
import t from 'tap'
import {
  endOfSession,
  isSameToken,
  newSessionSecret,
  OPERATOR,
  Sessions
} from '../../src/dashboard/session.ts'
import { SignInTries } from '../../src/dashboard/sign-in-tries.ts'

const HOUR = 3_600_000
const digestOf = (key: string): Buffer => createHash('sha256').update(key).digest()
const key = digestOf('operator-key')
const other = digestOf('other-key')

/** The cookie as a browser sends it. */
function sent(setCookie: string): string {
  return setCookie.split(';', 1)[0] ?? ''
}

t.test('a session lasts twelve hours, in every process that has the secret', async (t) => {
  let now = 1_700_000_000_000
  const secret = newSessionSecret()
  const [one, two] = [new Sessions(secret, () => now), new Sessions(secret, () => now)]
  const { id, cookie, expiresAt, csrf } = one.begin(OPERATOR, key, false)
  const found = { id, expiresAt, subject: OPERATOR, digest: key, csrf }
  t.equal(expiresAt, now + 12 * HOUR)
  t.match(
    cookie,
    /^kiro_gateway_session=[\w.-]+; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/
  )
  const { cookie: sure } = one.begin(OPERATOR, key, true)
  t.match(sure, /^__Host-kiro_gateway_session=[\w.-]+; Path=\/; .*; SameSite=Strict; Secure$/)
  t.ok(one.find(sent(sure), () => [key]))
  const planted = `${sent(cookie)}; ${sent(sure).replace(/.$/, '!')}`
  t.equal(
    one.find(planted, () => [key]),
    null,
    'beside a cookie of this host alone, one that another host may have set counts for nothing'
  )
  t.match(endOfSession(true), [/^__Host-kiro_gateway_session=; /, /^kiro_gateway_session=; /])
  t.same(
    two.find(sent(cookie), () => [other, key]),
    found
  )
  t.same(
    two.find(`a=b; ${sent(cookie)}; c=d`, () => [key]),
    found
  )
  now -= HOUR / 20
  t.ok(
    two.find(sent(cookie), () => [key]),
    'clocks of a fleet differ by minutes'
  )
  now -= HOUR
  t.equal(
    two.find(sent(cookie), () => [key]),
    null,
    'nobody begins a longer one'
  )
  now += HOUR + HOUR / 20 + 12 * HOUR
  t.equal(
    two.find(sent(cookie), () => [key]),
    null,
    'expired'
  )
})

t.test('a session is nothing without its key and its secret', async (t) => {
  const sessions = new Sessions(newSessionSecret())
  const cookie = sent(sessions.begin(OPERATOR, key, false).cookie)
  t.equal(
    sessions.find(cookie, () => [other]),
    null,
    'the key was changed'
  )
  t.equal(
    sessions.find(cookie, () => []),
    null
  )
  t.equal(
    new Sessions(newSessionSecret()).find(cookie, () => [key]),
    null,
    'of another gateway'
  )
})

t.test('a session that has been ended is over, and others are not', async (t) => {
  let now = 1_700_000_000_000
  const sessions = new Sessions(newSessionSecret(), () => now)
  const [own, other] = [1, 2].map(() => sessions.begin(OPERATOR, key, false))
  if (own === undefined || other === undefined) throw new Error('no session')
  sessions.ended.add(own, now)
  t.equal(
    sessions.find(sent(own.cookie), () => [key]),
    null
  )
  t.ok(sessions.find(sent(other.cookie), () => [key]))
  t.match(sessions.ended.list(), [{ id: own.id, expiresAt: own.expiresAt }])
  now += 12 * HOUR
  sessions.ended.add(other, now)
  t.match(
    sessions.ended.list().map(({ id }) => id),
    [other.id],
    'expired ones are forgotten'
  )
  for (let n = 0; n < 10_001; n++) sessions.ended.add({ id: `s${n}`, expiresAt: now + HOUR }, now)
  t.equal(sessions.ended.list().length, 10_000)
})

const digestsOf = (subject: string) => (subject === 'k_anna' ? [other] : [key])

t.test('a person has a session of their key, and each session a form token', async (t) => {
  const sessions = new Sessions(newSessionSecret())
  const [own, again] = [1, 2].map(() => sessions.begin('k_anna', other, false))
  const cookie = sent(own?.cookie ?? '')
  t.match(sessions.find(cookie, digestsOf), { subject: 'k_anna', csrf: own?.csrf })
  t.equal(
    sessions.find(cookie.replace('k_anna', OPERATOR), digestsOf),
    null,
    'nobody becomes the operator'
  )
  t.ok(isSameToken(own?.csrf, own?.csrf ?? ''))
  for (const wrong of [again?.csrf, sessions.openCsrf, '', undefined, ['a'], 'é'.repeat(43)])
    t.notOk(isSameToken(wrong, own?.csrf ?? ''), String(wrong))
})

t.test('forged cookies', async (t) => {
  const sessions = new Sessions('ab'.repeat(32), () => 1_700_000_000_000)
  const cookie = sent(sessions.begin(OPERATOR, key, false).cookie)
  const [, value = ''] = cookie.split('=')
  const [version = '', until = '', nonce = '', subject = '', signature = ''] = value.split('.')
  const later = (Number.parseInt(until, 36) + 1).toString(36)
  const wrong = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
  const name = 'kiro_gateway_session='
  for (const forged of [
    '',
    name,
    `${name}x`,
    `${name}${version}.${later}.${nonce}.${subject}.${signature}`,
    `${name}${version}.${until}.${nonce}.${subject}.${wrong}`,
    `${name}${version}.${until}.${nonce}.${subject}.`,
    `${name}${version}.${until}.${nonce}.${subject}.${signature}A`,
    `${name}3.${until}.${nonce}.${subject}.${signature}`,
    `${name}${version}.zzzzzzzzzzz.${nonce}.${subject}.${signature}`,
    `x${cookie}`,
    `${name}${version}.${until}.${nonce}.k_anna.${signature}`,
    `${name}${'A'.repeat(10_000)}`
  ]) {
    t.equal(
      sessions.find(forged, () => [key]),
      null,
      forged.slice(0, 80)
    )
  }
  t.equal(
    sessions.find(undefined, () => [key]),
    null
  )
  t.ok(
    sessions.find(`${name}x; ${cookie}`, () => [key]),
    'one among others is found'
  )
  t.equal(
    sessions.find(sent(endOfSession(false).join()), () => [key]),
    null
  )
})

t.test('tries: five at once from one address, and then one a minute', async (t) => {
  let now = 0
  const tries = new SignInTries(() => now)
  for (let count = 0; count < 5; count++) t.equal(tries.take('192.0.2.1'), 0)
  t.equal(tries.take('192.0.2.1'), 60_000)
  t.equal(tries.take('::ffff:192.0.2.1'), 60_000, 'the same address')
  t.equal(tries.take('192.0.2.2'), 0, 'another one')
  now = 59_999
  t.equal(tries.take('192.0.2.1'), 1)
  now = 60_000
  t.equal(tries.take('192.0.2.1'), 0)
  t.equal(tries.take('192.0.2.1'), 60_000)
  now = 60_000 + 6 * 60_000
  for (let count = 0; count < 5; count++) t.equal(tries.take('192.0.2.1'), 0, 'all of them again')
  t.not(tries.take('192.0.2.1'), 0)
})

t.test('tries: who has the key does not use any up', async (t) => {
  const tries = new SignInTries(() => 0)
  for (let count = 0; count < 500; count++) {
    t.equal(tries.take('192.0.2.1'), 0)
    tries.succeeded('192.0.2.1')
  }
})

t.test('tries: a network of IPv6 counts as one', async (t) => {
  const tries = new SignInTries(() => 0)
  for (let count = 0; count < 5; count++) t.equal(tries.take(`2001:db8:1:2::${count}`), 0)
  t.not(tries.take('2001:db8:1:2:ffff::1'), 0)
  t.equal(tries.take('2001:db8:1:3::1'), 0)
})

t.test('tries: all addresses together have a limit, and are forgotten in time', async (t) => {
  let now = 0
  const tries = new SignInTries(() => now)
  let allowed = 0
  for (let count = 0; count < 5_000; count++) {
    if (tries.take(`10.0.${count >> 8}.${count & 255}`) === 0) allowed++
  }
  t.equal(allowed, 60)
  now = 10_000
  t.equal(tries.take('192.0.2.1'), 0)
  t.equal(tries.take('192.0.2.2'), 0)
  t.equal(tries.take('192.0.2.3'), 5_000)
})
