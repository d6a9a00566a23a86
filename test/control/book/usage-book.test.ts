import { execFile } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { BookOpening, PageAsk, PageNews } from '../../../src/control/book/book-messages.ts'
import { UsageBook, type UsageBookOptions } from '../../../src/control/book/usage-book.ts'
import { parseFacts } from '../../../src/control/book/row-facts.ts'
import { DAY_MS, usagePath } from '../../../src/control/book/usage-sums.ts'
import type { PlanLook } from '../../../src/control/plan/plan-record.ts'
import { readUsage } from '../../../src/control/usage/usage-report.ts'
import type { UsageRow } from '../../../src/ipc/usage-row.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { type Period, periodAt } from '../../../src/keys/period.ts'
import type { PriceLessons } from '../../../src/keys/prices.ts'
import { isNightly } from '../../helper/nightly.ts'
import { PATIENT } from '../../helper/open-book.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { scribble } from '../../helper/scribble.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const TODAY = Math.floor(NOON / DAY_MS) * DAY_MS

function rig(t: Test, settings: { isKept?: boolean; retentionDays?: number } = {}) {
  const stateDir = t.testdir({})
  const path = usagePath(stateDir)
  const { log, text } = recordedLog()
  const periods: BookOpening['periods'][number][] = []
  const prices: PriceLessons[] = []
  const pages: PageNews[] = []
  const create = (timing: UsageBookOptions['timing'] = {}) => {
    const book = new UsageBook({
      stateDir,
      settings: () => ({ isKept: true, retentionDays: 90, ...settings }),
      log,
      periods: () => periods,
      onOpened: (known) => prices.push(...known),
      onPages: (news) => pages.push(...news),
      onChange: () => {},
      now: () => NOON,
      timing: { ...PATIENT, writeMs: 1, retryMs: 20, noticeMs: 1, ...timing }
    })
    t.teardown(() => book.close())
    return book
  }
  const recorder = create()
  recorder.setKeys([
    { id: 'k_1', name: 'anna' },
    { id: 'k_2', name: 'ben' }
  ])
  const rows = (): number => {
    if (!existsSync(path)) return 0
    const db = new DatabaseSync(path, { readOnly: true })
    try {
      return Number(db.prepare('SELECT count(*) AS n FROM requests').get()?.['n'])
    } catch {
      return 0 // its tables are still to be made
    } finally {
      db.close()
    }
  }
  /** Waits until so many are in the file. */
  const written = async (count: number): Promise<void> => {
    while (rows() !== count) await sleep(2)
  }
  return { recorder, create, path, text, written, rows, periods, prices, pages }
}

