import t from 'tap'
import { allowanceSchedules, playAllowance } from '../helper/allowance-schedule.ts'
import { check, property } from '../helper/fast-check.ts'
import { type Copied, type Mutant, mutate } from '../helper/mutant.ts'
import { skipByDay } from '../helper/nightly.ts'
import type { AllowanceMachines } from '../helper/simulated-allowance.ts'

const CORE = 'admission/allowance-core.ts'
const LEDGER = 'control/allowances/allowance-ledger.ts'

const COPIED: Copied = {
  parts: ['admission', 'control/allowances', 'ipc', 'shared'],
  files: [CORE, LEDGER]
}

const mutants: readonly Mutant[] = [
  {
    story: 'a worker gives what it does not have',
    file: CORE,
    from: `this.#waiting.size === 0 && amount <= this.#spare`,
    to: `this.#waiting.size === 0 && amount <= this.#spare + 1`
  },
  {
    story: 'a worker gives without looking at what it has',
    file: CORE,
    from: `this.#waiting.size === 0 && amount <= this.#spare`,
    to: `this.#waiting.size === 0`
  },
  {
    story: 'a request passes those who wait',
    file: CORE,
    from: `this.#waiting.size === 0 && amount <= this.#spare`,
    to: `amount <= this.#grant.granted - this.#used`
  },
  {
    story: 'what a request cost is forgotten',
    file: CORE,
    from: `this.#used += cost`,
    to: ``
  },
  {
    story: 'what was reserved stays reserved',
    file: CORE,
    from: `this.#reserved -= held.amount`,
    to: ``
  },
  {
    story: 'a request may be settled twice',
    file: CORE,
    from: `    this.#held.delete(id)\n    if (held.period`,
    to: `    if (held.period`
  },
  {
    story: 'a request that is refunded takes with it what others have settled',
    file: CORE,
    from: `this.#used += cost`,
    to: `this.#used = cost === 0 ? 0 : this.#used + cost`
  },
  {
    story: 'a request of an old period is settled in the new one',
    file: CORE,
    from: `if (held.period !== this.#grant.period) return NOTHING`,
    to: ``
  },
  {
    story: 'a worker believes an old grant that arrives late',
    file: CORE,
    from: `grant.seq <= this.#grant.seq`,
    to: `grant.seq < 0`
  },
  {
    story: 'a new period begins with what was used in the old one',
    file: CORE,
    from: `  #begin(): void {\n    this.#used = 0`,
    to: `  #begin(): void {`
  },
  {
    story: 'those who waited for a new period are taken for refused in it',
    file: CORE,
    from: `if (this.#waiting.size > 0 && this.#grant.period !== told.period) return true`,
    to: ``
  },
  {
    story: 'a worker keeps what is wanted elsewhere',
    file: CORE,
    from: `if (spare > 0 && this.#owed > 0`,
    to: `if (spare < 0 && this.#owed > 0`
  },
  {
    story: 'a worker refuses before the primary has looked for more',
    file: CORE,
    from: `(toldIn ?? Infinity) <= this.#grant.final`,
    to: `toldIn !== null`
  },
  {
    story: 'a worker does not say that it has nothing to give back',
    file: CORE,
    from: `asked > told.seen || this.#returned !== told.returned`,
    to: `this.#returned !== told.returned`
  },
  {
    story: 'a worker does not say that its waiters are gone',
    file: CORE,
    from: `this.#oldestAt !== told.oldestAt || this.#wanted !== told.wanted`,
    to: `this.#wanted > told.wanted`
  },
  {
    story: 'a worker does not say that a request cost more than was reserved',
    file: CORE,
    from: `if (spare < Math.min(0, told.spare)) return true`,
    to: ``
  },
  {
    story: 'a worker keeps a stream for its own, who came later',
    file: CORE,
    from: `return recalledFor !== null && at <= recalledFor`,
    to: `return at > 0`
  },
  {
    story: 'the primary grants more than there is',
    file: LEDGER,
    from: `let free = freeIn(state)`,
    to: `let free = freeIn(state) + 1`
  },
  {
    story: 'the primary forgets grants that are under way and grants them again',
    file: LEDGER,
    from: `return granted - report.returned`,
    to: `return report.used + report.reserved + report.spare`
  },
  {
    story: 'the requests of a worker that died are refunded',
    file: LEDGER,
    from: `isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0`,
    to: `isUsedUp(name) ? used : 0`
  },
  {
    story: 'what a worker that ends in order did not need is taken for used',
    file: LEDGER,
    from: `granted: report.isLast ? spent : Math.max(holding.granted, spent)`,
    to: `granted: Math.max(holding.granted, spent)`
  },
  {
    story: 'what a worker that died had not told of is taken for free',
    file: LEDGER,
    from: `isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0`,
    to: `isUsedUp(name) ? holding.report.used : 0`
  },
  {
    story: 'what a worker that died had used is counted twice',
    file: LEDGER,
    from: `holdings.delete(event.member)`,
    to: ``
  },
  {
    story: 'a restart gives away again what was used before it',
    file: LEDGER,
    from: `return { settled: 0, away: 0, mayCome: false, elsewhere, ...facts, holdings: new Map() }`,
    to: `return { away: 0, mayCome: false, elsewhere, ...facts, settled: 0, holdings: new Map() }`
  },
  {
    story: 'another limit lets go of what is reserved, as a new period does',
    file: LEDGER,
    from: `if (period === state.period) return { ...state, limit, endsAt, away }`,
    to: ``
  },
  {
    story: 'the streams of a worker that died are never free again',
    file: LEDGER,
    from: `isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0`,
    to: `Math.max(used, heldBy(holding))`
  },
  {
    story: 'a new period begins with what was settled in the old one',
    file: LEDGER,
    from: `return { ...state, limit, period, endsAt, away, elsewhere, settled: 0, holdings }`,
    to: `return { ...state, limit, period, endsAt, away, elsewhere, holdings }`
  },
  {
    story: 'a worker that asks in an old period is not told of the new one',
    file: LEDGER,
    from: `      isBehind: true\n`,
    to: ``
  },
  {
    story: 'a worker goes on with the lease of a period that is over',
    file: LEDGER,
    from: `return isBehind || before.granted > before.returned || !isShort(grant.name)`,
    to: `return isBehind`
  },
  {
    story: 'nothing is recalled when the limit falls',
    file: LEDGER,
    from: `const owed = Math.max(0, -freeIn(state))\n  for`,
    to: `const owed = 0\n  for`
  },
  {
    story: 'nothing is recalled for those who wait',
    file: LEDGER,
    from: `return { amount: owed + lack, first, isOwed: owed > 0 }`,
    to: `return { amount: owed, first, isOwed: owed > 0 }`
  },
  {
    story: 'a worker is told that there is no more before the others have answered',
    file: LEDGER,
    from: `return hasAnswered ? report.spare : heldBy(holding)`,
    to: `return report.spare`
  },
  {
    story: 'nobody is told that there is no more',
    file: LEDGER,
    from: `isFirst && isAllGiven(state, member) ? holding.report.seq : final`,
    to: `final`
  },
  {
    story: 'what a request took beyond its reservation is free for others',
    file: LEDGER,
    from: `granted: report.isLast ? spent : Math.max(holding.granted, spent)`,
    to: `granted: report.isLast ? spent : holding.granted`
  },
  {
    story: 'a worker that is about to end keeps what it has',
    file: CORE,
    from: `this.#isLeaving = true`,
    to: ``
  }
]

t.setTimeout(300_000) // seconds alone, minutes on a busy machine

t.test('the properties of an allowance', { skip: skipByDay }, (t) => {
  for (const mutant of mutants)
    t.test(`notice when ${mutant.story}`, async (t) => {
      const machines = (await mutate(t.testdir({}), mutant, COPIED)) as AllowanceMachines
      const options = { numRuns: 4000, seed: 1, endOnFailure: true }
      const details = check(
        property(allowanceSchedules, (schedule) => {
          playAllowance(machines, schedule, 'any')
          playAllowance(machines, schedule, 'prompt')
        }),
        options
      )
      t.equal(details.failed, true)
      t.notMatch(String(details.errorInstance), /^(Type|Reference|Range)Error/, 'by what it does')
      t.comment(JSON.stringify(details.counterexample?.[0]?.steps))
    })
  t.end()
})
