import { writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import { dayOf, type PlanLook } from '../../../src/control/plan/plan-record.ts'
import { readPlan } from '../../../src/control/usage/usage-report.ts'
import { openBook } from '../../helper/open-book.ts'
import { usageRow } from '../../helper/usage-row.ts'

const NOON = Date.parse('2026-09-10T12:00:00Z')
const TODAY = dayOf(NOON)

function createBook(t: Test, stateDir: string, isKept = true) {
  const book = openBook(stateDir, {
    settings: () => ({ isKept, retentionDays: 90 }),
    now: () => NOON
  })
  t.teardown(() => book.close())
  return book
}

function lookAt(seconds: number, used: number): PlanLook {
  const at = NOON + seconds * 1_000
  return { at, plan: 'PRO', used: used * 1e6, limit: 1e9, resetsAt: null, others: {} }
}

function rowOf(credits: number, key = 'operator') {
  return usageRow({ at: NOON, key, credits: credits * 1e6 })
}

t.test('a look at the account', (t) => {
  t.test('is compared with all that is recorded, also what is not written yet', async (t) => {
    const book = createBook(t, t.testdir({}))
    t.equal(await book.look('a', lookAt(0, 100)), null, 'nothing is recorded yet')
    book.record([rowOf(2), rowOf(50, 'kiro')])
    t.match(await book.look('a', lookAt(1, 102)), {
      record: { since: { used: 0, booked: 0 }, booked: 2e6 },
      bookDays: [[TODAY, 2e6]]
    })
    book.record([rowOf(3), rowOf(4, 'k_1'), rowOf(70, 'kiro')])
    t.match(await book.look('a', lookAt(2, 110)), {
      record: { days: [{ day: TODAY, used: 8e6, booked: 7e6 }] }
    })
  })

  t.test('is kept over restarts, for each account', async (t) => {
    const stateDir = t.testdir({})
    const first = createBook(t, stateDir)
    first.record([rowOf(2)])
    await first.look('a', lookAt(0, 100))
    await first.close()
    const second = createBook(t, stateDir)
    t.match(await second.look('b', lookAt(1, 5)), { record: { since: { used: 0 } } })
    second.record([rowOf(1)])
    t.match(await second.look('a', lookAt(2, 104)), {
      record: { since: { used: 4e6, booked: 1e6 } }
    })
    t.match(await readPlan(usagePath(stateDir)), {
      record: { used: 104e6, since: { used: 4e6 } },
      bookDays: [[TODAY, 3e6]]
    })
  })

  t.test('is one of two gateways on one folder, whose sums are the same', async (t) => {
    const stateDir = t.testdir({})
    const [one, other] = [createBook(t, stateDir), createBook(t, stateDir)]
    one.record([rowOf(2)])
    await one.look('a', lookAt(0, 100))
    other.record([rowOf(3)])
    t.match(await other.look('a', lookAt(1, 103)), {
      record: { since: { used: 3e6, booked: 3e6 } }
    })
    one.record([rowOf(1)])
    t.match(await one.look('a', lookAt(2, 105)), { record: { since: { used: 5e6, booked: 4e6 } } })
    t.match(await other.look('a', lookAt(1.5, 104)), { record: { used: 105e6 } }, 'it came late')
  })

  t.test('is none where nothing is recorded or the book cannot be written', async (t) => {
    const kept = createBook(t, t.testdir({}), false)
    kept.record([rowOf(2)])
    t.equal(await kept.look('a', lookAt(0, 100)), null)
    const stateDir = t.testdir({ 'usage.db': { 'is-a-folder': '' } })
    t.equal(await createBook(t, stateDir).look('a', lookAt(0, 100)), null)
    const empty = t.testdir({})
    t.equal(await readPlan(usagePath(empty)), null)
    writeFileSync(usagePath(empty), 'no database')
    t.equal(await readPlan(usagePath(empty)), null)
  })
  t.end()
})
