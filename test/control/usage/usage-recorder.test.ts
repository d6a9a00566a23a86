import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { DAY_MS, UsageDatabase } from '../../../src/control/usage/usage-database.ts'
import { UsageRecorder, usagePath } from '../../../src/control/usage/usage-recorder.ts'
import { readUsage } from '../../../src/control/usage/usage-report.ts'
import type { UsageRow } from '../../../src/ipc/usage-row.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const TODAY = Math.floor(NOON / DAY_MS) * DAY_MS

function rig(t: Test, settings: { isKept?: boolean; retentionDays?: number } = {}, busyMs = 20) {
  const stateDir = t.testdir({})
  const path = usagePath(stateDir)
  const { log, text } = recordedLog()
  const create = () =>
    new UsageRecorder({
      stateDir,
      settings: () => ({ isKept: true, retentionDays: 90, ...settings }),
      log,
      now: () => NOON,
      writeMs: 1,
      retryMs: 5,
      busyMs
    })
  const recorder = create()
  recorder.setKeys([
    { id: 'k_1', name: 'anna' },
    { id: 'k_2', name: 'ben' }
  ])
  t.teardown(() => recorder.close())
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
    while (rows() !== count) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return { recorder, create, path, text, written, rows }
}

/** The files that this process has open, by their paths. */
function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return [] // it was closed meanwhile
    }
  })
}

function many(count: number, make: (n: number) => Partial<UsageRow> = () => ({})): UsageRow[] {
  return Array.from({ length: count }, (_, n) => usageRow(make(n)))
}

t.test('UsageRecorder', (t) => {
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
        await recorder.whenRoomFor(1_000)
        recorder.record(rows.slice(at, at + 1_000))
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
    const old = new DatabaseSync(path)
    old.exec('ALTER TABLE requests DROP COLUMN times; PRAGMA user_version = 1')
    old.close()
    const ask = () => readUsage(path, { by: 'hour', since: TODAY, key: null })
    t.match(await ask(), [{ requests: 2 }], 'it can be read before')
    const next = create()
    next.record(many(3))
    await written(5)
    await next.close()
    t.match(await ask(), [{ requests: 5 }])
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

  t.test(
    'costs the record where the file is damaged, says so once, and goes on when it is not',
    async (t) => {
      const { recorder, path, text, written } = rig(t)
      writeFileSync(path, 'this is no database, whatever it is called. '.repeat(100))
      recorder.record(many(2))
      while (!text().includes('usage cannot be recorded'))
        await new Promise((resolve) => setTimeout(resolve, 2))
      recorder.record(many(2))
      await new Promise((resolve) => setTimeout(resolve, 60)) // some attempts more
      t.match(readFileSync(path, 'latin1'), /^this is no database/, 'it may be of use to somebody')
      t.equal(await recorder.sums(TODAY), null)
      t.equal(text().match(/usage cannot be recorded/g)?.length, 1)
      renameSync(path, `${path}.damaged`)
      await written(4)
      while (!text().includes('usage is recorded again'))
        await new Promise((resolve) => setTimeout(resolve, 2))
    }
  )

  t.test(
    'opens the file once, however often it writes',
    { skip: process.platform === 'linux' ? false : 'open files are counted in /proc' },
    async (t) => {
      const { recorder, path, written } = rig(t)
      for (let count = 1; count <= 12; count += 1) {
        recorder.record(many(1))
        await written(count)
      }
      const count = openFiles().filter((name) => name === path).length
      t.ok(count <= 3, `${count} times, of which one is this test's and one a checkpoint's`)
    }
  )

  t.test('survives that the file is written over while it is open', async (t) => {
    const { recorder, path, written } = rig(t)
    recorder.record(many(1))
    await written(1)
    await new Promise((resolve) => setTimeout(resolve, 60)) // until it is no more in the log alone
    writeFileSync(path, 'this is no database, whatever it is called. '.repeat(300))
    const rejections: unknown[] = []
    const onRejection = (cause: unknown): number => rejections.push(cause)
    process.on('unhandledRejection', onRejection)
    recorder.record(many(1))
    await new Promise((resolve) => setTimeout(resolve, 60)) // some attempts
    process.off('unhandledRejection', onRejection)
    t.same(rejections, [])
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

  t.test('keeps its lock, or the next to close the file takes its log away', async (t) => {
    const { path } = rig(t)
    const database = await UsageDatabase.open(path)
    t.teardown(() => database.close())
    database.write(
      many(3).map((row) => ({ journal: null, seq: 0, row })),
      new Map()
    )
    await database.checkpoint()
    const { ino } = statSync(path)
    const locks = readFileSync('/proc/locks', 'utf8').split('\n')
    t.ok(locks.some((line) => line.includes(` ${process.pid} `) && line.includes(`:${ino} `)))
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

  t.test('leaves nothing beside its file, however soon it is closed', async (t) => {
    for (let ms = 0; ms < 12; ms++) {
      const { recorder, path } = rig(t)
      recorder.record(many(1))
      if (ms > 2) await new Promise((resolve) => setTimeout(resolve, ms))
      if (ms % 2 === 1) void recorder.sums(0)
      await recorder.close()
      t.same(readdirSync(dirname(path)), ['usage.db'])
      t.same(
        openFiles().filter((file) => file.startsWith(path)),
        []
      )
    }
    const { recorder, create, path } = rig(t)
    recorder.record(many(1))
    await recorder.close()
    const reader = create()
    const sums = reader.sums(0)
    await new Promise((resolve) => setTimeout(resolve, 0))
    await reader.close()
    await sums
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.same(readdirSync(dirname(path)), ['usage.db'])
    t.same(
      openFiles().filter((file) => file.startsWith(path)),
      [],
      'not even to read'
    )
  })

  t.test(
    'waits for a file that another program has locked, but never in the event loop',
    async (t) => {
      const { recorder, path, text, written, rows } = rig(t)
      recorder.record(many(1))
      await written(1)
      const other = new DatabaseSync(path)
      other.exec('BEGIN IMMEDIATE')
      recorder.record(many(2))
      while (!text().includes('usage cannot be recorded'))
        await new Promise((resolve) => setTimeout(resolve, 2))
      t.equal(rows(), 1)
      other.exec('ROLLBACK')
      other.close()
      await written(3)
    }
  )

  t.test('says nothing of a neighbour that writes for a moment', async (t) => {
    const { recorder, path, text, written, rows } = rig(t, {}, 60_000)
    recorder.record(many(1))
    await written(1)
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    recorder.record(many(2))
    await new Promise((resolve) => setTimeout(resolve, 30)) // some attempts
    t.equal(rows(), 1)
    other.exec('ROLLBACK')
    other.close()
    await written(3)
    t.notMatch(text(), 'usage cannot be recorded')
  })

  t.test('loses the newest where nothing can be written for long', async (t) => {
    const { recorder, path, text } = rig(t)
    writeFileSync(path, 'no database '.repeat(100))
    recorder.record(many(6_000))
    while (!text().includes('usage cannot be recorded'))
      await new Promise((resolve) => setTimeout(resolve, 2))
    rmSync(path)
    while (!/"lost":1000.*usage is recorded again/.test(text()))
      await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal((await recorder.sums(TODAY))?.get('k_1')?.requests, 5_000)
  })

  t.test('leaves a newer version alone', async (t) => {
    const { recorder, path, text } = rig(t)
    const newer = new DatabaseSync(path)
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

t.test('readUsage()', async (t) => {
  const { recorder, path, written } = rig(t)
  await t.rejects(readUsage(path, { by: 'key', since: 0, key: null }), {
    message: /cannot be read.*USAGE_LOG/
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
