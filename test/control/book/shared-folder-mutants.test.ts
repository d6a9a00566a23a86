import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Copied, mutate } from '../../helper/mutant.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { type BookShells, SharedFolder } from '../../helper/shared-folder.ts'

/** A fault, written as what a hasty change might do to one place of the source. */
type Fault = readonly [story: string, file: string, from: string, to: string]

const LEASE = 'control/allowances/credit-lease.ts'
const CONTROL = 'control/allowances/allowance-control.ts'
const LEDGER = 'control/allowances/allowance-ledger.ts'
const BOOK = 'control/book/usage-book.ts'
const DATABASE = 'control/book/book-database.ts'
const PAGE = 'control/book/page.ts'
const OF_NOW = 'if (event.period !== page.period.number) return page\n'
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
  ],
  [
    'what one request costs frees all that its run holds',
    PAGE,
    'held: Math.max(0, lease.held - event.amount),\n        settled',
    'held: 0,\n        settled'
  ],
  [
    'a run that ends in order has used all that it held',
    PAGE,
    '      leases.delete(event.run)\n      return { ...page, leases }',
    '      leases.delete(event.run)\n      return { ...page, leases, used: page.used + leaseIn(page, event.run).held }'
  ],
  [
    'a lease is larger than what is free',
    PAGE,
    'const got = Math.min(free, event.want)',
    'const got = Math.min(free + 1, event.want)'
  ],
  [
    'a lease is as large as it is wanted',
    PAGE,
    'const got = Math.min(free, event.want)',
    'const got = event.want'
  ],
  [
    'what is used does not count when something is leased',
    PAGE,
    'event.cap - page.used - heldIn(page)',
    'event.cap - heldIn(page)'
  ],
  [
    'what others hold does not count when something is leased',
    PAGE,
    'event.cap - page.used - heldIn(page)',
    'event.cap - page.used - leaseIn(page, event.run).held'
  ],
  [
    'what a run holds itself does not count when it leases more',
    PAGE,
    'event.cap - page.used - heldIn(page)',
    'event.cap - page.used - heldIn(page, event.run)'
  ],
  ['a lease takes the place of the one before', PAGE, 'held: lease.held + got,', 'held: got,'],
  ['what is settled is not used', PAGE, 'used: page.used + event.amount }', 'used: page.used }'],
  [
    'what is settled is used twice',
    PAGE,
    'used: page.used + event.amount }',
    'used: page.used + 2 * event.amount }'
  ],
  [
    'requests of an old period are charged to the new one',
    PAGE,
    `${OF_NOW}      const lease = leaseIn(page, event.run)\n      const next = {\n        ...lease,\n        held: Math`,
    'const lease = leaseIn(page, event.run)\n      const next = {\n        ...lease,\n        held: Math'
  ],
  [
    'requests of this period are not charged',
    PAGE,
    `case 'settle': {\n      ${OF_NOW}`,
    `case 'settle': {\n      if (event.period === page.period.number) return page\n`
  ],
  [
    'what a dead run held is free again',
    PAGE,
    'used: page.used + leaseIn(page, event.run).held }',
    'used: page.used }'
  ],
  [
    'a dead run has used what it had settled once more',
    PAGE,
    'used: page.used + leaseIn(page, event.run).held }',
    'used: page.used + leaseIn(page, event.run).held + leaseIn(page, event.run).settled }'
  ],
  [
    'a dead run holds its credits for ever',
    PAGE,
    '      const leases = new Map(page.leases)\n      leases.delete(event.run)\n      return { ...page, leases, used',
    '      const leases = new Map(page.leases)\n      return { ...page, leases, used'
  ],
  [
    'a run that ends in order holds its credits for ever',
    PAGE,
    '      const leases = new Map(page.leases)\n      leases.delete(event.run)\n      return { ...page, leases }',
    '      const leases = new Map(page.leases)\n      return { ...page, leases }'
  ],
  [
    'a run gives back more than it has',
    PAGE,
    'held: Math.max(0, lease.held - event.amount)\n      })',
    'held: lease.held - event.amount - 1\n      })'
  ],
  [
    'a new period begins with what was used in the old one',
    PAGE,
    'openPage(event.period, {',
    'openPage(event.period, { used: page.used,'
  ],
  [
    'a new period begins with the leases of the old one',
    PAGE,
    'openPage(event.period, {',
    'openPage(event.period, { leases: page.leases,'
  ],
  [
    'an old period comes back',
    PAGE,
    'if (event.period.number < page.period.number) return page',
    ''
  ],
  [
    'the same period begins again and again',
    PAGE,
    'if (event.period.number === page.period.number) return { ...page, period: event.period }',
    ''
  ],
  [
    'what a paused run holds again is still used, too',
    PAGE,
    'used: page.used - event.held }',
    'used: page.used }'
  ],
  [
    'what was written off of a paused run is free',
    PAGE,
    'held: lease.held + event.held,',
    'held: lease.held,'
  ],
  [
    'a paused run has credits of an old period back',
    PAGE,
    `case 'regain': {\n      ${OF_NOW}`,
    `case 'regain': {\n`
  ],
  [
    'what a worker that died held is handed out again',
    LEDGER,
    'isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0',
    '0'
  ],
  [
    'the ledger hands out what it has no lease of',
    LEDGER,
    'let free = limit - away - settled',
    'let free = limit - settled'
  ],
  [
    'what workers that are gone have used does not count',
    LEDGER,
    'let free = limit - away - settled',
    'let free = limit - away'
  ],
  [
    'grants that are under way are granted again',
    LEDGER,
    'return granted - report.returned',
    'return report.used + report.reserved + report.spare'
  ]
]

t.setTimeout(900_000)

t.test('the shared folder notices when', (t) => {
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
