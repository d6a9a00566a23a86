import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { parseLoanBook, withEntry } from '../../src/fleet/loan-book.ts'
import { RateLoans } from '../../src/fleet/rate-loans.ts'
import { assert, check, property } from '../helper/fast-check.ts'
import type { Mutant } from '../helper/mutant.ts'
import { loanStories, LoanWorld } from './loan-world.ts'

t.setTimeout(300_000)

const RUNS = 2_000

const at = (ms: number) => ({ mono: ms, wall: ms, up: ms })

function play(Loans: typeof RateLoans) {
  return property(loanStories, ({ steps, ...world }) => new LoanWorld(Loans, world).play(steps))
}

t.test('a shared rate', (t) => {
  t.test('is never exceeded in any window, whatever engine, clocks and processes do', async () => {
    assert(play(RateLoans), { numRuns: RUNS })
  })

  t.test('goes to whoever needs it', async (t) => {
    const world = new LoanWorld(RateLoans, { rate: 60, members: 3 })
    world.calm(1_000)
    t.same(
      [0, 1, 2].map((at) => world.limit(at)),
      [20, 20, 20]
    )
    world.load(0, 500)
    world.calm(500)
    t.equal(world.limit(0), 58, 'but for one that each of the others keeps')
    world.calm(30_000)
    t.equal(world.limit(0), 58, 'for as long as it is needed')
    const sent = 500 - world.waiting(0)
    t.ok(sent >= 5 * 58, `${sent} sent in 31 s, 5 windows`)
    world.load(1, 100)
    world.calm(11_000)
    t.same(
      [0, 1, 2].map((at) => world.limit(at)),
      [39, 20, 1],
      'until the lender needs it itself'
    )
  })

  t.test('is everybody’s even part without the engine, soon after that is gone', async (t) => {
    const world = new LoanWorld(RateLoans, { rate: 60, members: 3 })
    world.calm(1_000)
    world.load(0, 500)
    world.calm(2_000)
    t.equal(world.limit(0), 58)
    world.play([['time passes', 3_000]])
    t.equal(world.limit(0), 20)
    t.equal(world.limit(1), 1, 'what was lent may have been used a moment ago')
    world.play([['time passes', 7_000]])
    t.same(
      [0, 1, 2].map((at) => world.limit(at)),
      [20, 20, 20]
    )
  })

  t.test('is everybody’s even part where the book can never be read, or never written', (t) => {
    for (const isRead of [false, true]) {
      for (const hasPredecessor of [false, true]) {
        const terms = { id: 'i', name: 'a', replicas: 3, termMs: 30_000, windowMs: 61_000 }
        const loans = new RateLoans({ ...terms, hasPredecessor })
        loans.setUse({ rate: 60, used: 0, waiting: 5 })
        const limits: number[] = []
        for (let ms = 0; ms <= 120_000; ms += 1_000) {
          if (isRead) loans.onBook({}, at(ms))
          loans.look(at(ms))
          limits.push(loans.limit(at(ms)))
        }
        const first = limits.indexOf(20)
        // A term with its drift and margin, and a window: what one before it may have lent or used.
        t.equal(first, 94, `first after ${first} s`)
        t.ok(limits.slice(0, first).every((limit) => limit === 0))
        t.ok(loans.wakeAt(at(1_000)) <= 94_000)
      }
    }
    t.end()
  })

  t.test('of one that follows another waits for what that may have used', async (t) => {
    const world = new LoanWorld(RateLoans, { rate: 60, members: 3 })
    world.calm(1_000)
    world.load(0, 20)
    world.kill(0)
    t.equal(world.limit(0), 0)
    world.load(0, 30)
    world.calm(500)
    t.ok(world.limit(0) >= 30, `${world.limit(0)} lent by the others`)
    world.calm(12_000)
    t.ok(world.limit(0) >= 20)
    world.leave(0)
    world.calm(300)
    t.equal(world.limit(0), 20, 'not if that went in peace, and had used nothing')
  })

  t.test('costs no change of the register while nobody needs more', async (t) => {
    const world = new LoanWorld(RateLoans, { rate: 60, members: 3 })
    world.calm(1_000)
    const { changes } = world
    for (let minute = 0; minute < 4; minute += 1) {
      world.load(0, 15)
      world.calm(10_000)
    }
    t.equal(world.changes, changes)
  })
  t.end()
})

