import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import type { BookBatch, PageAsk } from '../../../src/control/book/book-messages.ts'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { periodAt } from '../../../src/keys/period.ts'
import { markOf } from '../../../src/shared/process-mark.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const TODAY = periodAt('day', null, NOON)

function batchOf(seq: number, changes: Partial<PageAsk>, charged = 0): BookBatch {
  const nothing = { rows: [], sums: [], names: [], prices: [], audit: [], pruneBefore: 0 }
  const limit = { key: 'k_1', period: TODAY, cap: 10 * CREDIT, createdAt: 0, reopened: null }
  const charges = charged > 0 ? [{ key: 'k_1', period: TODAY.number, credits: charged }] : []
  const asks = [{ ...limit, want: 0, release: 0, ...changes }]
  return { ...nothing, seq, now: NOON, isKept: true, charges, asks }
}

async function open(t: Test, path: string, id: string): Promise<BookDatabase> {
  const run = { id, mark: markOf(process.pid) }
  const opening = { path, now: NOON, run, isKept: true, periods: [], damagedFile: null }
  const { book } = await BookDatabase.open(opening)
  t.teardown(() => book.destroy())
  return book
}

/** Removes the book as someone might who needs room on the disk. */
function remove(path: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
}

/** Fails what SQLite is told by `exec()`, from the first on that `isFull` says. Returns what heals the disk. */
function fillDisk(t: Test, isFull: (sql: string, n: number) => boolean): () => void {
  // oxlint-disable-next-line typescript/unbound-method -- called with its database
  const original = DatabaseSync.prototype.exec
  let told = 0
  let isFailing = false
  const calls = t.capture(
    DatabaseSync.prototype,
    'exec',
    function (this: DatabaseSync, sql: string): void {
      isFailing ||= sql !== 'ROLLBACK' && isFull(sql, told++)
      if (isFailing && sql !== 'ROLLBACK')
        throw Object.assign(new Error('database or disk is full'), { errcode: 13 })
      Reflect.apply(original, this, [sql])
    }
  )
  return () => calls.restore()
}

t.test('a removed book is made anew with its pages, whenever the disk is full', async (t) => {
  for (let full = 0; ; full++) {
    const path = usagePath(t.testdir({}))
    const book = await open(t, path, 'one')
    await book.commit(batchOf(0, { want: 9 * CREDIT }))
    await book.commit(batchOf(1, {}, 8 * CREDIT))
    remove(path)
    const heal = fillDisk(t, (_, n) => n === full)
    const failed = await book.commit(batchOf(2, { want: CREDIT })).then(
      () => false,
      () => true
    )
    heal()
    const [page] = (await book.commit(batchOf(3, { want: 5 * CREDIT }))).pages
    t.match(page, { used: 8 * CREDIT, share: 10 * CREDIT }, `full at ${full}`)
    const other = await open(t, path, 'other')
    const [elsewhere] = (await other.commit(batchOf(0, { want: 5 * CREDIT }))).pages
    t.match(elsewhere, { used: 8 * CREDIT, share: 0 }, 'another gateway has none of them')
    if (!failed) break
    t.ok(full < 20)
  }
})

t.test('a removed book has nothing that could not be written', async (t) => {
  const path = usagePath(t.testdir({}))
  const book = await open(t, path, 'one')
  await book.commit(batchOf(0, { want: 9 * CREDIT }))
  const heal = fillDisk(t, (sql) => sql === 'COMMIT')
  await t.rejects(book.commit(batchOf(1, { release: 4 * CREDIT }, 3 * CREDIT)), /full/)
  heal()
  remove(path)
  const [page] = (await book.commit(batchOf(2, {}, 3 * CREDIT))).pages
  t.match(page, { used: 3 * CREDIT, settled: 3 * CREDIT, share: 9 * CREDIT })
})
