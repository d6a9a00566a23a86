import type { AllowanceKind } from '../../src/ipc/allowance.ts'
import * as fc from './fast-check.ts'
import {
  type AllowanceMachines,
  contentOf,
  type Holder,
  SimulatedAllowance
} from './simulated-allowance.ts'

/** A step of a schedule, written so that a counter-example reads like a story. The first number says which worker. */
type AllowanceStep =
  | readonly ['all quiet']
  | readonly ['a new period']
  | readonly ['everything restarts']
  | readonly ['a worker joins']
  | readonly ['limit', number]
  | readonly ['is used elsewhere', number]
  | HolderStep

type HolderStep =
  | readonly ['takes', number, number]
  | readonly ['burst', number, number, number]
  | readonly ['settles', number, number, number]
  | readonly ['leaves', number, number]
  | readonly ['reports' | 'trims' | 'is killed' | 'is buried' | 'ends', number]
  | readonly ['report arrives' | 'grant arrives', number, number]

export interface AllowanceSchedule {
  readonly kind: AllowanceKind
  readonly workers: number
  readonly limit: number
  readonly steps: readonly AllowanceStep[]
}

const who = fc.nat(4)
const nth = fc.nat(5)
const limits = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 2, arbitrary: fc.integer({ min: 40, max: 400 }) }
)
const amounts = fc.integer({ min: 1, max: 5 })

const step = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('takes'), who, amounts) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constant('burst'), who, fc.integer({ min: 2, max: 30 }), amounts)
  },
  { weight: 7, arbitrary: fc.tuple(fc.constant('settles'), who, nth, fc.nat(6)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('leaves'), who, nth) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('reports'), who) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('trims'), who) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('report arrives'), who, nth) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('grant arrives'), who, nth) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('all quiet')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('limit'), limits) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is used elsewhere'), fc.nat(9)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('a new period')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('everything restarts')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('a worker joins')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is killed'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('is buried'), who) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('ends'), who) }
) as fc.Arbitrary<AllowanceStep>

export const allowanceSchedules: fc.Arbitrary<AllowanceSchedule> = fc.record({
  kind: fc.constantFrom('credits', 'credits', 'requests', 'streams'),
  workers: fc.integer({ min: 1, max: 4 }),
  limit: limits,
  steps: fc.array(step, { maxLength: 80, size: 'max' })
})

/** Whether the messages that a step causes arrive before the next one. */
export type Pace = 'any' | 'prompt'

/**
 * Plays a schedule and checks on the way that nothing is admitted beyond the limit; then lets everything come to rest
 * and checks that every part is where it belongs. Where messages are faster than clients, nothing is refused while
 * there is enough for it anywhere, and none waits for what has been given back.
 */
export function playAllowance(
  machines: AllowanceMachines,
  { kind, limit, workers, steps }: AllowanceSchedule,
  pace: Pace
): void {
  const team = new SimulatedAllowance(machines, kind, limit, workers)
  team.onAdmitted = ({ waiter, period }) => {
    if (pace === 'prompt' && period !== team.state.period)
      throw new Error(`admitted in period ${period}, which is over`)
    const { settled, reserved, overrun, limit: highest } = team.truthOf(period)
    const bound =
      pace === 'prompt' && period === team.state.period ? team.state.limit : highest + overrun
    if (settled + reserved > bound)
      throw new Error(`${waiter.amount} admitted: ${settled} + ${reserved} of ${bound}`)
  }
  team.onRefused = ({ amount }) => {
    if (kind === 'streams') throw new Error('a stream was refused instead of waiting')
    if (pace === 'prompt' && amount <= team.left)
      throw new Error(`${amount} refused although ${team.left} are left`)
  }
  if (pace === 'prompt') rest(team)
  for (const one of steps) {
    play(team, one)
    if (pace === 'prompt') {
      rest(team)
      checkNoneWaits(team)
    }
  }
  rest(team)
  checkNoneWaits(team)
  checkBooks(team)
  conclude(team)
}

