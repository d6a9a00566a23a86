import t from 'tap'
import { formatKeysFile, NO_KEYS, parseKeysFile, rotateHashes } from '../../src/keys/key-file.ts'
import { parseJsonObject } from '../../src/shared/json.ts'
import { namedKey } from '../helper/named-key.ts'

const CREATED = '2026-09-01T00:00:00.000Z'

function entry(members: object = {}) {
  return {
    id: 'k_1',
    name: 'anna',
    hashes: [{ sha256: 'a'.repeat(64) }],
    createdAt: CREATED,
    ...members
  }
}

function fileOf(...entries: readonly object[]): string {
  return JSON.stringify({ version: 1, keys: entries })
}

const full = namedKey({
  hashes: [
    { sha256: 'a'.repeat(64), until: null },
    { sha256: 'b'.repeat(64), until: 1_800_000_000_000 }
  ],
  credits: { limit: 200, period: 'month' },
  requestsPerMinute: 30,
  maxStreams: 4,
  models: ['claude-*', 'auto'],
  mayOverage: true,
  expiresAt: 1_900_000_000_000,
  revokedAt: 1_850_000_000_000
})

t.test('reads what it writes', async (t) => {
  for (const keys of [
    [],
    [full],
    [namedKey(), namedKey({ id: 'k_2', name: 'ben', hashes: full.hashes })]
  ]) {
    t.same(parseKeysFile(formatKeysFile(NO_KEYS, keys), 'keys.json').keys, keys)
  }
})

t.test('keeps what it does not know', async (t) => {
  const text = JSON.stringify({
    note: 'ours',
    version: 1,
    keys: [
      entry({
        team: { a: 1 },
        credits: { limit: 5, period: 'day', rollover: true },
        hashes: [{ sha256: 'a'.repeat(64), device: 'laptop' }]
      }),
      entry({ id: 'k_2', name: 'ben', hashes: [{ sha256: 'b'.repeat(64) }], models: null })
    ]
  })
  const before = parseKeysFile(text, 'keys.json')
  const [anna, ben] = before.keys
  if (anna === undefined || ben === undefined) throw new Error('two keys were read')
  const changed = {
    ...anna,
    maxStreams: 2,
    credits: { limit: 6, period: 'week' as const },
    hashes: rotateHashes(anna.hashes, { sha256: 'c'.repeat(64), until: 5_000 })
  }
  t.same(parseJsonObject(formatKeysFile(before, [ben, changed])), {
    note: 'ours',
    version: 1,
    keys: [
      { id: 'k_2', name: 'ben', createdAt: CREATED, hashes: [{ sha256: 'b'.repeat(64) }] },
      {
        ...entry({ team: { a: 1 }, maxStreams: 2 }),
        credits: { limit: 6, period: 'week', rollover: true },
        hashes: [
          { sha256: 'c'.repeat(64) },
          { sha256: 'a'.repeat(64), device: 'laptop', until: '1970-01-01T00:00:05.000Z' }
        ]
      }
    ]
  })
  const withoutLimit = formatKeysFile(before, [{ ...anna, credits: null }])
  t.match(parseKeysFile(withoutLimit, '').keys, [{ credits: null }], 'a limit can be taken away')
})

t.test('says what is wrong with a file', async (t) => {
  for (const [text, problem] of [
    ['', /is not a complete JSON object/],
    ['{"version": 1, "keys": [', /is not a complete JSON object/],
    ['[]', /is not a complete JSON object/],
    ['{}', /was not written by "kiro-gateway key add"/],
    ['{"version": "1", "keys": []}', /was not written by/],
    ['{"version": 1, "keys": {}}', /was not written by/],
    ['{"version": 2, "keys": "?"}', /newer version.*\(2\)/],
    [fileOf(entry({ name: '../a' })), /damaged key, "\.\.\/a"/],
    [fileOf(entry({ name: undefined })), /damaged key, number 1: "name"/],
    [fileOf(entry({ id: 'a b' })), /"anna": "id"/],
    [fileOf(entry({ hashes: [] })), /"hashes"/],
    [fileOf(entry({ hashes: [{ sha256: 'A'.repeat(64) }] })), /"hashes"/],
    [fileOf(entry({ hashes: [{ sha256: 'a'.repeat(64), until: 'soon' }] })), /"until"/],
    [fileOf(entry({ credits: 5 })), /"credits"/],
    [fileOf(entry({ credits: { limit: 5, period: 'quarter' } })), /quarter/],
    [fileOf(entry({ credits: { limit: '5', period: 'day' } })), /not a credit limit/],
    [fileOf(entry({ maxStreams: 0 })), /streams/],
    [fileOf(entry({ requestsPerMinute: 1.5 })), /requests per minute/],
    [fileOf(entry({ models: [] })), /1 to 64/],
    [fileOf(entry({ models: 'auto' })), /"models"/],
    [fileOf(entry({ overage: 'yes' })), /"overage"/],
    [fileOf(entry({ expiresAt: 'never' })), /"expiresAt"/],
    [fileOf(entry({ revokedAt: true })), /"revokedAt"/],
    ['{"version": 1, "keys": [null]}', /number 1/],
    [fileOf(entry(), entry({ name: 'ben' })), /two keys with the same id/],
    [fileOf(entry(), entry({ id: 'k_2', name: 'ben' })), /two keys with the same hash/],
    [
      fileOf(entry(), entry({ id: 'k_2', name: 'ANNA', hashes: [{ sha256: 'b'.repeat(64) }] })),
      /the name "ANNA"/
    ],
    [fileOf(...Array.from({ length: 1001 }, () => entry())), /more than 1000/]
  ] as const) {
    t.throws(() => parseKeysFile(text, '/s/keys.json'), {
      code: 'GW_CONFIG_INVALID',
      message: problem
    })
    t.throws(() => parseKeysFile(text, '/s/keys.json'), { message: /^\/s\/keys\.json / })
  }
})

t.test('lets a new key have the name of a revoked one', async (t) => {
  const revoked = entry({ revokedAt: CREATED })
  const next = entry({ id: 'k_2', hashes: [{ sha256: 'b'.repeat(64) }] })
  t.equal(parseKeysFile(fileOf(revoked, next), '').keys.length, 2)
})

t.test('rotateHashes()', async (t) => {
  let hashes = full.hashes
  hashes = rotateHashes(hashes, { sha256: 'c'.repeat(64), until: 5 })
  t.same(
    hashes.map(({ sha256, until }) => [sha256[0], until]),
    [
      ['c', null],
      ['a', 5],
      ['b', 5]
    ],
    'one in grace does not outlast its successor'
  )
  for (let n = 0; n < 20; n++) hashes = rotateHashes(hashes, { sha256: 'd'.repeat(64), until: 9 })
  t.equal(hashes.length, 8)
})
