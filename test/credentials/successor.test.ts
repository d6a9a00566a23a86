import t from 'tap'
import { hashOf } from '../../src/credentials/stored-credential.ts'
import { reconcile, signInOf, type Successor, tokenOf } from '../../src/credentials/vault.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const source = storedCredential({ accessToken: 'a1', refreshToken: 'r1', expiresAt: 100 })
const successor: Successor = {
  derivedFrom: signInOf(source),
  replaces: tokenOf(source),
  accessToken: 'a2',
  refreshToken: 'r2',
  expiresAt: 200,
  profileArn: 'arn'
}
const newer = { ...successor, accessToken: 'a3', refreshToken: 'r3', expiresAt: 300 }

t.test('reconcile()', (t) => {
  t.test('prefers what was renewed since', (t) => {
    t.match(reconcile(source, [null, successor]), {
      accessToken: 'a2',
      refreshToken: 'r2',
      expiresAt: 200,
      profileArn: 'arn'
    })
    t.end()
  })
  t.test('takes the one that lives longest, in any order', (t) => {
    t.match(reconcile(source, [successor, newer]), { accessToken: 'a3' })
    t.match(reconcile(source, [newer, successor]), { accessToken: 'a3' })
    t.end()
  })
  t.test('goes by the time of issue where that is known', (t) => {
    const first = { ...newer, issuedAt: 1 }
    const last = { ...successor, issuedAt: 2 } // lives shorter
    t.match(reconcile(source, [first, last]), { accessToken: 'a2' })
    t.match(reconcile(source, [last, first]), { accessToken: 'a2' })
    t.end()
  })
  t.test('knows its own tokens when they were written back', (t) => {
    const written = { ...source, accessToken: 'a2', refreshToken: 'r2', expiresAt: 200 }
    t.match(reconcile(written, [successor]), { accessToken: 'a2', refreshToken: 'r2' })
    t.end()
  })
  t.test('adopts a new sign-in, even one that lives shorter', (t) => {
    const anew = { ...source, accessToken: 'b1', refreshToken: 'q1', expiresAt: 50 }
    t.equal(reconcile(anew, [successor, newer]), anew)
    t.end()
  })
  t.test('uses a younger access token of the source with the latest refresh token', (t) => {
    const younger = { ...source, accessToken: 'a9', expiresAt: 900 }
    t.match(reconcile(younger, [successor]), {
      accessToken: 'a9',
      expiresAt: 900,
      refreshToken: 'r2'
    })
    t.end()
  })
  t.test('never goes back to the token it replaced, however long that was to live', (t) => {
    const long = { ...source, expiresAt: 900 }
    t.match(reconcile(long, [successor]), { accessToken: 'a2', expiresAt: 200 })
    t.end()
  })
  t.test('keeps the source’s refresh token and ARN where renewing gave none', (t) => {
    const partial = { ...successor, refreshToken: null, profileArn: null }
    const result = reconcile({ ...source, profileArn: 'own' }, [partial])
    t.match(result, { accessToken: 'a2', refreshToken: 'r1', profileArn: 'own' })
    t.end()
  })
  t.end()
})

t.test('signInOf() gives nothing away', (t) => {
  t.match(signInOf(source), /^[0-9a-f]{32}$/)
  t.equal(signInOf(source), hashOf('r1'))
  t.end()
})
