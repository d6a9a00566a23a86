import t from 'tap'
import { MAX_HASHES, MAX_KEYS, rotateHashes } from '../../src/keys/key-file.ts'
import {
  formatShared,
  isInFile,
  isSameShared,
  keysOf,
  merge,
  NO_SHARED_KEYS,
  parseShared,
  type SharedKey,
  type SharedKeys,
  tidy,
  withEndsOf,
  withFile
} from '../../src/keys/shared-keys.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import * as fc from '../helper/fast-check.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'

const T = 1_000_000

const anyKey: fc.Arbitrary<SharedKey> = fc
  .record({
    id: fc.integer({ min: 1, max: 4 }),
    name: fc.constantFrom('anna', 'Anna', 'ben'),
    hashes: fc.uniqueArray(
      fc.record({
        text: fc.constantFrom('a', 'b', 'c'),
        until: fc.option(fc.integer({ min: 1, max: 5 }))
      }),
      { minLength: 1, selector: ({ text }) => text }
    ),
    maxStreams: fc.option(fc.integer({ min: 1, max: 3 })),
    revokedAt: fc.option(fc.integer({ min: 1, max: 9 })),
    edits: fc.integer({ min: 1, max: 3 }),
    editedAt: fc.integer({ min: 1, max: 3 })
  })
  .map(({ id, edits, editedAt, hashes, ...members }) => ({
    key: namedKey({
      ...members,
      id: `k_${id}`,
      hashes: hashes.map(({ text, until }) => hashOfKey(`${id} ${text}`, until))
    }),
    edits,
    editedAt
  }))

const anyShared: fc.Arbitrary<SharedKeys> = fc
  .record({
    keys: fc.uniqueArray(anyKey, { selector: ({ key }) => key.id }),
    gone: fc.array(fc.constantFrom('k_1', 'k_2', 'k_9'), { maxLength: 2 })
  })
  .map(({ keys, gone }) => {
    const ids = new Set<string>(gone)
    const there = keys.filter(({ key }) => !ids.has(key.id))
    return { keys: new Map(there.map((one) => [one.key.id, one])), gone: ids }
  })

function ofKeys(...keys: readonly NamedKey[]): SharedKeys {
  return withFile(NO_SHARED_KEYS, keys, T)
}

function rotated(key: NamedKey, text: string, until: number): NamedKey {
  return { ...key, hashes: [hashOfKey(text), hashOfKey('old', until)] }
}

function many(from: number, count: number, revokedAt: number | null): readonly NamedKey[] {
  return Array.from({ length: count }, (_, at) =>
    namedKey({
      id: `k_${from + at}`,
      name: `n${from + at}`,
      hashes: [hashOfKey(`${from + at}`)],
      revokedAt
    })
  )
}

function only(shared: SharedKeys): NamedKey {
  const [key] = keysOf(shared)
  if (key === undefined) throw new Error('no key')
  return key
}

t.test('in whatever order and however often versions meet, the same comes of it', async (t) => {
  fc.assert(
    fc.property(anyShared, anyShared, anyShared, (a, b, c) => {
      const left = merge(merge(a, b), c)
      return (
        isSameShared(merge(a, b), merge(b, a)) &&
        isSameShared(left, merge(a, merge(b, c))) &&
        isSameShared(merge(left, b), left) &&
        isSameShared(merge(a, a), merge(merge(a, a), a))
      )
    }),
    { numRuns: 800 }
  )
  t.pass('800 times')
})

t.test('what is revoked, ended or gone in one of them is so in all', async (t) => {
  fc.assert(
    fc.property(anyShared, anyShared, (a, b) => {
      const both = merge(a, b)
      for (const id of [...a.gone, ...b.gone]) if (both.keys.has(id)) return false
      for (const one of [a, b]) {
        for (const [id, { key }] of one.keys) {
          const found = both.keys.get(id)?.key
          if (found === undefined) continue
          if (key.revokedAt !== null && (found.revokedAt ?? Infinity) > key.revokedAt) return false
          for (const { sha256, until } of key.hashes) {
            const hash = found.hashes.find((other) => other.sha256 === sha256)
            if (until !== null && hash !== undefined && (hash.until ?? Infinity) > until)
              return false
          }
        }
      }
      return true
    }),
    { numRuns: 800 }
  )
  t.pass('800 times')
})

t.test('the text says the same, and nothing else is believed', async (t) => {
  fc.assert(
    fc.property(anyShared, (shared) => {
      const neat = tidy(shared)
      const read = neat === null ? null : parseShared(formatShared(neat))
      return read !== null && neat !== null && isSameShared(read, neat)
    })
  )
  const hostile = ['', '[]', '{}', '{"version":1,"keys":[]}', '{"version":2,"keys":[],"gone":[]}']
  for (const text of hostile) t.equal(parseShared(text), null, text)
  const text = formatShared(ofKeys(namedKey()))
  t.not(parseShared(text), null)
  t.equal(parseShared(text.replace('"edits":1', '"edits":-1')), null)
  t.equal(parseShared(text.replace('"edits":1', '"edits":1e300')), null)
  t.equal(parseShared(text.slice(0, -3)), null)
})

/** True if the secret of that hash is still good long after T. */
function isValid(keys: readonly NamedKey[], sha256: string): boolean {
  const hashes = keys.flatMap((key) => key.hashes).filter((one) => one.sha256 === sha256)
  return hashes.some(({ until }) => until === null || until > T + 100)
}

