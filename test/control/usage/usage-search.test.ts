import { DatabaseSync } from 'node:sqlite'
import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import type { BookRow } from '../../../src/control/book/book-messages.ts'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import type { FoundRequests, RequestSearch } from '../../../src/control/usage/search-messages.ts'
import { UsageSearcher } from '../../../src/control/usage/usage-searcher.ts'
import { searchUsage } from '../../../src/control/usage/usage-search.ts'
import { markOf } from '../../../src/shared/process-mark.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.UTC(2026, 10, 26, 12)
const ALL: RequestSearch = {
  keys: null,
  model: null,
  client: null,
  status: null,
  code: null,
  isFailed: false,
  id: null,
  since: 0,
  until: Number.MAX_SAFE_INTEGER,
  before: null,
  limit: 50,
  timeMs: 10_000
}

function rowOf(n: number, more: Partial<BookRow> = {}): BookRow {
  const { turn: _, ...row } = usageRow({ at: NOON + n })
  return { ...row, turn: { requestId: `req-${n}`, facts: '' }, ...more }
}

async function book(t: Test, rows: readonly BookRow[]): Promise<string> {
  const path = usagePath(t.testdir({}))
  const { book: opened } = await BookDatabase.open({
    path,
    now: NOON,
    run: { id: 'run', mark: markOf(process.pid) },
    isKept: true,
    periods: [],
    damagedFile: null
  })
  await opened.commit({
    seq: 0,
    now: NOON,
    isKept: true,
    rows,
    sums: [],
    names: [['k_1', 'anna']],
    charges: [],
    asks: [],
    prices: [],
    audit: [],
    pruneBefore: 0
  })
  opened.close()
  return path
}

function find(path: string, search: Partial<RequestSearch>) {
  return searchUsage(path, { type: 'requests', search: { ...ALL, ...search } })
}

t.test('a look that runs out of time says where to go on, and nothing is lost', async (t) => {
  const rows = Array.from({ length: 130_000 }, (_, n) =>
    rowOf(n, n % 60_000 === 0 ? { model: 'rare' } : {})
  )
  const path = await book(t, rows)
  const seen: string[] = []
  let before: number | null = null
  let looks = 0
  do {
    const found = find(path, { model: 'rare', timeMs: 0, before })
    seen.push(...found.rows.map(({ requestId }) => requestId))
    t.equal(found.isComplete, found.next === null)
    before = found.next
    looks++
  } while (before !== null)
  t.same(seen, ['req-120000', 'req-60000', 'req-0'])
  t.equal(looks, 3, 'a chunk each')
  t.match(find(path, { model: 'none', timeMs: 0 }), { rows: [], next: null, isComplete: true })
  t.match(find(path, { code: 'GW_NONE', timeMs: 0 }), { next: null }, 'no day has failures')
  t.same(find(path, { keys: ['k_2'] }).rows, [])
})

t.test('a text of an id is found at once, however far back', async (t) => {
  const rows = Array.from({ length: 110_000 }, (_, n) => rowOf(n, { key: n % 2 ? 'k_1' : 'k_2' }))
  const path = await book(t, rows)
  const ids = (search: Partial<RequestSearch>) => {
    const { rows: found, next, isComplete } = find(path, { timeMs: 60_000, ...search }) // on a machine that may be busy
    t.ok(isComplete)
    return { ids: found.map(({ requestId }) => requestId), next }
  }
  t.same(ids({ id: 'req-7', until: NOON + 8 }), { ids: ['req-7'], next: null })
  t.same(ids({ id: '-1234' }).ids.length, 11, '1234 and 12340 to 12349')
  t.same(ids({ id: '-1234', keys: ['k_1'] }).ids.length, 5)
  t.same(ids({ id: 'nowhere' }), { ids: [], next: null })
  t.same(ids({ id: '-1234', limit: 2 }), {
    ids: ['req-12349', 'req-12348'],
    next: rowNumber(12348)
  })
  t.same(ids({ id: '-1234', limit: 2, before: rowNumber(12341) }), {
    ids: ['req-12340', 'req-1234'],
    next: null
  })
  t.same(ids({ id: 'req', limit: 2 }).ids, ['req-109999', 'req-109998'], 'of which there are many')
})

/** SQLite numbers rows from 1. */
function rowNumber(n: number): number {
  return n + 1
}

t.test(
  'a book of before gets the new columns, and an earlier program can go on with it',
  async (t) => {
    const path = await book(t, [rowOf(1)])
    const db = new DatabaseSync(path)
    db.exec(
      `DROP INDEX requests_at_id; ALTER TABLE requests DROP COLUMN facts; ALTER TABLE requests DROP COLUMN id; DROP TABLE audit`
    )
    const version = db.prepare('PRAGMA user_version').get()
    db.close()
    const { book: opened } = await BookDatabase.open({
      path,
      now: NOON,
      run: { id: 'next', mark: markOf(process.pid) },
      isKept: true,
      periods: [],
      damagedFile: null
    })
    t.teardown(() => opened.close())
    t.match(find(path, {}).rows, [{ requestId: '', facts: '', at: NOON + 1 }])
    const earlier = new DatabaseSync(path)
    t.teardown(() => earlier.close())
    t.same(earlier.prepare('PRAGMA user_version').get(), version)
    earlier.exec(`INSERT INTO requests (at, key, client, dialect, model, status, code, input, output, cached, credits,
    total_ms, first_ms, repairs, metering) VALUES (${NOON}, 'k_1', 'c', 'd', 'm', 200, '', 1, 1, 0, 1, 1, 1, 0, '')`)
    t.equal(find(path, {}).rows.length, 2)
  }
)

