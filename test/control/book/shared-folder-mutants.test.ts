import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { seededRandom } from '../../helper/seeded-random.ts'
import { type BookShells, SharedFolder } from '../../helper/shared-folder.ts'

/** A fault, written as what a hasty change might do to one place of the source. */
type Mutant = readonly [story: string, file: string, from: string, to: string]

const LEASE = 'control/allowances/credit-lease.ts'
const DESK = 'control/allowances/allowance-desk.ts'
const BOOK = 'control/book/usage-book.ts'
const DATABASE = 'control/book/book-database.ts'

const mutants: readonly Mutant[] = [
  [
    'workers are handed credits before the lease is written',
    LEASE,
    'this.#askedAt = this.#now()',
    'this.#askedAt = this.#now(); if (this.#share !== null) this.#share += want; this.#options.onChange()'
  ],
  ['a batch that is written is written again', DATABASE, '>= batch.seq', '> batch.seq'],
  ['what could not be written is forgotten', BOOK, 'else this.#putBack(taken)', ''],
  [
    'what a paused gateway held stays used',
    DATABASE,
    'const regained = this.#regain()',
    'const regained: never[] = []'
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
  ]
]

t.setTimeout(900_000)

t.test('the shared folder notices when', (t) => {
  for (const [story, file, from, to] of mutants) {
    t.test(story, async (t) => {
      t.match(await play(await mutate(t.testdir({}), { file, from, to })), /^Error: /)
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

async function mutate(
  folder: string,
  { file, from, to }: { readonly file: string; readonly from: string; readonly to: string }
): Promise<BookShells> {
  for (const part of ['control', 'ipc', 'keys', 'kiro', 'observe', 'shared'])
    cpSync(join(import.meta.dirname, '../../../src', part), join(folder, part), { recursive: true })
  const path = join(folder, file)
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} has to hold this once: ${from}`)
  writeFileSync(
    path,
    source.replace(from, () => to)
  )
  const parts = [DESK, BOOK, DATABASE].map((one) => import(pathToFileURL(join(folder, one)).href))
  return Object.assign({}, ...(await Promise.all(parts))) as BookShells
}
