import t from 'tap'
import { nextEndOf, whyRefused } from '../../src/keys/key.ts'

t.test('whyRefused()', async (t) => {
  const open = { expiresAt: null, revokedAt: null }
  t.equal(whyRefused(open, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 6 }, 5), null)
  t.equal(whyRefused({ ...open, expiresAt: 5 }, 5), 'expired')
  t.equal(whyRefused({ expiresAt: 5, revokedAt: 9 }, 5), 'revoked', 'which no clock undoes')
})

const former = (until: number) => ({ sha256: '', until })

t.test('nextEndOf() is the end of a key or of a former secret that is still ahead', async (t) => {
  const current = { sha256: '', until: null }
  t.equal(nextEndOf([{ expiresAt: null, hashes: [current] }], 5), null)
  t.equal(nextEndOf([{ expiresAt: 5, hashes: [former(4)] }], 5), null, 'both have ended')
  const keys = [
    { expiresAt: 9, hashes: [current, former(3)] },
    { expiresAt: null, hashes: [current, former(8)] },
    { expiresAt: 10, hashes: [current] }
  ]
  t.equal(nextEndOf(keys, 5), 8)
  t.equal(nextEndOf(keys, 8), 9)
})
