import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { UsageJournals } from '../../../src/control/usage/usage-journals.ts'
import { UsageRecorder, usagePath } from '../../../src/control/usage/usage-recorder.ts'
import { ROWS_PER_FILE } from '../../../src/ipc/usage-row.ts'
import type { UsageRow } from '../../../src/ipc/usage-row.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { usageRow } from '../../helper/usage-row.ts'

/** As it is read: with what the last rows say. */
const ENTRY = {
  name: 'k_1/credits',
  period: 7,
  used: 500,
  reserved: 30,
  recorded: 500,
  version: 1
} as const

function rows(from: number, to: number): UsageRow[] {
  return Array.from({ length: to - from }, (_, n) => usageRow({ credits: 1, firstMs: from + n }))
}

/** A life of the primary, on a folder that may have seen others. */
function live(t: Test, stateDir: string, isKept = true) {
  const { log } = recordedLog()
  const counted: UsageRow[] = []
  const done: string[] = []
  const lost: number[] = []
  const recorder = new UsageRecorder({
    stateDir,
    settings: () => ({ isKept, retentionDays: 9_000 }),
    log,
    writeMs: 1,
    onRecorded: (journal, seq) => journals.onRecorded(journal, seq)
  })
  const journals: UsageJournals = new UsageJournals({
    pathOf: (id) => join(stateDir, 'credits', `rows-${id}`),
    recorder,
    onRows: (more) => counted.push(...more),
    onLost: (requests) => lost.push(requests),
    onDone: (id) => done.push(id),
    log
  })
  t.teardown(() => recorder.close())
  return { recorder, journals, counted, done, lost }
}

function write(stateDir: string, from: number, all: readonly UsageRow[]): void {
  mkdirSync(join(stateDir, 'credits'), { recursive: true })
  all.forEach((row, at) => {
    const seq = from + at
    const path = join(stateDir, 'credits', `rows-w-${Math.floor(seq / ROWS_PER_FILE)}`)
    appendFileSync(path, `${JSON.stringify({ seq, row })}\n`)
  })
}

/** Which rows are in the record, by the number that each has. */
function recordedIn(stateDir: string): readonly number[] {
  const db = new DatabaseSync(usagePath(stateDir), { readOnly: true })
  const found = db.prepare('SELECT first_ms AS n FROM requests ORDER BY n').all()
  db.close()
  return found.map(({ n }) => Number(n))
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

t.test('UsageJournals', (t) => {
  t.test('has each row once, told or found, whatever was told twice or never', async (t) => {
    const stateDir = t.testdir({})
    const { recorder, journals, counted, done } = live(t, stateDir)
    const all = rows(0, 20)
    write(stateDir, 0, all)
    journals.hear('w', 0, all.slice(0, 3))
    journals.hear('w', 1, all.slice(1, 5))
    journals.hear('w', 10, all.slice(10, 12)) // a primary that hung was not told of those before
    journals.leave('w', [])
    t.same(done, [], 'they are not recorded yet')
    await recorder.close()
    t.same(recordedIn(stateDir), numbers(20))
    t.equal(counted.length, 20)
    t.same(done, ['w'])
    t.same(readdirSync(join(stateDir, 'credits')), [], 'and the files are gone')
  })

  t.test('goes on after a death of all at any moment', async (t) => {
    for (const told of [0, 1, 7, 10]) {
      const stateDir = t.testdir({})
      write(stateDir, 0, rows(0, 10))
      writeFileSync(join(stateDir, 'credits', 'rows-w-0'), '{"seq":10,"row":{"at', { flag: 'a' })
      const before = live(t, stateDir)
      before.journals.hear('w', 0, rows(0, told))
      while (told > 0 && (await before.recorder.lastOf('w')) < told - 1) {
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      for (const life of [1, 2]) {
        const { recorder, journals, counted, done } = live(t, stateDir)
        await journals.recover({ id: 'w', entries: [ENTRY], files: [0] })
        await journals.recover({ id: 'w', entries: [ENTRY], files: [0] })
        await recorder.close()
        t.same(done, ['w'], `${told} told, life ${life}`)
        t.same(counted, [], 'none of it is of this life')
        const db = new DatabaseSync(usagePath(stateDir), { readOnly: true })
        const sum = db
          .prepare('SELECT count(*) AS rows, sum(credits) AS credits FROM requests')
          .get()
        db.close()
        // Of 500 used and 30 reserved rows have told 500: the 30 died.
        t.match(sum, { rows: 11, credits: 40 })
        write(stateDir, 0, rows(0, 10)) // as if the death had come before they were removed
      }
    }
  })

  t.test('removes a file as soon as the record has all of it', async (t) => {
    const stateDir = t.testdir({})
    const { recorder, journals } = live(t, stateDir)
    const all = rows(0, ROWS_PER_FILE + 1)
    write(stateDir, 0, all)
    journals.hear('w', 0, all)
    await recorder.close()
    t.same(readdirSync(join(stateDir, 'credits')), ['rows-w-1'])
  })

  t.test(
    'takes in what many workers have left, more than the record has room for at once',
    async (t) => {
      const stateDir = t.testdir({})
      const count = 5_500
      const files = [0, 1, 2, 3, 4, 5]
      const ids = ['w', 'v']
      for (const id of ids) {
        mkdirSync(join(stateDir, 'credits'), { recursive: true })
        for (const number of files) {
          const from = number * ROWS_PER_FILE
          const lines = rows(from, Math.min(count, from + ROWS_PER_FILE)).map(
            (row, at) => `${JSON.stringify({ seq: from + at, row })}\n`
          )
          writeFileSync(join(stateDir, 'credits', `rows-${id}-${number}`), lines.join(''))
        }
      }
      const { recorder, journals, done } = live(t, stateDir)
      await Promise.all(ids.map((id) => journals.recover({ id, entries: [], files })))
      await recorder.close()
      t.same(
        recordedIn(stateDir),
        numbers(count).flatMap((n) => [n, n])
      )
      t.same(done, ids)
      t.same(readdirSync(join(stateDir, 'credits')), [])
    }
  )

  t.test('keeps no file where nothing is recorded', async (t) => {
    const stateDir = t.testdir({})
    const { journals, counted, done } = live(t, stateDir, false)
    write(stateDir, 0, rows(0, 5))
    journals.hear('w', 0, rows(0, 2))
    journals.leave('w', [ENTRY])
    t.same(done, ['w'])
    t.equal(counted.length, 6, 'they are counted, and so is what died')
    t.same(readdirSync(stateDir), ['credits'])
    t.same(readdirSync(join(stateDir, 'credits')), [])
  })
  t.end()
})

t.test('counts the requests that began and have no row when their worker has died', async (t) => {
  const stateDir = t.testdir({})
  const { journals, lost } = live(t, stateDir, false)
  write(stateDir, 0, rows(0, 3))
  const path = join(stateDir, 'credits', 'rows-w-0')
  appendFileSync(path, '{"begun":4}\n{"begun":5}\n{"beg')
  journals.hear('w', 0, rows(0, 2))
  journals.leave('w', [])
  t.same(lost, [2])

  t.comment('of a worker that has left in good order there are none, and none are made up')
  mkdirSync(join(stateDir, 'credits'), { recursive: true })
  appendFileSync(
    join(stateDir, 'credits', 'rows-v-0'),
    '{"begun":1}\n{"begun":99999999999999999}\n'
  )
  journals.hear('v', 0, rows(0, 1))
  journals.leave('v', [])
  t.same(lost, [2])
})
