import t from 'tap'
import { whyRefused } from '../../src/keys/key.ts'

t.test('whyRefused()', async (t) => {
  const open = { expiresAt: null, revokedAt: null }
  t.equal(whyRefused(open, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 6 }, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 5 }, 5), 'expired')
  t.equal(whyRefused({ expiresAt: 5, revokedAt: 9 }, 5), 'revoked', 'which no clock undoes')
})