/** A book as the version before has left it: 5 credits in this month, 50 in the one before. */
async function oldRig(t: Test) {
  const { recorder, ...rest } = rig(t)
  await recorder.start()
  await recorder.close()
  const db = new DatabaseSync(rest.path, { timeout: 5_000 })
  db.exec(
    'DROP TABLE pages; DROP TABLE runs; DROP TABLE meta; DROP TABLE prices; ALTER TABLE requests DROP COLUMN metering; PRAGMA user_version = 2'
  )
  const today = NOON / DAY_MS
  for (const [day, credits] of [
    [0, 2],
    [1, 3],
    [20, 50]
  ] as const) {
    db.prepare("INSERT INTO days VALUES (?, 'k_1', 'c', 'm', 1, 0, 0, 0, 0, ?)").run(
      Math.floor(today - day),
      credits * CREDIT
    )
  }
  db.close()
  return rest
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const MONTH = periodAt('month', null, NOON)

function askFor(want: number, more: Partial<PageAsk> = {}): PageAsk {
  return {
    key: 'k_1',
    period: MONTH,
    cap: 10 * CREDIT,
    want,
    release: 0,
    createdAt: 0,
    reopened: null,
    ...more
  }
}

function charged(credits: number, period: Period = MONTH): UsageRow {
  return usageRow({ credits, charges: [{ period: period.number, credits }] })
}

function many(count: number, make: (n: number) => Partial<UsageRow> = () => ({})): UsageRow[] {
  return Array.from({ length: count }, (_, n) => usageRow(make(n)))
}

t.setTimeout(300_000) // seconds alone, more on a busy machine

t.test('UsageBook', (t) => {
  t.test('opens no file before the first request, and none where it may not', async (t) => {
    const { recorder, path } = rig(t)
    t.equal(await recorder.sums(TODAY), null)
    await recorder.close()
    t.notOk(existsSync(path))
    const off = rig(t, { isKept: false })
    off.recorder.record([usageRow()])
    await off.recorder.close()
    t.notOk(existsSync(off.path))
  })

  t.test('keeps a row for each request, private, and the sums of days', async (t) => {
    const { recorder, path, written } = rig(t)
    recorder.record(many(3))
    recorder.record([
      usageRow({ key: 'k_2', credits: 1, code: 'GW_KEY_LIMIT', status: 429, firstMs: null }),
      usageRow({ at: NOON - DAY_MS })
    ])
    await written(5)
    t.equal(statSync(path).mode & 0o777, 0o600)
    const sums = await recorder.sums(TODAY)
    t.same(sums?.get('k_1'), {
      requests: 3,
      failed: 0,
      inputTokens: 3_000,
      outputTokens: 300,
      cachedTokens: 30,
      credits: 3_750_000
    })
    t.match(sums?.get('k_2'), { requests: 1, failed: 1, credits: 1 })
    t.equal((await recorder.sums(TODAY - DAY_MS))?.get('k_1')?.requests, 4)
  })

  t.test('counts rows that wait to be written among the sums, each once', async (t) => {
    const { create, rows } = rig(t)
    const book = create({ writeMs: 60_000 })
    book.record([...many(3), usageRow({ at: NOON - DAY_MS })])
    t.equal((await book.sums(TODAY))?.get('k_1')?.requests, 3)
    t.equal((await book.sums(TODAY - DAY_MS))?.get('k_1')?.requests, 4)
    t.equal(rows(), 0, 'none is written yet')
    const flushed = book.flush()
    book.record(many(2))
    t.equal((await book.sums(TODAY))?.get('k_1')?.requests, 5, 'beside a commit under way')
    await flushed
    t.equal((await book.sums(TODAY))?.get('k_1')?.requests, 5)
  })

  t.test('keeps each row as it was, however many are written together', async (t) => {
    for (const count of [1, 7, 8, 9, 16, 23]) {
      const { recorder, path } = rig(t)
      recorder.record(many(count, (n) => ({ at: NOON + n, model: `m-${n}`, repairs: n })))
      await recorder.close()
      const db = new DatabaseSync(path, { readOnly: true })
      const rows = db.prepare('SELECT at, model, repairs, first_ms FROM requests ORDER BY rowid')
      t.same(
        rows.all().map((row) => Object.values(row)),
        many(count).map(({ firstMs }, n) => [NOON + n, `m-${n}`, n, firstMs])
      )
      const days = db.prepare('SELECT model, requests FROM days').all()
      t.equal(days.length, count, 'sums are apart')
      db.close()
    }
  })

  t.test('has a bound on rows of refused requests, and counts all of them', async (t) => {
    const { recorder, path, create } = rig(t)
    const nothing = { credits: 0, inputTokens: 0, outputTokens: 0, cachedTokens: 0, firstMs: null }
    const refused = { ...nothing, code: 'GW_KEY_RATE', status: 429, model: '' }
    const alive = setInterval(() => {}, 1_000) // the recorder's own timers keep no process alive
    t.teardown(() => clearInterval(alive))
    const record = async (rows: readonly UsageRow[]): Promise<void> => {
      for (let at = 0; at < rows.length; at += 1_000) {
        recorder.record(rows.slice(at, at + 1_000))
        await recorder.flush()
      }
    }
    await record(many(20_000, () => refused))
    await record(many(500, (n) => ({ ...refused, at: NOON + 60_000, client: `c${n % 2}` })))
    await record(many(300, () => ({ ...refused, key: 'k_2' })))
    await record(many(300, () => ({ ...refused, code: 'GW_MODEL_NOT_ALLOWED' })))
    await record(many(300))
    await record(many(300, () => ({ code: 'GW_UPSTREAM_RESET', status: 502 })))
    await recorder.close()
    const db = new DatabaseSync(path, { readOnly: true })
    const rows = db
      .prepare(
        `SELECT key, code, at, count(*) AS rows, sum(times) AS times, max(times) AS most, min(client) AS client
         FROM requests GROUP BY key, code, at`
      )
      .all()
      .map((row) => Object.values(row).join(' '))
    db.close()
    t.same(rows, [
      `k_1  ${NOON} 300 300 1 claude-code`,
      `k_1 GW_KEY_RATE ${NOON} 101 20000 19900 claude-code`,
      `k_1 GW_KEY_RATE ${NOON + 60_000} 101 500 400 c0`,
      `k_1 GW_MODEL_NOT_ALLOWED ${NOON} 101 300 200 claude-code`,
      `k_1 GW_UPSTREAM_RESET ${NOON} 300 300 1 claude-code`,
      `k_2 GW_KEY_RATE ${NOON} 101 300 200 claude-code`
    ])
    const next = create()
    t.teardown(() => next.close())
    t.match((await next.sums(TODAY))?.get('k_1'), { requests: 21_400, failed: 21_100 })
    for (const since of [TODAY, NOON]) {
      const lines = await readUsage(path, { by: 'key', since, key: null })
      t.match(lines, [
        { requests: 21_400, failed: 21_100 },
        { requests: 300, failed: 300 }
      ])
    }
    const hours = await readUsage(path, { by: 'hour', since: TODAY, key: null })
    t.match(hours, [{ requests: 21_700, failed: 21_400 }])
  })

  t.test('goes on with the record of an earlier version', async (t) => {
    const { recorder, create, path, written } = rig(t)
    recorder.record(many(2))
    await recorder.close()
    const old = new DatabaseSync(path, { timeout: 5000 })
    old.exec(
      'ALTER TABLE requests DROP COLUMN times; ALTER TABLE requests DROP COLUMN metering; PRAGMA user_version = 1'
    )
    old.close()
    const ask = () => readUsage(path, { by: 'hour', since: TODAY, key: null })
    t.match(await ask(), [{ requests: 2 }], 'it can be read before')
    const next = create()
    next.record(many(3))
    await written(5)
    await next.close()
    t.match(await ask(), [{ requests: 5 }])
  })

  t.test('goes on with pages of an earlier version as they are', async (t) => {
    const { recorder, create, path, periods, written } = rig(t)
    await recorder.ask(askFor(CREDIT))
    recorder.record([charged(CREDIT)])
    await written(1)
    await recorder.close()
    const old = new DatabaseSync(path, { timeout: 5_000 })
    old.exec('ALTER TABLE runs DROP COLUMN lost; DELETE FROM days; PRAGMA user_version = 3')
    old.close()
    t.match(await readUsage(path, { by: 'key', since: NOON, key: null }), [{ requests: 1 }])
    periods.push({ key: 'k_1', period: MONTH }) // what its rows say does not count
    t.match(await create().ask(askFor(0)), { used: CREDIT })
  })

  t.test('says how credits came about', async (t) => {
    const { recorder, path } = rig(t)
    recorder.record(many(3, (n) => ({ metering: n === 0 ? 'read on' : 'metered', credits: 10 })))
    recorder.record(many(1, () => ({ credits: 0 })))
    await recorder.close()
    t.match(await readUsage(path, { by: 'metering', since: TODAY, key: null }), [
      { group: 'metered', requests: 2, credits: 20 },
      { group: 'read on', requests: 1, credits: 10 },
      { group: '', requests: 1 }
    ])
  })

  t.test('can be read whatever an upstream has metered', async (t) => {
    const { recorder, path } = rig(t)
    const most = Number.MAX_SAFE_INTEGER
    for (const client of ['a', 'b']) {
      recorder.record(many(3, () => ({ client, credits: most - 1, inputTokens: 1e8 })))
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    const sums = (await recorder.sums(TODAY))?.get('k_1')
    t.match(sums, { requests: 6, inputTokens: 6e8 })
    t.ok((sums?.credits ?? 0) >= most)
    await recorder.close()
    for (const since of [TODAY, NOON]) {
      const [line] = await readUsage(path, { by: 'key', since, key: null })
      t.ok((line?.credits ?? 0) >= most)
    }
  })

  t.test('goes on after a restart, and after a kill', async (t) => {
    const { recorder, create, written } = rig(t)
    recorder.record(many(2))
    await recorder.close()
    recorder.record(many(2)) // after the end
    const next = create()
    t.teardown(() => next.close())
    t.equal((await next.sums(TODAY))?.get('k_1')?.requests, 2, 'known before the first request')
    next.record(many(3))
    await written(5) // and not closed
    const third = create()
    t.teardown(() => third.close())
    t.equal((await third.sums(TODAY))?.get('k_1')?.requests, 5)
  })

  t.test('forgets rows that are old, and keeps their sums', async (t) => {
    const { recorder, written } = rig(t, { retentionDays: 1 })
    recorder.record(many(7, (n) => ({ at: NOON - n * DAY_MS })))
    await written(2)
    t.equal((await recorder.sums(0))?.get('k_1')?.requests, 7)
  })

  t.test('has a bound on what clients call themselves and their models', async (t) => {
    const { recorder, path, written } = rig(t)
    recorder.record(many(400, (n) => ({ client: `c${n}`, model: `m${n}` })))
    await written(400)
    const by = async (group: 'client' | 'model') =>
      readUsage(path, { by: group, since: TODAY, key: null })
    t.equal((await by('client')).length, 101)
    t.match(await by('model'), [{ group: 'other', requests: 200 }])
    t.equal((await by('model')).length, 201)
  })

  t.test('records no names of models that a terminal would obey', async (t) => {
    const { recorder, path, written } = rig(t)
    const models = ['claude-haiku-4.5', '', '\u001b[2J', 'a\rb', '\u009b2J', 'm'.repeat(129)]
    recorder.record(models.map((model) => usageRow({ model })))
    await written(models.length)
    const lines = await readUsage(path, { by: 'model', since: 0, key: null })
    t.same(lines.map(({ group }) => group).toSorted(), ['', 'claude-haiku-4.5', 'other'])
  })

  t.test('goes on in a new file where the old one was removed or replaced', async (t) => {
    const { recorder, path, text, written } = rig(t)
    recorder.record(many(3))
    await written(3)
    renameSync(path, `${path}.old`)
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true })
    recorder.record(many(2))
    await written(2)
    t.match(await readUsage(path, { by: 'key', since: 0, key: null }), [{ group: 'anna' }])
    t.equal(text(), '')
  })

  t.test('is not disturbed by shared memory that is not its own', async (t) => {
    const { recorder, path, written } = rig(t)
    recorder.record(many(3))
    await written(3)
    for (const size of [0, 1, 100, 32_767, 40_000]) {
      await t.test(`of ${size} bytes`, async (t) => {
        const next = rig(t)
        for (const suffix of ['', '-wal']) copyFileSync(path + suffix, next.path + suffix)
        writeFileSync(`${next.path}-shm`, Buffer.alloc(size, 'x'))
        next.recorder.record(many(2))
        await next.written(5)
      })
    }
  })

  t.test('keeps sums of what waits too long to be written, and no row of it twice', async (t) => {
    const { recorder, create, path, text } = rig(t)
    const first = create()
    await first.ask(askFor(0))
    await first.close()
    const lock = new DatabaseSync(path, { timeout: 5_000 })
    lock.exec('BEGIN IMMEDIATE')
    for (let n = 0; n < 12; n++) recorder.record(many(1_000))
    while (!text().includes('usage cannot be recorded')) await sleep(20)
    lock.exec('ROLLBACK')
    lock.close()
    while (!text().includes('usage is recorded again')) await sleep(20)
    await recorder.close()
    const db = new DatabaseSync(path, { readOnly: true })
    t.equal(db.prepare('SELECT sum(requests) AS n FROM days').get()?.['n'], 12_000)
    const rows = Number(db.prepare('SELECT count(*) AS n FROM requests').get()?.['n'])
    t.ok(rows >= 2_500 && rows <= 5_000, `${rows} rows`)
    db.close()
  })

  t.test('leases what is free, settles what rows say, and has the rest back', async (t) => {
    const { recorder, create, pages } = rig(t)
    t.match(await recorder.ask(askFor(4 * CREDIT)), { share: 4 * CREDIT, used: 0, settled: 0 })
    recorder.record([charged(1.5 * CREDIT), charged(CREDIT)])
    while (pages.at(-1)?.used !== 2.5 * CREDIT) await sleep(2)
    t.match(pages.at(-1), { share: 4 * CREDIT, settled: 2.5 * CREDIT, heldElsewhere: 0 })
    t.match(await recorder.ask(askFor(20 * CREDIT)), { share: 10 * CREDIT }, 'and no more')
    t.match(await recorder.ask(askFor(0, { release: 3 * CREDIT })), { share: 7 * CREDIT })
    await recorder.close()
    t.match(
      await create().ask(askFor(0)),
      { used: 2.5 * CREDIT, share: 0, heldElsewhere: 0 },
      'a run that ends in order holds nothing'
    )
  })

  t.test(
    'charges requests that cost more than was leased, and those of an old period not',
    async (t) => {
      const { recorder, pages } = rig(t)
      await recorder.ask(askFor(CREDIT))
      recorder.record([charged(5 * CREDIT)])
      while (pages.at(-1)?.used !== 5 * CREDIT) await sleep(2)
      t.match(await recorder.ask(askFor(9 * CREDIT)), { share: 10 * CREDIT })
      const next = periodAt('month', MONTH, NOON + 31 * DAY_MS)
      t.match(await recorder.ask(askFor(CREDIT, { period: next })), { used: 0, share: CREDIT })
      recorder.record([charged(2 * CREDIT)])
      await sleep(50)
      t.match(await recorder.ask(askFor(0, { period: next })), { used: 0, share: CREDIT })
      const late = await recorder.ask(askFor(CREDIT))
      t.equal(late.period.number, next.number, 'the period that is over does not come back')
    }
  )

  t.test('is shared by two gateways, and one wishes for what the other holds', async (t) => {
    const { recorder, create } = rig(t)
    const other = create()
    t.equal(other.isNoticed, false)
    t.match(await recorder.ask(askFor(8 * CREDIT)), { share: 8 * CREDIT })
    t.match(await other.ask(askFor(5 * CREDIT)), { share: 2 * CREDIT, heldElsewhere: 8 * CREDIT })
    t.match(await recorder.ask(askFor(0)), { wishedElsewhere: 3 * CREDIT })
    await sleep(2)
    t.equal(other.isNoticed, true)
    await recorder.ask(askFor(0, { release: 3 * CREDIT }))
    t.match(await other.ask(askFor(3 * CREDIT)), { share: 5 * CREDIT, heldElsewhere: 5 * CREDIT })
  })

  t.test('is only read by gateways that ask what others wish for', async (t) => {
    const { recorder, create, path } = rig(t)
    const other = create()
    await recorder.ask(askFor(4 * CREDIT))
    await other.ask(askFor(4 * CREDIT))
    const db = new DatabaseSync(path, { readOnly: true })
    const version = (): number => Number(db.prepare('PRAGMA data_version').get()?.['data_version'])
    const before = version()
    for (let i = 0; i < 3; i++) {
      t.match(await recorder.ask(askFor(0)), { share: 4 * CREDIT, wishedElsewhere: 0 })
      t.match(await other.ask(askFor(0)), { share: 4 * CREDIT, heldElsewhere: 4 * CREDIT })
    }
    t.equal(version(), before)
    await other.ask(askFor(3 * CREDIT))
    t.not(version(), before, 'a wish is written')
    t.match(await recorder.ask(askFor(0)), { wishedElsewhere: CREDIT })
    db.close()
  })

  t.test('counts what a killed gateway held as used, with a row, once', async (t) => {
    const { create, path, written, text } = rig(t)
    await killedWith(path, 3 * CREDIT)
    const next = create()
    next.setKeys([{ id: 'k_1', name: 'anna' }])
    t.match(await next.ask(askFor(0)), { used: 3 * CREDIT, share: 0, heldElsewhere: 0 })
    await written(1)
    t.match(text(), /"key":"anna","credits":3,.*held by requests of an earlier gateway process/)
    const lines = await readUsage(path, { by: 'key', since: 0, key: null })
    t.match(lines, [{ credits: 3 * CREDIT, requests: 1, failed: 1 }])
    t.match(await create().ask(askFor(0)), { used: 3 * CREDIT })
  })

  t.test('keeps limits exact where nothing is recorded, and has no rows then', async (t) => {
    const { recorder, create, path, pages, rows } = rig(t, { isKept: false })
    await recorder.ask(askFor(4 * CREDIT))
    recorder.record([charged(1.5 * CREDIT)])
    while (pages.at(-1)?.used !== 1.5 * CREDIT) await sleep(2)
    await recorder.close()
    await killedWith(path, 3 * CREDIT)
    t.match(await create().ask(askFor(0)), { used: 4.5 * CREDIT, share: 0 })
    t.equal(rows(), 0)
    t.same(await readUsage(path, { by: 'key', since: 0, key: null }), [])
  })

  t.test('keeps why a request failed, and nothing that only the log may have', async (t) => {
    const { recorder, path, written } = rig(t)
    const words = { reason: 'The upstream refused it.', detail: 'of a client' }
    const failure = { ...words, upstreamStatus: 400, upstreamId: 'id-of-the-upstream' }
    const turn = {
      requestId: 'req_1',
      route: '/v1/messages',
      isStream: true,
      phaseMs: {},
      attempts: 1,
      chunks: 0,
      isAbovePriceStep: false,
      worker: 1,
      bodyBytes: 100,
      repairs: [],
      failure
    }
    recorder.record([usageRow({ status: 400, code: 'GW_UPSTREAM_REFUSED', turn })])
    await written(1)
    await recorder.close()
    for (const name of readdirSync(dirname(path))) {
      const bytes = readFileSync(join(dirname(path), name), 'latin1')
      t.notMatch(bytes, /of a client/, name)
    }
    const db = new DatabaseSync(path, { readOnly: true })
    t.teardown(() => db.close())
    const row = db.prepare('SELECT id, facts FROM requests').get()
    t.equal(row?.['id'], 'req_1')
    t.match(parseFacts(String(row?.['facts'])), {
      route: '/v1/messages',
      isStream: true,
      worker: 1,
      bodyBytes: 100,
      failure: { reason: words.reason, upstreamStatus: 400, upstreamId: 'id-of-the-upstream' }
    })
  })

  t.test(
    'sets a damaged book aside, and nothing is leased until somebody says what was used',
    async (t) => {
      for (const harm of ['no database', 'cut short', 'another number'] as const) {
        const { recorder, create, path, text } = rig(t)
        await recorder.ask(askFor(CREDIT))
        recorder.record([charged(CREDIT), ...many(200)])
        await recorder.close()
        damage(path, harm)
        const next = create()
        t.match(await next.ask(askFor(CREDIT)), { share: 0, isClosed: true }, harm)
        t.match(text(), /moved away/)
        const aside = readdirSync(dirname(path)).filter((name) => /\.damaged-[\dTZ-]+$/.test(name))
        t.equal(aside.length, 1, 'the old file stays for those who can read it')
        const young = askFor(CREDIT, { key: 'k_2', createdAt: NOON + 1 })
        t.match(await next.ask(young), { share: CREDIT }, 'a key that is younger')
        const early = { at: NOON - 1, used: 0 }
        t.match(await next.ask(askFor(CREDIT, { reopened: early })), { isClosed: true })
        const reopened = { at: NOON + 1, used: 7 * CREDIT }
        t.match(await next.ask(askFor(9 * CREDIT, { reopened })), {
          used: 7 * CREDIT,
          share: 3 * CREDIT,
          isClosed: false
        })
        t.match(await next.ask(askFor(0, { reopened })), { share: 3 * CREDIT }, 'and once')
        await next.close()
      }
    }
  )

  t.test('sets a book aside whichever of its tables is damaged', async (t) => {
    const places = ['requests', 'requests_at_id', 'pages', 'sqlite_schema']
    if (isNightly) places.push('days', 'keys', 'prices', 'runs')
    for (const name of places) {
      const { recorder, create, path, text } = rig(t)
      recorder.keepPrices({ model: 'auto', size: 3, lessons: [[NOON, 5]] })
      await recorder.ask(askFor(CREDIT))
      recorder.record([charged(CREDIT), ...many(200)])
      await recorder.close()
      scribble(path, name)
      const next = create()
      next.setKeys([{ id: 'k_1', name: 'anna' }])
      next.record(many(1))
      let news = await next.ask(askFor(CREDIT)).catch(() => null)
      while (news === null) news = await next.ask(askFor(CREDIT)).catch(() => null)
      t.match(news, { share: 0, isClosed: true }, name)
      t.match(text(), /moved away/, name)
      t.equal(next.problem, null, name)
      const reopened = { at: NOON + 1, used: 7 * CREDIT }
      t.match(await next.ask(askFor(9 * CREDIT, { reopened })), { share: 3 * CREDIT }, name)
      await next.close()
      const aside = readdirSync(dirname(path)).filter((file) => /\.damaged-[\dTZ-]+$/.test(file))
      t.equal(aside.length, 1, name)
    }
  })

  t.test('sets no sound book aside that another gateway has put in its place', async (t) => {
    const { recorder, create, path, rows } = rig(t)
    recorder.record(many(200))
    await recorder.close()
    scribble(path, 'requests')
    const [one, other] = [create(), create()]
    await Promise.all([one.start(), other.start()])
    one.record(many(1))
    other.record(many(2))
    while (rows() !== 3) await sleep(5)
    await one.close()
    await other.close()
    const aside = readdirSync(dirname(path)).filter((file) => /\.damaged-[\dTZ-]+$/.test(file))
    t.equal(aside.length, 1)
  })

  t.test('opens with prices that cannot be read, without them', async (t) => {
    const { recorder, create, path, prices } = rig(t)
    recorder.keepPrices({ model: 'auto', size: 3, lessons: [[NOON, 5]] })
    recorder.record(many(1))
    await recorder.close()
    const db = new DatabaseSync(path, { timeout: 5_000 })
    db.exec("UPDATE prices SET lessons = '[[1, 2'")
    db.close()
    const next = create()
    await next.start()
    t.equal(next.problem, null)
    t.match(prices, [{ model: 'auto', lessons: [] }])
  })

  t.test('knows what a limit that began after the damage has used', async (t) => {
    const { recorder, path, create } = rig(t)
    await recorder.start()
    await recorder.close()
    writeFileSync(path, 'this is no database. '.repeat(1000))
    const next = create()
    const later = periodAt('month', null, NOON + 60 * DAY_MS)
    t.match(await next.ask(askFor(CREDIT, { period: later })), { share: CREDIT, isClosed: false })
    t.match(await next.ask(askFor(CREDIT, { key: 'k_2' })), { share: 0, isClosed: true })
    await next.close()
    const db = new DatabaseSync(path, { timeout: 5_000 })
    db.exec(`UPDATE meta SET value = ${NOON + DAY_MS}`)
    db.close()
    const last = create() // its clock was set back
    t.match(await last.ask(askFor(CREDIT, { key: 'k_3' })), { share: 0, isClosed: true })
    const reopened = { at: NOON + 1, used: 0 }
    t.match(await last.ask(askFor(CREDIT, { key: 'k_3', reopened })), { share: CREDIT })
  })

  t.test('says at once that a disk which stands still says nothing', async (t) => {
    const { recorder, path, create } = rig(t)
    recorder.record(many(1))
    await recorder.close()
    const book = create({ stallMs: 50, closeMs: 50 })
    await book.start()
    book.record(many(1))
    await book.flush()
    while (book.problem !== null) await sleep(2) // a busy machine may open it slowly
    const lock = new DatabaseSync(path, { timeout: 5_000 }) // its thread may be writing
    lock.exec('BEGIN IMMEDIATE')
    book.record(many(1))
    const at = performance.now()
    t.equal(await book.look('a', LOOK), null, 'while it is not known yet')
    while (book.problem === null) await sleep(2)
    t.match(book.problem, { reason: 'the disk does not respond' })
    t.equal(await book.sums(TODAY), null)
    t.equal(await book.look('a', LOOK), null)
    await book.close()
    const ms = performance.now() - at
    lock.exec('ROLLBACK')
    lock.close()
    t.ok(ms < 4_000, `${ms} ms: the lock lasts for five seconds`)
  })

  t.test(
    'writes all before it ends, also what the end of its thread has left unsure',
    async (t) => {
      const { recorder, create, path, rows } = rig(t)
      let thread: Worker | null = null
      process.once('worker', (worker) => (thread = worker))
      await recorder.ask(askFor(4 * CREDIT))
      const lock = new DatabaseSync(path, { timeout: 5_000 }) // its thread may be writing
      lock.exec('BEGIN IMMEDIATE')
      recorder.record([charged(CREDIT)])
      await sleep(50) // it is being written
      recorder.record([charged(CREDIT)])
      const ended = (thread as Worker | null)?.terminate()
      const closed = recorder.close()
      lock.exec('ROLLBACK')
      lock.close()
      await Promise.all([ended, closed])
      t.equal(rows(), 2)
      t.match(await create().ask(askFor(0)), { used: 2 * CREDIT, share: 0, heldElsewhere: 0 })
    }
  )

  t.test('takes over what the version before has recorded', async (t) => {
    const { create, periods } = await oldRig(t)
    periods.push({ key: 'k_1', period: MONTH })
    t.match(await create().ask(askFor(0)), { used: 5 * CREDIT }, 'in the period that is under way')
  })

  t.test('prefers what the version before has kept of credits, also without rows', async (t) => {
    for (const make of [oldRig, rig]) {
      const { create, path, periods } = await make(t)
      const folder = join(dirname(path), 'credits')
      const [one, other] = ['1'.repeat(32), '2'.repeat(32)]
      const journal = (key: string) =>
        `${`${key}/credits ${MONTH.number} ${CREDIT} ${CREDIT / 2} 0 7`.padEnd(255)}\n`
      const old = periodAt('month', null, NOON - 31 * DAY_MS)
      const files = {
        [`settled-${one}.json`]: settled(
          { k_1: { period: MONTH, settled: 2 * CREDIT }, k_2: { period: old, settled: CREDIT } },
          [`worker-${one}-1`]
        ),
        [`settled-${other}.json`]: settled({ k_1: { period: MONTH, settled: CREDIT } }),
        [`worker-${one}-1`]: journal('k_1'),
        [`worker-${one}-2`]: journal('k_1') + journal('k_3'),
        [`rows-${one}-2-0`]: ''
      }
      mkdirSync(folder)
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
      for (const key of ['k_1', 'k_2', 'k_3', 'k_4']) periods.push({ key, period: MONTH })
      const book = create()
      for (const [key, used] of Object.entries({ k_1: 4.5, k_2: 0, k_3: 1.5, k_4: 0 })) {
        t.match(await book.ask(askFor(0, { key })), { used: used * CREDIT }, key)
      }
      t.same(readdirSync(folder), [])
      await book.close()
    }
  })

  t.test('takes over all or nothing of it, and so again when that has failed', async (t) => {
    const { create, path, periods, text } = await oldRig(t)
    const db = new DatabaseSync(path, { timeout: 5_000 })
    db.exec('ALTER TABLE days RENAME COLUMN credits TO c') // its sums cannot be read
    periods.push({ key: 'k_1', period: MONTH })
    await create().start()
    t.match(text(), /usage cannot be recorded/)
    t.equal(Number(db.prepare('PRAGMA user_version').get()?.['user_version']), 2)
    db.exec('ALTER TABLE days RENAME COLUMN c TO credits')
    db.close()
    t.match(await create().ask(askFor(0)), { used: 5 * CREDIT })
  })

  t.test('keeps prices over a restart', async (t) => {
    const { recorder, create, prices, written } = rig(t)
    const lessons = {
      model: 'auto',
      size: 3,
      lessons: [
        [NOON, 5],
        [NOON, 7, 100]
      ]
    } as const
    recorder.keepPrices(lessons)
    recorder.record(many(1))
    await written(1)
    await recorder.close()
    const next = create()
    await next.start()
    t.same(prices, [lessons])
    const more = { model: 'auto', size: 4, lessons: [[NOON, 9]] } as const
    next.keepPrices(more)
    await next.close() // with nothing else to write
    prices.length = 0
    await create().start()
    t.same(prices, [lessons, more])
  })

  t.test('leaves a newer version alone', async (t) => {
    const { recorder, path, text } = rig(t)
    const newer = new DatabaseSync(path, { timeout: 5_000 })
    newer.exec('PRAGMA user_version = 9')
    newer.close()
    recorder.record(many(1))
    while (!text().includes('newer version (9)'))
      await new Promise((resolve) => setTimeout(resolve, 2))
    await t.rejects(readUsage(path, { by: 'key', since: 0, key: null }), {
      code: 'GW_CONFIG_INVALID',
      message: /newer version/
    })
    await recorder.close() // it would try again while the folder is removed
  })
  t.end()
})

