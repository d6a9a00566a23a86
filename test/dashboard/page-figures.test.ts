import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import {
  amount,
  balance,
  bytes,
  duration,
  lastDay,
  percent,
  plural,
  short
} from '../../src/dashboard/page/format.js'
import { actionOf, changesOf } from '../../src/dashboard/page/audit-words.js'
import { toExpiry } from '../../src/keys/key-text.ts'
import { History } from '../../src/dashboard/page/history.js'
import { HISTORY_COLUMNS, type HistoryPoint } from '../../src/dashboard/feed.ts'

t.test('the last day of a key is the one that was chosen', (t) => {
  const expiresAt = new Date(toExpiry('2099-12-31', Date.now())).toISOString()
  t.equal(lastDay(expiresAt), '2099-12-31')
  t.equal(lastDay('2099-12-31T18:00:00.000Z'), '2099-12-31')
  t.same([null, undefined].map(lastDay), ['', ''])
  t.end()
})

t.test('figures read as people say them', async (t) => {
  t.same([0, 7, 0.0421, 4.256, 42.56, 420.4, 42_000, null].map(amount), [
    '0',
    '7',
    '0.042',
    '4.26',
    '42.6',
    '420',
    '42,000',
    '–'
  ])
  t.same([950, 1234, 1_234_567, null].map(short), ['950', '1.23K', '1.23M', '–'])
  t.same([0, 300, 1024, 20_000, 300_000, 5 * 2 ** 20, 512 * 2 ** 20, 2 ** 31, null].map(bytes), [
    '0 B',
    '300 B',
    '1 KB',
    '19.5 KB',
    '0.3 MB',
    '5 MB',
    '512 MB',
    '2 GB',
    '–'
  ])
  t.same([0.004, 0.42, 1, null].map(percent), ['0.4 %', '42 %', '100 %', '–'])
  t.same(
    [0, 0.44, 840, 999.7, 4_200, 59_990, 200_000, 3_600_000, 7_500_000, 3 * 86_400_000, null].map(
      duration
    ),
    [
      '0 ms',
      '0.4 ms',
      '840 ms',
      '1 s',
      '4.2 s',
      '1 min',
      '3 min 20 s',
      '1 h',
      '2 h 5 min',
      '3 days',
      '–'
    ]
  )
  t.same([plural(1, 'worker'), plural(2, 'worker')], ['1 worker', '2 workers'])
})

t.test('a balance never reads as whole once a part of it is used', async (t) => {
  t.same([200, 199.99, 199.999_9, 1_000.5, 4.9897, 0, 0.004, null].map(balance), [
    '200',
    '199.99',
    '199.99',
    '1,000.5',
    '4.99',
    '0',
    '0.004',
    '–'
  ])
})

t.test('the log of changes says what was done in plain words', async (t) => {
  const entry = { n: 1, at: '2026-11-26T12:00:00Z', who: 'operator', via: 'session', from: '::1' }
  const reload = {
    ...entry,
    action: 'settings.reload',
    subject: 'LOG_LEVEL, PROXY_API_KEY',
    before: { LOG_LEVEL: 'info', PROXY_API_KEY: null },
    after: { LOG_LEVEL: 'debug', PROXY_API_KEY: 'set' }
  }
  t.equal(actionOf(reload), 'reloaded the settings')
  t.equal(changesOf(reload), 'LOG_LEVEL info → debug; PROXY_API_KEY none → set')
  const nothing = { ...reload, subject: '', before: {}, after: {} }
  t.equal(changesOf(nothing), 'nothing has changed')
  const limits = {
    ...entry,
    action: 'key.change',
    subject: 'a_b',
    before: { requests_per_minute: 5, models: ['auto'] },
    after: { requests_per_minute: null, models: [] }
  }
  t.equal(changesOf(limits), 'requests a minute 5 → none; models auto → none')
  const before = { id: 'k_1', name: 'anna', max_streams: 2, revoked_at: null }
  const unmade = { ...entry, action: 'key.remove', subject: 'anna', before, after: null }
  t.equal(changesOf(unmade), 'streams at the same time 2 → none')
})

t.test('each action that is written down has words of its own', async (t) => {
  const folder = new URL('../../src/control/panel/', import.meta.url)
  const texts = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'))
  const actions = texts.flatMap((text) =>
    [...text.matchAll(/\baction: '([a-z.-]+)'/g)].map(([, action = '']) => action)
  )
  t.ok(actions.includes('key.add') && actions.length > 10)
  const without = actions.filter((action) => actionOf({ action }) === action)
  t.same(without, [])
})

const pointAt = (at: number, value: number | null): HistoryPoint => {
  const values = Object.fromEntries(HISTORY_COLUMNS.map((name) => [name, value]))
  return { at, values: values as HistoryPoint['values'] }
}

t.test('the history keeps an hour, however long the page is open', async (t) => {
  const history = new History()
  const columns = Object.fromEntries(HISTORY_COLUMNS.map((name) => [name, [1, null]]))
  history.replace({ at: [0, 5000], columns: columns as never })
  for (let at = 10_000; at <= 3 * 3_600_000; at += 5_000) history.add(pointAt(at, at))
  t.equal(history.at.length, 721, 'an hour of steps of five seconds, with both ends')
  t.equal(history.at[0], 2 * 3_600_000)
  for (const name of HISTORY_COLUMNS) {
    const column = history.column(name)
    t.same([column.length, column.at(-1)], [721, 3 * 3_600_000], name)
  }
  history.add(pointAt(1, 1))
  t.equal(history.at.length, 721, 'what is older than the newest is not added')
  for (let step = 1; step <= 5_000; step++) history.add(pointAt(3 * 3_600_000 + step, 0))
  t.equal(history.at.length, 2_000, 'whatever the steps are')
  t.equal(history.column('inUse').length, 2_000)
})

t.test('a column that the gateway does not send is unknown throughout', async (t) => {
  const history = new History()
  history.replace({ at: [0, 5000], columns: { inUse: [1, 2] } as never })
  t.same(history.column('novel'), [null, null])
  history.add(pointAt(10_000, 3))
  t.same(history.column('inUse'), [1, 2, 3])
})
