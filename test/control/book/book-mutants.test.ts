import t from 'tap'
import { type Copied, mutate } from '../../helper/mutant.ts'
import { skipByDay } from '../../helper/nightly.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { AllowanceCore } from '../../../src/admission/allowance-core.ts'
import { nextAllowance, openAllowance } from '../../../src/control/allowances/allowance-ledger.ts'
import { nextPage, openPage } from '../../../src/control/book/page.ts'
import { type BookMachines, SimulatedBook } from '../../helper/simulated-book.ts'

/** A fault, written as what a hasty change might do to one place of the source. */
type Fault = readonly [story: string, file: string, from: string, to: string]

const PAGE = 'control/book/page.ts'
const LEDGER = 'control/allowances/allowance-ledger.ts'
const CORE = 'admission/allowance-core.ts'
const COPIED: Copied = {
  parts: ['admission', 'control/allowances', 'control/book', 'ipc', 'keys', 'shared'],
  files: [CORE, LEDGER, PAGE]
}
const OF_NOW = 'if (event.period !== page.period.number) return page\n'

const mutants: readonly Fault[] = [
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
  ],
  [
    'a worker uses what it does not have',
    CORE,
    'this.#waiting.size === 0 && amount <= this.#spare',
    'this.#waiting.size === 0 && amount <= this.#spare + 2'
  ],
  ['a worker that is about to end keeps what it has', CORE, 'this.#isLeaving = true', '']
]

t.setTimeout(600_000)

t.test('the simulated book notices when', { skip: skipByDay }, (t) => {
  for (const [story, file, from, to] of mutants) {
    t.test(story, async (t) => {
      const machines = await mutate(t.testdir({}), { story, file, from, to }, COPIED)
      t.match(play(machines as BookMachines), /^Error: /)
    })
  }
  t.test('nothing is wrong', async (t) => {
    t.equal(play({ AllowanceCore, nextAllowance, openAllowance, nextPage, openPage }), '')
  })
  t.end()
})

/** What the first world says in which something is wrong. */
function play(machines: BookMachines): string {
  for (let seed = 1; seed <= 1_500; seed++) {
    const random = seededRandom(seed)
    const world = new SimulatedBook(machines, random, 1 + Math.floor(random() * 40))
    try {
      for (let n = 0; n < 300; n++) world.step()
      world.conclude()
    } catch (cause) {
      return String(cause)
    }
  }
  return ''
}
