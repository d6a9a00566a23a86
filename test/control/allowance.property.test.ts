import t from 'tap'
import { AllowanceCore } from '../../src/admission/allowance-core.ts'
import { nextAllowance, openAllowance } from '../../src/control/allowances/allowance-ledger.ts'
import { allowanceSchedules, playAllowance } from '../helper/allowance-schedule.ts'
import { assert, property } from '../helper/fast-check.ts'

const machines = { AllowanceCore, nextAllowance, openAllowance }

t.setTimeout(300_000) // seconds alone, minutes on a busy machine

t.test('an allowance under any schedule', (t) => {
  t.test('is never exceeded, loses nothing and leaves none without an answer', (t) => {
    assert(
      property(allowanceSchedules, (schedule) => playAllowance(machines, schedule, 'any')),
      { numRuns: 2000 }
    )
    t.end()
  })
  t.test('refuses only what there is not enough for in any worker', (t) => {
    assert(
      property(allowanceSchedules, (schedule) => playAllowance(machines, schedule, 'prompt')),
      { numRuns: 2000 }
    )
    t.end()
  })
  t.end()
})
