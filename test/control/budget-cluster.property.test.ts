import t from 'tap'
import { LeaseCore } from '../../src/admission/lease-core.ts'
import { nextLedger, openLedger } from '../../src/control/budget/ledger.ts'
import { play, playPromptly, schedules } from '../helper/cluster-schedule.ts'
import { assert, property } from '../helper/fast-check.ts'
import { isNightly } from '../helper/nightly.ts'

const machines = { LeaseCore, nextLedger, openLedger }

t.setTimeout(300_000) // ten seconds alone, minutes on a busy machine

/** `npm run fuzz` plays as many as there is time for. */
const RUNS = isNightly ? 4000 : 1000

t.test('ledger and leases under any schedule', (t) => {
  t.test('never exceed the budget, lose no permit and leave nobody waiting', (t) => {
    assert(
      property(schedules, (schedule) => play(machines, schedule)),
      { numRuns: RUNS }
    )
    t.end()
  })
  t.test('serve the oldest of the whole cluster, and refuse only what has no room', (t) => {
    assert(
      property(schedules, (schedule) => playPromptly(machines, schedule)),
      { numRuns: RUNS / 2 }
    )
    t.end()
  })
  t.end()
})
