import { deepEqual, ok } from 'node:assert/strict'
import t from 'tap'
import { maskHeaders, SecretMasker, secretsOf } from '../../src/observe/secret-masker.ts'
import * as fc from '../helper/fast-check.ts'

function masked(pieces: readonly string[], secrets: readonly string[] = []): string {
  const masker = new SecretMasker(() => secrets)
  const told = pieces.map((piece) => masker.push(Buffer.from(piece)))
  return Buffer.concat([...told, masker.end()]).toString()
}

const TOKENS = [
  'ksk_abcdefghijklmnop',
  'kgw_abcdefghijklmnop',
  'aoaAAAAAGabcdefghijk',
  'eyJhbGciOiJIUzI1NiJ9.abc.def',
  'Bearer abcdefghijklmnopqrst'
]

const SECRETS = ['my-secret-key', 'hunter2']

const ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/ABC'

t.test(
  'hides tokens, what is known to be secret, and accounts, and keeps every length',
  async (t) => {
    for (const token of TOKENS) {
      t.equal(masked([`say ${token}, please`]), `say ${'x'.repeat(token.length)}, please`)
    }
    t.equal(masked(['a my-secret-key b'], ['my-secret-key']), 'a xxxxxxxxxxxxx b')
    const quoted = 'kéy "with" \\ more'
    const hidden = 'x'.repeat(Buffer.from(JSON.stringify(quoted)).length - 2)
    t.equal(masked([JSON.stringify({ key: quoted })], [quoted]), `{"key":"${hidden}"}`, 'in JSON')
    t.equal(masked([`a ${quoted} b`], [quoted]), `a ${'x'.repeat(Buffer.from(quoted).length)} b`)
    t.equal(masked([ARN]), ARN.replace('123456789012', '000000000000'))
    t.equal(masked(['ümläut 🙂 ', 'täxt']), 'ümläut 🙂 täxt')
  }
)

t.test(
  'hides a short secret where it stands by itself, and leaves words that contain it',
  async (t) => {
    t.equal(
      masked(['{"key":"short","text":"say short, not shorter or un_short"}'], ['short']),
      '{"key":"xxxxx","text":"say xxxxx, not shorter or un_short"}'
    )
    t.equal(masked(['Bearer abc\nx-api-key: abc'], ['abc']), 'Bearer xxx\nx-api-key: xxx')
    t.equal(masked(['a?key=s3c!&b s3c! ns3c!'], ['s3c!']), 'a?key=xxxx&b xxxx ns3c!')
    t.equal(masked(['é kéy kéyé'], ['kéy']), 'é xxxx kéyé')
    t.equal(masked(['anything'], ['']), 'anything')
  }
)

t.test('leaves JSON valid, whatever a secret is', async (t) => {
  for (const secret of ['7', '42', '1000', 'true', 'false', 'null', '1234567890']) {
    const body = `{"n":${secret},"list":[ ${secret}, "${secret}"]}`
    const told = masked([body], [secret])
    t.equal(told.length, body.length)
    t.notOk(new RegExp(`\\b${secret}\\b`).test(told), told)
    t.doesNotThrow(() => JSON.parse(told), secret)
  }
})

t.test('however a text is cut', async () => {
  const piece = fc.oneof(
    fc.constantFrom(...TOKENS, ARN, ...SECRETS, 'hunter2s', ' ', '"', '🙂'),
    fc.string({ maxLength: 30 }),
    fc.integer({ min: 0, max: 9000 }).map((length) => ' word'.repeat(length / 5))
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 6 }),
      (texts, cuts) => {
        const text = texts.join(' ')
        const bytes = Buffer.from(text)
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted(
          (a, b) => a - b
        )
        const masker = new SecretMasker(() => SECRETS)
        const told = places
          .slice(1)
          .map((end, index) => masker.push(bytes.subarray(places[index], end)))
        const whole = Buffer.concat([...told, masker.end()]).toString()
        deepEqual(whole, masked([text], SECRETS))
        deepEqual(Buffer.byteLength(whole), bytes.length)
        for (const secret of [...TOKENS, 'my-secret-key', '123456789012'])
          ok(!whole.includes(secret))
      }
    )
  )
})

t.test('a token longer than what is held back is hidden to its end', async (t) => {
  const token = `eyJ${'a'.repeat(30_000)}`
  const pieces = token.match(/.{1,1000}/g) ?? []
  t.equal(masked([...pieces, ' end']), `${'x'.repeat(token.length)} end`)
})

t.test('headers', async (t) => {
  const headers = {
    authorization: 'Bearer abcdefgh12345678',
    'x-api-key': 'key-of-a-client',
    cookie: 'sid=12345678',
    tokentype: 'API_KEY',
    accept: 'a/b',
    none: undefined
  }
  t.same(maskHeaders(headers), {
    authorization: '[secret]',
    'x-api-key': '[secret]',
    cookie: '[secret]',
    tokentype: 'API_KEY',
    accept: 'a/b'
  })
  t.same(secretsOf(headers), ['abcdefgh12345678', 'key-of-a-client', 'sid=12345678'])
})
