import t from 'tap'
import { dueAtOf, expiryOf, parseExpiry, tokenAge } from '../../src/credentials/sign-in.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const at = (text: string): number => Date.parse(text)

t.test('parseExpiry() reads what tools write', (t) => {
  const table: [unknown, number | null][] = [
    ['2026-09-01T00:59:00Z', at('2026-09-01T00:59:00Z')],
    ['2026-09-01T00:59:00.123Z', at('2026-09-01T00:59:00.123Z')],
    ['2026-09-01T00:59:00.123456789Z', at('2026-09-01T00:59:00.123Z')],
    ['2026-09-01T02:59:00.123456789+02:00', at('2026-09-01T00:59:00.123Z')],
    ['2026-09-01T00:59:00UTC', at('2026-09-01T00:59:00Z')],
    [at('2026-09-01T00:59:00Z'), at('2026-09-01T00:59:00Z')],
    [at('2026-09-01T00:59:00Z') / 1000, at('2026-09-01T00:59:00Z')],
    ['soon', null],
    ['', null],
    [Number.NaN, null],
    [null, null],
    [undefined, null]
  ]
  for (const [value, expected] of table) t.equal(parseExpiry(value), expected, String(value))
  t.end()
})

t.test('tokenAge()', (t) => {
  const expiresAt = at('2026-09-01T00:59:00Z')
  const stored = storedCredential({ accessToken: 'a', refreshToken: 'r', expiresAt })
  t.test('is due from 600 s before expiry, expired from expiry on', (t) => {
    t.equal(tokenAge(stored, at('2026-09-01T00:48:59.999Z')), 'fresh')
    t.equal(tokenAge(stored, at('2026-09-01T00:49:00Z')), 'due')
    t.equal(tokenAge(stored, at('2026-09-01T00:58:59.999Z')), 'due')
    t.equal(tokenAge(stored, expiresAt), 'expired')
    t.end()
  })
  t.test('trusts an unknown expiry only if nothing could be renewed', (t) => {
    t.equal(tokenAge({ ...stored, expiresAt: null }, 0), 'expired')
    t.equal(tokenAge({ ...stored, expiresAt: null, refreshToken: null }, 0), 'fresh')
    t.equal(tokenAge({ ...stored, accessToken: null }, 0), 'expired')
    t.end()
  })
  t.end()
})

t.test('a token of an hour expires a minute early and is due 600 s before', (t) => {
  const now = at('2026-09-01T00:00:00Z')
  const expiresAt = expiryOf(3600, now)
  t.equal(expiresAt, at('2026-09-01T00:59:00Z'))
  t.equal(dueAtOf(expiresAt, now), at('2026-09-01T00:49:00Z'))
  t.equal(dueAtOf(expiresAt), at('2026-09-01T00:49:00Z'))
  t.equal(dueAtOf(null), null)
  t.end()
})

t.test('a token of minutes is renewed at half its life', (t) => {
  const expiresAt = expiryOf(300, 0)
  t.equal(expiresAt, 240_000)
  t.equal(dueAtOf(expiresAt, 0), 120_000)
  t.equal(expiryOf(10, 0), 5000, 'and never expires at once')
  t.end()
})
