import t from 'tap'
import { play, playPromptly, schedules } from '../helper/cluster-schedule.ts'
import { check, property } from '../helper/fast-check.ts'
import { type Mutant, mutate } from '../helper/mutant.ts'
import { skipByDay } from '../helper/nightly.ts'
import { CLUSTER_FILES, type Machines } from '../helper/simulated-cluster.ts'

const mutants: readonly Mutant[] = [
  {
    story: 'the ledger frees the permits of a killed worker before its sockets are gone',
    file: 'control/budget/ledger.ts',
    from: `next.set(event.member, { ...entry, starts: gone.starts, hasStopped: true })`,
    to: `next.delete(event.member)`
  },
  {
    story: 'the ledger grants the reserve to streams and more than there is',
    file: 'control/budget/ledger.ts',
    from: `let left = free\n  const grants = new Map<string, number>()\n  const give`,
    to: `let left = free + 1\n  const grants = new Map<string, number>()\n  const give`
  },
  {
    story: 'the lease believes an old grant that arrives late',
    file: 'admission/lease-core.ts',
    from: `grant.seq <= this.#grant.seq`,
    to: `grant.seq < 0`
  },
  {
    story: 'the ledger forgets grants that are under way and grants them again',
    file: 'control/budget/ledger-entry.ts',
    from: `return entry.granted - entry.report.granted`,
    to: `return 0`
  },
  {
    story: 'the lease returns permits before the sockets behind them are closed',
    file: 'admission/lease-core.ts',
    from: `this.#surrendered += 1`,
    to: `this.#surrendered += 1; this.#returned += 1; permits -= 1`
  },
  {
    story: 'the lease keeps an idle permit that is wanted elsewhere',
    file: 'admission/lease-core.ts',
    from: `if (ours === null) return true`,
    to: `if (ours === null) return false`
  },
  {
    story: 'the lease never looks at who waits elsewhere',
    file: 'admission/lease-core.ts',
    from: `return outranks({ ...theirs, served }, ours, now)`,
    to: `return outranks({ ...theirs, served }, ours, now) && false`
  },
  {
    story: 'the lease serves the youngest first',
    file: 'admission/fair-queue.ts',
    from: `const waiter = line?.waiters.first?.item`,
    to: `const waiter = line?.waiters.last?.item`
  },
  {
    story: 'an aborted waiter is not reported',
    file: 'admission/lease-core.ts',
    from: `return count > least || least - count > Math.floor(least / 32)`,
    to: `return count > least`
  },
  {
    story: 'a worker is not told that too many wait there by now',
    file: 'control/budget/ledger-grants.ts',
    from: `const isExceeded = waiting > allowance`,
    to: `const isExceeded = false`
  },
  {
    story: 'calls of the primary itself are refused because streams wait',
    file: 'control/budget/ledger-grants.ts',
    from: `if (slot === 'control') return MAX_CALLS_WAITING`,
    to: ``
  },
  {
    story: 'a worker that retires is treated like one that stays',
    file: 'control/budget/ledger-entry.ts',
    from: `return report.draining || isRetiring || hasStopped`,
    to: `return report.draining || hasStopped`
  },
  {
    story: 'a worker and its successor have a share each',
    file: 'control/budget/ledger-view.ts',
    from: `if (other.slot === entry.slot && !isLeaving(other)) return 0`,
    to: ``
  },
  {
    story: 'a worker that retires keeps what is idle until somebody waits',
    file: 'control/budget/ledger-view.ts',
    from: `if (entry.isRetiring) return Math.max(0, lease)`,
    to: ``
  }
]

t.setTimeout(300_000) // half a minute alone, minutes on a busy machine

t.test('the properties of the budget', { skip: skipByDay }, (t) => {
  for (const mutant of mutants) {
    t.test(`notice when ${mutant.story}`, async (t) => {
      const machines = (await mutate(t.testdir({}), mutant, CLUSTER_FILES)) as Machines
      const options = { numRuns: 12_000, seed: 1, endOnFailure: true }
      const details = check(
        property(schedules, (schedule) => {
          play(machines, schedule)
          playPromptly(machines, schedule)
        }),
        options
      )
      t.equal(details.failed, true)
      t.comment(JSON.stringify(details.counterexample?.[0]?.steps))
    })
  }
  t.end()
})
