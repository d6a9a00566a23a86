import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import type { BookBatch, PageAsk } from '../../../src/control/book/book-messages.ts'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { periodAt } from '../../../src/keys/period.ts'
import { markOf } from '../../../src/shared/process-mark.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const MONTH = periodAt('month', null, NOON)
/** Another gateway takes one that it has not heard of for so long, and whose processes it cannot see, for dead. */
const PAUSED_MS = 130_000

function rig(t: Test) {
  const path = usagePath(t.testdir({}))
  const clock = { now: NOON }
  const closed = new Set<BookDatabase>()
  const open = async (id: string, place?: string) => {
    const mark = { ...markOf(process.pid), ...(place !== undefined && { place }) }
    const { book } = await BookDatabase.open({
      path,
      now: clock.now,
      run: { id, mark },
      isKept: true,
      periods: [],
      damagedFile: null
    })
    t.teardown(() => {
      if (!closed.has(book)) book.destroy()
    })
    let seq = 0
    const commit = async (ask: Partial<PageAsk>, credits = 0, period = MONTH) => {
      const charges = credits === 0 ? [] : [{ key: 'k_1', period: period.number, credits }]
      const rows = charges.map(() => {
        const { turn: _, ...row } = usageRow({ at: clock.now, credits })
        return row
      })
      const batch: BookBatch = {
        seq: seq++,
        now: clock.now,
        isKept: true,
        rows,
        sums: [],
        names: [],
        charges,
        asks: [{ ...ASK, ...ask }],
        prices: [],
        audit: [],
        pruneBefore: 0
      }
      const { pages, ...news } = await book.commit(batch)
      return { ...pages[0], ...news }
    }
    const close = (): void => {
      closed.add(book)
      book.close()
    }
    return { close, commit }
  }
  /** Returns the sums of the rows, and of the days. */
  const recorded = (): readonly number[] => {
    const db = new DatabaseSync(path, { readOnly: true })
    const sums = ['requests', 'days'].map((table) =>
      Number(db.prepare(`SELECT total(credits) AS sum FROM ${table}`).get()?.['sum'])
    )
    db.close()
    return sums
  }
  return { clock, open, recorded }
}

const ASK: PageAsk = {
  key: 'k_1',
  period: MONTH,
  cap: 10 * CREDIT,
  want: 0,
  release: 0,
  createdAt: 0,
  reopened: null
}

t.test('a gateway that was paused for so long that another one has written it off', async (t) => {
  t.test('is charged once, and holds again what it held', async (t) => {
    const { clock, open, recorded } = rig(t)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ want: 9 * CREDIT }, CREDIT)
    clock.now += PAUSED_MS
    t.match(await other.commit({ want: 5 * CREDIT }), {
      used: 10 * CREDIT,
      share: 0,
      lost: [{ key: 'k_1', credits: 9 * CREDIT }]
    })
    t.same(recorded(), [10 * CREDIT, 10 * CREDIT])
    t.match(await paused.commit({}, 4 * CREDIT), {
      used: 5 * CREDIT,
      share: 10 * CREDIT,
      settled: 5 * CREDIT,
      regained: [{ key: 'k_1', credits: 9 * CREDIT }]
    })
    t.same(recorded(), [5 * CREDIT, 5 * CREDIT], 'and so in the record')
    t.match(await other.commit({ want: 5 * CREDIT }), { share: 0, heldElsewhere: 5 * CREDIT })
    t.match(await paused.commit({ release: 3 * CREDIT }), { share: 7 * CREDIT })
    t.match(await other.commit({ want: 5 * CREDIT }), { share: 3 * CREDIT })
    for (const { close } of [paused, other]) close()
    t.match(await (await open('next')).commit({}), { used: 5 * CREDIT, heldElsewhere: 0 })
  })

  t.test('may be written off again and again, and ends in order', async (t) => {
    const { clock, open, recorded } = rig(t)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ want: 9 * CREDIT })
    for (let times = 0; times < 3; times++) {
      clock.now += PAUSED_MS
      t.match(await other.commit({}), { used: 9 * CREDIT })
      clock.now += PAUSED_MS
      t.match(await other.commit({}), { used: 9 * CREDIT, lost: [], regained: [] }, 'once')
      if (times < 2) t.match(await paused.commit({}), { used: 0, share: 9 * CREDIT })
    }
    paused.close()
    t.match(await other.commit({ want: CREDIT }), { used: 0, share: CREDIT, heldElsewhere: 0 })
    t.same(recorded(), [0, 0])
  })

  t.test('holds it again with a batch from before the pause, too', async (t) => {
    const { clock, open } = rig(t)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ want: 4 * CREDIT })
    clock.now += PAUSED_MS
    t.match(await other.commit({}), { used: 4 * CREDIT })
    clock.now = NOON + 1_000
    t.match(await paused.commit({ want: 2 * CREDIT }), { used: 0, share: 6 * CREDIT })
    clock.now += 2 * PAUSED_MS
    t.match(await other.commit({}), { used: 6 * CREDIT, heldElsewhere: 0 }, 'all of it is lost')
  })

  t.test('gets nothing back of a period that is over', async (t) => {
    const { clock, open, recorded } = rig(t)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ want: 9 * CREDIT })
    clock.now += PAUSED_MS
    await other.commit({})
    const next = periodAt('month', MONTH, NOON + 30 * 86_400_000)
    t.match(await other.commit({ period: next, want: 10 * CREDIT }), { share: 10 * CREDIT })
    t.match(await paused.commit({ period: next, want: CREDIT }, 4 * CREDIT), {
      used: 0,
      share: 0,
      heldElsewhere: 10 * CREDIT
    })
    t.same(recorded(), [4 * CREDIT, 4 * CREDIT], 'the record has what was really used')
  })

  t.test('writes no batch twice that it had written before', async (t) => {
    const { clock, open } = rig(t)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ want: 9 * CREDIT }, CREDIT)
    clock.now += PAUSED_MS
    await other.commit({})
    const again = await open('paused', 'another container') // its thread had ended, too
    await again.commit({ want: CREDIT }, CREDIT) // the batch that the first one wrote
    t.match(await again.commit({}), { used: CREDIT, share: 10 * CREDIT })
  })

  t.test('is charged once and holds it again after months, too', async (t) => {
    const { clock, open } = rig(t)
    const period = periodAt('total', null, NOON)
    const paused = await open('paused', 'another container')
    const other = await open('other')
    await paused.commit({ period, want: 9 * CREDIT })
    clock.now += PAUSED_MS
    t.match(await other.commit({ period }), { used: 9 * CREDIT })
    clock.now += 200 * 86_400_000
    t.match(await other.commit({ period }), { used: 9 * CREDIT, lost: [] })
    t.match(await paused.commit({ period }), { used: 0, share: 9 * CREDIT })
  })
  t.end()
})
