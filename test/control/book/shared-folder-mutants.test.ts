import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Copied, mutate } from '../../helper/mutant.ts'
import { skipByDay } from '../../helper/nightly.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { type BookShells, SharedFolder } from '../../helper/shared-folder.ts'

/** A fault, written as what a hasty change might do to one place of the source. */
type Fault = readonly [story: string, file: string, from: string, to: string]

const LEASE = 'control/allowances/credit-lease.ts'
const CONTROL = 'control/allowances/allowance-control.ts'
const BOOK = 'control/book/usage-book.ts'
const DATABASE = 'control/book/book-database.ts'
const COPIED: Copied = {
  parts: ['admission', 'control', 'ipc', 'keys', 'kiro', 'observe', 'shared'],
  files: [CONTROL, BOOK, DATABASE]
}

const faults: readonly Fault[] = [
  [
    'workers are handed credits before the lease is written',
    LEASE,
    'this.#askedAt = this.#now()',
    'this.#askedAt = this.#now(); if (this.#share !== null) this.#share += want; this.#options.onChange()'
  ],
  [
    'the row of what a paused gateway held stays',
    DATABASE,
    'this.#statements.dropRow.run(row.id, key, row.at)',
    ''
  ],
  [
    'what a dead gateway held is free',
    DATABASE,
    "nextPage(page, { type: 'lose', run })",
    "nextPage(page, { type: 'end', run })"
  ],
  ['a batch that is written is written again', DATABASE, '>= batch.seq', '> batch.seq'],
  ['what could not be written is forgotten', BOOK, 'else this.#putBack(taken)', ''],
  [
    'what a paused gateway held stays used',
    DATABASE,
    'const regained = this.#regain()',
    'const regained: never[] = []'
  ]
]

t.setTimeout(900_000)

t.test('the shared folder notices when', { skip: skipByDay }, (t) => {
  for (const [story, file, from, to] of faults) {
    t.test(story, async (t) => {
      const shells = await mutate(t.testdir({}), { story, file, from, to }, COPIED)
      t.match(await play(shells as BookShells), /^Error: /)
    })
  }
  t.end()
})

/** What the first world says in which something is wrong. */
async function play(shells: BookShells): Promise<string> {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const folder = join(memory, `kiro-gateway-mutants-${process.pid}`)
  for (let seed = 1; seed <= 150; seed++) {
    try {
      await new SharedFolder(shells, seededRandom(seed), folder).play(200)
    } catch (cause) {
      return String(cause)
    }
  }
  return ''
}