const LOOK: PlanLook = { at: NOON, plan: 'PRO', used: 0, limit: 1e9, resetsAt: null, others: {} }

function settled(credits: object, taken: readonly string[] = []): string {
  return JSON.stringify({ version: 1, isOver: false, credits, taken })
}

/** A gateway that has leased so much, and is killed. */
async function killedWith(path: string, want: number): Promise<void> {
  const script = `
    import { BookDatabase } from ${JSON.stringify(new URL('../../../src/control/book/book-database.ts', import.meta.url).href)}
    import { markOf } from ${JSON.stringify(new URL('../../../src/shared/process-mark.ts', import.meta.url).href)}
    const run = { id: 'killed', mark: markOf(process.pid) }
    const { book } = await BookDatabase.open({ path: process.argv[1], now: Date.now(), run, isKept: true, periods: [], damagedFile: null })
    const batch = { seq: 0, now: Date.now(), isKept: true, rows: [], sums: [], names: [], charges: [], prices: [], audit: [], pruneBefore: 0 }
    await book.commit({ ...batch, asks: [JSON.parse(process.argv[2])] })
    process.kill(process.pid, 'SIGKILL')`
  const args = [
    '--input-type=module-typescript',
    '--eval',
    script,
    path,
    JSON.stringify(askFor(want))
  ]
  await new Promise((resolve) => execFile(process.execPath, args, resolve))
}