function play(team: SimulatedAllowance, step: AllowanceStep): void {
  if (step[0] === 'all quiet') rest(team)
  else if (step[0] === 'a new period') team.beginPeriod()
  else if (step[0] === 'everything restarts') team.restart()
  else if (step[0] === 'limit') team.setLimit(step[1])
  else if (step[0] === 'is used elsewhere') team.useElsewhere(step[1])
  else if (step[0] === 'a worker joins') joinAnother(team)
  else playAt(team, step)
}

function joinAnother(team: SimulatedAllowance): void {
  if (team.holders.size < 6) team.join()
}

function playAt(team: SimulatedAllowance, step: HolderStep): void {
  const all = [...team.holders.values()]
  const holder = all[step[1] % Math.max(1, all.length)]
  if (holder === undefined) return
  if (step[0] === 'report arrives') return void team.deliverReport(holder, step[2])
  if (holder.state === 'killed') {
    if (step[0] === 'is buried') team.bury(holder)
    return
  }
  const amountOf = (amount: number): number => (team.kind === 'credits' ? amount : 1)
  switch (step[0]) {
    case 'takes':
      return team.take(holder, amountOf(step[2]))
    case 'burst':
      for (let i = 0; i < step[2]; i += 1) team.take(holder, amountOf(step[3]))
      return
    case 'settles':
      return team.settle(holder, step[2], step[3])
    case 'leaves':
      return team.leave(holder, step[2])
    case 'reports':
      return void team.report(holder)
    case 'trims':
      return team.trim(holder)
    case 'grant arrives':
      return void team.deliverGrant(holder, step[2])
    case 'is killed':
      return team.kill(holder)
    case 'ends':
      return team.end(holder)
    case 'is buried':
  }
}

/** Everything under way arrives and the dead are buried, until nothing moves any more. */
function rest(team: SimulatedAllowance): void {
  for (let rounds = 0; ; rounds += 1) {
    if (rounds > 500) throw new Error('messages go round and round')
    let moved = false
    for (const holder of team.holders.values()) {
      while (team.report(holder) || team.deliverReport(holder, 0)) moved = true
      while (team.deliverGrant(holder, 0)) moved = true
      if (holder.state !== 'killed') continue
      team.bury(holder)
      moved = true
    }
    if (!moved) return
  }
}

function checkNoneWaits(team: SimulatedAllowance): void {
  const waiting = team.running.flatMap((holder) => holder.waiting)
  if (waiting.length === 0) return
  if (team.kind !== 'streams') throw new Error(`${waiting.length} wait without an answer`)
  if (team.left > 0) throw new Error(`${waiting.length} wait although ${team.left} are free`)
}

/** What the primary believes adds up to what has happened. */
function checkBooks(team: SimulatedAllowance): void {
  const { settled, holdings, period } = team.state
  let known = settled + team.state.elsewhere.used
  for (const [name, { granted, report }] of holdings) {
    const holder = team.holders.get(name)
    if (holder === undefined) throw new Error(`${name} is gone and still has a holding`)
    const { used, reserved, ...content } = contentOf(holder.core)
    known += content.period === period ? used + reserved : 0
    if (content.period === period && used + reserved > granted - report.returned)
      throw new Error(`${name} has used more than it was granted`)
  }
  const { truth } = team
  if (known !== truth.settled + truth.reserved)
    throw new Error(`the books say ${known}, and it was ${truth.settled} + ${truth.reserved}`)
}

/** All requests end; then one worker can have all that is left, and not more. */
function conclude(team: SimulatedAllowance): void {
  for (let rounds = 0; team.running.some(({ held }) => held.length > 0); rounds += 1) {
    if (rounds > 500) throw new Error('requests never end')
    for (const holder of team.running) while (holder.held.length > 0) team.settle(holder, 0, 0)
    rest(team)
  }
  team.join()
  rest(team)
  const last = team.running.at(-1) as Holder
  const { left } = team
  if (left > 0) team.take(last, left)
  rest(team)
  if (left > 0 && last.held.length !== 1) throw new Error(`${left} are lost`)
  let isRefused = false
  team.onRefused = () => (isRefused = true)
  team.take(last, 1)
  rest(team)
  if (team.kind === 'streams' ? last.waiting.length !== 1 : !isRefused)
    throw new Error('one more than there is was given')
}