const mutants: readonly Mutant[] = [
  {
    story: 'a loan counts from when its answer was read',
    file: 'fleet/rate-loans.ts',
    from: `    if (sentAt === undefined) return false\n    return elapsedMs(sentAt, now)`,
    to: `    return elapsedMs(now, now)`
  },
  {
    story: 'what was lent is back before a window has passed',
    file: 'fleet/rate-loans.ts',
    from: `askedAt + termMs * DRIFT + this.#marginMs + windowMs`,
    to: `askedAt + termMs * DRIFT + this.#marginMs + 0 * windowMs`
  },
  {
    story: 'what was lent is back before the borrower must stop',
    file: 'fleet/rate-loans.ts',
    from: `askedAt + termMs * DRIFT + this.#marginMs + windowMs`,
    to: `askedAt + 0 * termMs + windowMs`
  },
  {
    story: 'a smaller loan takes the place of a larger one at once',
    file: 'fleet/rate-loans.ts',
    from: `filter((one) => one.count > count)`,
    to: `filter((one) => one.count < 0 * count)`
  },
  {
    story: 'starts that were just used are lent',
    file: 'fleet/rate-loans.ts',
    from: `floorOf(base) - used - waiting`,
    to: `floorOf(base) - 0 * used - waiting`
  },
  {
    story: 'one is lent to two',
    file: 'fleet/rate-loans.ts',
    from: `waiting - this.#lentNow(mono)\n`,
    to: `waiting\n`
  },
  {
    story: 'a successor begins with the whole part',
    file: 'fleet/rate-loans.ts',
    from: `return hasPredecessor ? longest : 0`,
    to: `return hasPredecessor ? 0 * longest : 0`
  },
  {
    story: 'whoever leaves forgets what it has lent',
    file: 'fleet/rate-loans.ts',
    from: `      ...lent.map(({ until }) => until - now.mono)\n`,
    to: `      ...lent.map(({ until }) => 0 * until)\n`
  }
]

t.test('the property notices when', (t) => {
  for (const mutant of mutants)
    t.test(mutant.story, async (t) => {
      const Loans = await mutate(t.testdir({}), mutant)
      const details = check(play(Loans), { numRuns: 10 * RUNS, seed: 1, endOnFailure: true })
      t.equal(details.failed, true)
      t.comment(JSON.stringify(details.counterexample?.[0]))
    })
  t.end()
})

async function mutate(folder: string, { file, from, to }: Mutant): Promise<typeof RateLoans> {
  for (const part of ['fleet', 'shared'])
    cpSync(join(import.meta.dirname, '../../src', part), join(folder, part), { recursive: true })
  const path = join(folder, file)
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} has to hold this once: ${from}`)
  writeFileSync(path, source.replace(from, to))
  const module: unknown = await import(pathToFileURL(join(folder, 'fleet/rate-loans.ts')).href)
  return (module as { readonly RateLoans: typeof RateLoans }).RateLoans
}

t.test('a book of loans', (t) => {
  const entry = { name: 'a', seq: 1, rate: 60, want: 0, ask: 0, loans: {}, left: null }

  t.test('has one entry of each name, and is left alone where nothing is new', async (t) => {
    const old = { x: { ...entry, seq: 9 }, y: { ...entry, name: 'b' } }
    const book = withEntry(old, 'z', entry)
    t.same(book, { y: old.y, z: entry })
    t.equal(withEntry(book ?? {}, 'z', entry), null)
    t.same(withEntry(book ?? {}, 'z', { ...entry, seq: 2 })?.['z']?.seq, 2)
  })

  t.test('does not grow with those that have gone', async (t) => {
    let book = {}
    for (let at = 0; at < 500; at += 1) {
      book = withEntry(book, `id${at}`, { ...entry, name: `n${at}` }) ?? book
    }
    t.equal(Object.keys(book).length, 128)
    t.ok('id499' in book)
  })

  t.test('that is none is not believed', async (t) => {
    const good = { a: { ...entry, loans: { b: { count: 1, ask: 2, termMs: 30_000.5 } } } }
    t.same(parseLoanBook(JSON.stringify(good)), good)
    const bad: readonly unknown[] = [
      null,
      [],
      7,
      { a: null },
      { '': entry },
      { a: { ...entry, seq: -1 } },
      { a: { ...entry, seq: 1.5 } },
      { a: { ...entry, rate: 1e300 } },
      { a: { ...entry, name: 'x'.repeat(64) } },
      { a: { ...entry, left: 'soon' } },
      { a: { ...entry, loans: [] } },
      { a: { ...entry, loans: { b: { count: '1', ask: 2, termMs: 3 } } } },
      Object.fromEntries(Array.from({ length: 129 }, (_, at) => [`${at}`, entry]))
    ]
    for (const one of bad)
      t.equal(parseLoanBook(JSON.stringify(one)), null, JSON.stringify(one).slice(0, 60))
    t.equal(parseLoanBook('{'), null)
    t.equal(parseLoanBook('{"__proto__":{}}'), null)
  })
  t.end()
})