function damage(path: string, harm: 'no database' | 'cut short' | 'another number'): void {
  const bytes = readFileSync(path)
  if (harm === 'no database') writeFileSync(path, 'this is no database. '.repeat(1000))
  else if (harm === 'cut short') writeFileSync(path, bytes.subarray(0, 4096 * 3))
  else {
    const at = bytes.indexOf('"used":1000000')
    bytes.write('"used":0000000'.replace('0000000', '1000001'), at)
    writeFileSync(path, bytes)
  }
}

t.test('readUsage()', async (t) => {
  const { recorder, path, written } = rig(t)
  await t.rejects(readUsage(path, { by: 'key', since: 0, key: null }), {
    message: /usage\.db does not exist yet\. .*USAGE_LOG/
  })
  recorder.record([
    ...many(2),
    usageRow({ key: 'k_2', credits: 9_000_000, model: 'auto', client: 'codex' }),
    usageRow({ key: 'operator', credits: 0, at: NOON - DAY_MS })
  ])
  await written(4)
  const ask = (by: Parameters<typeof readUsage>[1]['by'], since = 0, key: string | null = null) =>
    readUsage(path, { by, since, key })
  const groups = async (...question: Parameters<typeof ask>) =>
    (await ask(...question)).map(({ group, requests }) => [group, requests])
  t.same(await groups('key'), [
    ['ben', 1],
    ['anna', 2],
    ['operator', 1]
  ])
  t.same(await groups('key', TODAY), [
    ['ben', 1],
    ['anna', 2]
  ])
  t.same(await groups('model'), [
    ['auto', 1],
    ['claude-sonnet-4.6', 3]
  ])
  t.same(await groups('client', 0, 'Anna'), [['claude-code', 2]])
  t.same(await groups('client', 0, 'k_2'), [['codex', 1]])
  t.same(await groups('key', 0, 'Operator'), [['operator', 1]])
  t.same(await groups('day'), [
    ['2026-09-09', 1],
    ['2026-09-10', 3]
  ])
  t.same(await groups('hour'), [
    ['2026-09-09T12:00Z', 1],
    ['2026-09-10T12:00Z', 3]
  ])
  t.same(await groups('key', NOON + 1), [], 'of a part of a day the rows themselves are counted')
  t.same(await groups('key', NOON), [
    ['ben', 1],
    ['anna', 2]
  ])
  t.same(await groups('key', 0, 'nobody'), [])
  recorder.setKeys([{ id: 'k_1', name: '\u00c4nne Mu\u00f1oz' }]) // composed, as names are kept
  recorder.record(many(1))
  await written(5)
  t.same(await groups('client', 0, ' a\u0308NNE MUN\u0303OZ'), [['claude-code', 3]], 'as key show')
})