t.test('a secret that was rotated away stays so for a file that is never written', async (t) => {
  const { sha256 } = hashOfKey('old')
  const anna = namedKey({ hashes: [hashOfKey('old')] })
  let key = anna
  let shared = ofKeys(anna)
  for (let times = 1; times <= MAX_HASHES + 2; times += 1) {
    const made = hashOfKey(`new ${times}`)
    key = { ...key, hashes: rotateHashes(key.hashes, { sha256: made.sha256, until: T + times }) }
    shared = merge(shared, withFile(shared, [key], T + times))
    t.notOk(isValid(withEndsOf(shared, [anna]), sha256), `after ${times}`)
    const next = hashOfKey(`next ${times}`)
    const here = { ...key, hashes: rotateHashes(key.hashes, { sha256: next.sha256, until: T }) }
    t.ok(isValid(withEndsOf(shared, [here]), next.sha256), 'but not a newer one')
  }
})

t.test('withFile()', async (t) => {
  const anna = namedKey({ hashes: [hashOfKey('old')] })
  const before = ofKeys(anna)

  t.test('nothing was done', async (t) => {
    t.ok(isSameShared(withFile(before, [anna], T + 5), before))
    t.ok(isInFile(before, [anna]))
  })
  t.test('of two edits made apart the newer stands, and the later of two as new', async (t) => {
    const one = withFile(before, [{ ...anna, maxStreams: 1 }], T + 1)
    const other = withFile(before, [{ ...anna, maxStreams: 2 }], T + 2)
    t.equal(only(merge(one, other)).maxStreams, 2)
    const twice = withFile(one, [{ ...anna, maxStreams: 3 }], T + 1)
    t.equal(only(merge(other, twice)).maxStreams, 3)
  })
  t.test('who revokes wins, whatever the others do meanwhile', async (t) => {
    const revoked = withFile(before, [{ ...anna, revokedAt: T + 1 }], T + 1)
    let busy = before
    for (const maxStreams of [1, 2, 3, 4]) busy = withFile(busy, [{ ...anna, maxStreams }], T + 9)
    t.match(only(merge(busy, revoked)), { revokedAt: T + 1, maxStreams: 4 })
    const undone = withFile(revoked, [{ ...anna, maxStreams: 9 }], T + 9)
    t.equal(only(undone).revokedAt, T + 1, 'also in the file itself')
  })
  t.test(
    'a key that is missing was revoked; one that was so already never comes back',
    async (t) => {
      const missing = withFile(before, [], T + 3)
      t.equal(only(missing).revokedAt, T + 3)
      const gone = withFile(missing, [], T + 4)
      t.equal(gone.keys.size, 0)
      const stale = withFile(before, [{ ...anna, maxStreams: 7 }], T + 9)
      t.equal(merge(stale, gone).keys.size, 0)
    }
  )
  t.test('rotated apart: what both have made lets in, what both have ended does not', async (t) => {
    const one = withFile(before, [rotated(anna, 'new', T + 1)], T + 1)
    const other = withFile(before, [rotated(anna, 'newer', T + 2)], T + 2)
    const { hashes } = only(merge(one, other))
    const of = (text: string) => hashes.find(({ sha256 }) => sha256 === hashOfKey(text).sha256)
    t.match(
      [of('new'), of('newer'), of('old')],
      [{ until: null }, { until: null }, { until: T + 1 }]
    )
  })
  t.test('a hash that was taken out of the file lets nobody in', async (t) => {
    const two = ofKeys({ ...anna, hashes: [hashOfKey('old'), hashOfKey('leaked')] })
    const after = withFile(two, [anna], T + 6)
    const leaked = only(merge(two, after)).hashes.find(
      ({ sha256 }) => sha256 === hashOfKey('leaked').sha256
    )
    t.equal(leaked?.until, T + 6)
  })
})

t.test('tidy()', async (t) => {
  t.test('two keys of one name that were made apart have two', async (t) => {
    const one = ofKeys(namedKey({ id: 'k_a', hashes: [hashOfKey('a')], createdAt: 5 }))
    const other = ofKeys(
      namedKey({ id: 'k_b', name: 'Anna', hashes: [hashOfKey('b')], createdAt: 6 })
    )
    const neat = tidy(merge(one, other))
    t.same(
      keysOf(neat ?? NO_SHARED_KEYS).map(({ name }) => name),
      ['anna', 'Anna-2']
    )
    t.ok(isSameShared(tidy(neat ?? NO_SHARED_KEYS) ?? NO_SHARED_KEYS, neat ?? NO_SHARED_KEYS))
  })
  t.test('the oldest revoked make room, and never come back', async (t) => {
    const revoked = many(0, 10, 5)
    const both = merge(ofKeys(...revoked), ofKeys(...many(10, MAX_KEYS, null)))
    const neat = tidy(both) ?? NO_SHARED_KEYS
    t.equal(neat.keys.size, MAX_KEYS)
    t.equal(neat.gone.size, 10)
    t.equal(merge(neat, ofKeys(...revoked)).keys.size, MAX_KEYS)
    t.equal(tidy(merge(both, ofKeys(...many(5_000, 1, null)))), null, 'one too many in force')
  })
})

t.test(
  'what is gone is forgotten only beyond its bound, and the same is not counted twice',
  async (t) => {
    const gone = new Set(
      Array.from({ length: 10_000 }, (_, at) => `k_${String(at).padStart(5, '0')}`)
    )
    const shared = { keys: new Map(), gone }
    t.equal(merge(shared, shared).gone.size, 10_000)
    const more = { keys: new Map(), gone: new Set(['z']) }
    t.equal(merge(shared, more).gone.size, 10_000)
    t.ok(merge(shared, more).gone.has('z'))
  }
)