t.test('sums of days are whole, with the newest first, or part by part', async (t) => {
  const day = 20_000
  const rows = [0, 1, 2].flatMap((back) =>
    ['a', 'b'].map((model) => rowOf(back, { at: (day - back) * 86_400_000, model }))
  )
  const path = await book(t, rows)
  const sums = (offset: number | null, limit: number) => {
    const bounds = { keys: null, model: null, client: null, since: day - 1, until: day }
    const search = { by: 'day', split: 'model', ...bounds, offset, limit } as const
    const { rows: found, total } = searchUsage(path, { type: 'sums', search })
    return {
      rows: found.map((one) => `${one.group} ${one.split}`).toSorted(),
      total: total.requests
    }
  }
  t.same(sums(null, 2), { rows: [`${day} a`, `${day} b`], total: 4 }, 'the newest, and all counted')
  t.same(sums(0, 3).rows, [`${day - 1} a`, `${day - 1} b`, `${day} a`], 'by name')
  t.same(sums(3, 3).rows, [`${day} b`])
  t.same(sums(9, 3).rows, [])
})

t.test('a searcher answers one after the other, and goes when nobody asks', async (t) => {
  const path = await book(t, [rowOf(1), rowOf(2)])
  const files: (string | null)[] = [path]
  const searcher = new UsageSearcher({ file: async () => files[0] ?? null, idleMs: 1 })
  t.teardown(() => searcher.close())
  const answers = await Promise.all(
    [1, 2].map(() => searcher.ask({ type: 'requests', search: ALL }))
  )
  for (const found of answers) t.equal(found?.rows.length, 2)
  t.match(await searcher.ask({ type: 'names' }), [['k_1', 'anna']], 'a new thread')
  files[0] = join(t.testdirName, 'nothing.db')
  await t.rejects(searcher.ask({ type: 'names' }), {
    code: 'GW_CONFLICT',
    message: /cannot be read/
  })
  files[0] = null
  t.equal(await searcher.ask({ type: 'names' }), null, 'nothing is recorded')
  const many = Array.from({ length: 40 }, () => searcher.ask({ type: 'names' }))
  const outcomes = await Promise.allSettled(many)
  t.equal(outcomes.filter(({ status }) => status === 'rejected').length, 8)
})

t.test('threads that a standing disk keeps from ending are bounded', async (t) => {
  const started: StandingThread[] = []
  const searcher = new UsageSearcher({
    file: async () => 'usage.db',
    timeoutMs: 1,
    startThread: () => {
      const thread = new StandingThread()
      started.push(thread)
      return thread
    }
  })
  t.teardown(() => searcher.close())
  for (let n = 0; n < 5; n++) {
    await t.rejects(searcher.ask({ type: 'names' }), {
      code: 'GW_CONFLICT',
      message: /the disk does not respond/
    })
  }
  t.equal(started.length, 2, 'no thread is started for the others')
  started[0]?.emit('exit', 1)
  await t.rejects(searcher.ask({ type: 'names' }), { code: 'GW_CONFLICT' })
  t.equal(started.length, 3, 'one has gone')
})

t.test('a thread that dies by itself is replaced, however often', async (t) => {
  let started = 0
  const searcher = new UsageSearcher({
    file: async () => 'usage.db',
    startThread: () => {
      started++
      const thread = new StandingThread()
      thread.postMessage = () => void setImmediate(() => thread.emit('exit', 1))
      return thread
    }
  })
  t.teardown(() => searcher.close())
  for (let n = 0; n < 5; n++)
    await t.rejects(searcher.ask({ type: 'names' }), { message: /its thread has ended/ })
  t.equal(started, 5)
})

/** Does not answer or end, as if in a call of SQLite that does not return. */
class StandingThread extends EventEmitter {
  postMessage(): void {}
  ref(): void {}
  unref(): void {}
  async terminate(): Promise<number> {
    return new Promise(() => {})
  }
}

t.test('a part of an id is searched for in bounded time, and found all the same', async (t) => {
  const COUNT = 120_000
  const path = await book(
    t,
    Array.from({ length: COUNT }, (_, n) => rowOf(n))
  )
  const pagesOf = (timeMs: number) => {
    const found: string[] = []
    let searches = 0
    for (let before: number | null = null; ; searches++) {
      const { rows, next }: FoundRequests = find(path, { id: 'q-11999', before, timeMs })
      found.push(...rows.map(({ requestId }) => requestId))
      before = next
      if (before === null) return { found, searches }
    }
  }
  const whole = pagesOf(10_000)
  t.equal(whole.found.length, 11)
  t.equal(whole.searches, 0, 'at once')
  const inPieces = pagesOf(0)
  t.same(inPieces.found, whole.found)
  t.ok(inPieces.searches >= 2, 'no search reads all of the file')
})