t.test('readUsage() of a window that begins within a day', async (t) => {
  t.test('is exact, by whatever', async (t) => {
    const { recorder, path, written } = rig(t)
    const random = seededRandom(7)
    const rows = many(400, () => ({
      at: Math.floor(NOON - random() * 4 * DAY_MS),
      key: random() < 0.5 ? 'k_1' : 'k_2',
      model: random() < 0.5 ? 'claude-a' : 'claude-b',
      credits: Math.floor(random() * 1e6)
    }))
    recorder.record(rows)
    await written(rows.length)
    const moments = [0, 1, 59, 60, 61].map((minutes) => TODAY - DAY_MS + minutes * 60_000)
    for (const since of [...moments, ...rows.map(({ at }) => at + 1).slice(0, 20)]) {
      const counted = rows.filter(({ at }) => at >= since)
      const expected = counted.reduce((sum, { credits }) => sum + credits, 0)
      for (const by of ['key', 'model', 'client', 'day', 'hour'] as const) {
        const lines = await readUsage(path, { by, since, key: null })
        t.equal(
          lines.reduce((sum, line) => sum + line.credits, 0),
          expected
        )
      }
      const [anna] = await readUsage(path, { by: 'model', since, key: 'Anna' })
      const { length } = counted.filter(({ key, model }) => key === 'k_1' && model === anna?.group)
      t.equal(anna?.requests, length)
    }
  })

  t.test('counts whole days by their sums, which outlast the rows', async (t) => {
    const { recorder, path, written } = rig(t, { retentionDays: 1 })
    recorder.record(many(5, (n) => ({ at: NOON - n * DAY_MS })))
    await written(2)
    const since = NOON - 3.5 * DAY_MS // a midnight, and a moment after it
    for (const at of [since, since + 1]) {
      const lines = await readUsage(path, { by: 'key', since: at, key: null })
      t.match(lines, [{ group: 'anna', requests: at === since ? 4 : 3 }])
    }
  })
})
