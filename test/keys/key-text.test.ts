import t from 'tap'
import {
  isSameName,
  creditsText,
  spanOf,
  toCredits,
  toExpiry,
  toGraceMs,
  toKeyName,
  toMaxStreams,
  toModels,
  toRequestsPerMinute
} from '../../src/keys/key-text.ts'

const INVALID = { code: 'GW_CONFIG_INVALID' }

t.test('toKeyName()', async (t) => {
  for (const name of ['anna', 'a', 'Anna B', 'ci_runner-2', 'x@example.org', 'José', '李雷', '7']) {
    t.equal(toKeyName(name), name)
  }
  t.equal(toKeyName(' anna '), 'anna')
  t.equal(toKeyName('Jose\u0301'), 'José', 'one name, however it is typed')
  for (const text of [
    '',
    ' ',
    '../etc/passwd',
    'a/b',
    'a\\b',
    '.hidden',
    '-f',
    'a.',
    '\u{1f600}',
    'Operator',
    'a\nb',
    'a\u202eb',
    '"a"',
    'a'.repeat(65),
    'a'.repeat(1_000_000)
  ]) {
    t.throws(() => toKeyName(text), INVALID, JSON.stringify(text.slice(0, 20)))
  }
  t.equal(toKeyName('\uff41nna  b'), 'anna b', 'wide letters and spaces look like others')
  for (const text of ['\u0430nna', 'oper\u0430tor', '\u03bfscar']) {
    t.throws(() => toKeyName(text), { message: /letters of different scripts/ }, text)
  }
  t.equal(toKeyName('Анна 2'), 'Анна 2')
  t.throws(() => toKeyName('x'.repeat(9_999)), { message: /^"x{40}…"/ })
})

t.test('isSameName()', async (t) => {
  for (const [one, other] of [
    ['anna', 'ANNA'],
    ['straße', 'STRASSE'],
    ['ΟΔΟΣ', 'οδος']
  ] as const) {
    t.equal(isSameName(one, other), true, `${one} ${other}`)
  }
  t.equal(isSameName('anna', 'anja'), false)
})

t.test('toCredits()', async (t) => {
  t.same(toCredits('200/month'), { limit: 200, period: 'month' })
  t.same(toCredits('50/week'), { limit: 50, period: 'week' })
  t.same(toCredits('1/day'), { limit: 1, period: 'day' })
  t.same(toCredits('1.000001/day'), { limit: 1.000001, period: 'day' })
  t.same(toCredits('0.05/day'), { limit: 0.05, period: 'day' })
  t.same(toCredits('0.000001/day'), { limit: 0.000001, period: 'day' })
  t.same(toCredits('1000000/total'), { limit: 1_000_000, period: 'total' })
  t.equal(creditsText(toCredits('12.50/day')), '12.5/day')
  for (const text of [
    '200',
    '/month',
    '0/day',
    '-1/day',
    '1e99/day',
    '1000000.000001/day',
    '1000001/day',
    '0.0000001/day',
    '1.1234567/day',
    'NaN/day',
    'Infinity/day',
    '1/year',
    '1/toString',
    '1/Month',
    '١/day',
    '1,5/day'
  ]) {
    t.throws(() => toCredits(text), INVALID, text)
  }
})

t.test('counts', async (t) => {
  t.equal(toRequestsPerMinute('30'), 30)
  t.equal(toMaxStreams(65_535), 65_535)
  for (const value of [
    '0',
    '-1',
    '1.5',
    '1e3',
    '',
    'x',
    '1000001',
    0,
    1.5,
    Number.NaN,
    true,
    null
  ]) {
    t.throws(() => toRequestsPerMinute(value), INVALID, String(value))
  }
  t.throws(() => toMaxStreams('65536'), INVALID)
})

t.test('toModels()', async (t) => {
  t.same(toModels('claude-sonnet-*, auto,auto'), ['claude-sonnet-*', 'auto'])
  for (const text of [
    '',
    'a,,b',
    'a b',
    'é',
    'a'.repeat(129),
    `${'a1,'.repeat(64)}b`.replaceAll('1,', (_, at) => `${at},`)
  ]) {
    t.throws(() => toModels(text), INVALID, text.slice(0, 20))
  }
})

t.test('toExpiry()', async (t) => {
  const now = Date.parse('2026-09-10T12:00:00Z')
  const iso = (text: string): string => new Date(toExpiry(text, now)).toISOString()
  t.equal(iso('2026-09-10'), '2026-09-11T00:00:00.000Z', 'today is still good')
  t.equal(iso('2027-01-31T18:00Z'), '2027-01-31T18:00:00.000Z')
  t.equal(iso('2027-01-31T18:00:30.5+02:00'), '2027-01-31T16:00:30.500Z')
  t.equal(iso('90d'), '2026-12-09T12:00:00.000Z')
  t.equal(iso('1w'), '2026-09-17T12:00:00.000Z')
  for (const text of [
    '2026-09-09',
    '2026-09-10T12:00Z',
    '2027-02-30',
    '2027-13-01',
    '2027-01-31T18:00', // of which place?
    '31.01.2027',
    '0d',
    '999999w',
    'tomorrow',
    ''
  ]) {
    t.throws(() => toExpiry(text, now), INVALID, text)
  }
})

t.test('toGraceMs()', async (t) => {
  t.equal(toGraceMs('24h'), 86_400_000)
  t.equal(toGraceMs('0'), 0)
  t.equal(toGraceMs('45m'), 2_700_000)
  for (const text of ['31d', '-1h', '24', '1y', '']) t.throws(() => toGraceMs(text), INVALID, text)
  t.equal(spanOf('7d'), 604_800_000)
})
