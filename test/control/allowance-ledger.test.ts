import t from 'tap'
import { AllowanceCore } from '../../src/admission/allowance-core.ts'
import {
  nextAllowance,
  openAllowance,
  sumsOf
} from '../../src/control/allowances/allowance-ledger.ts'
import { type Holder, SimulatedAllowance } from '../helper/simulated-allowance.ts'

const machines = { AllowanceCore, nextAllowance, openAllowance }

/** Everything under way arrives. Returns how many messages that were. */
function rest(team: SimulatedAllowance): number {
  let messages = 0
  for (let before = -1; before !== messages; ) {
    before = messages
    for (const holder of team.running) {
      team.report(holder)
      while (team.deliverReport(holder, 0)) messages += 1
      while (team.deliverGrant(holder, 0)) messages += 1
    }
  }
  return messages
}

function open(kind: 'credits' | 'requests' | 'streams', limit: number, workers: number) {
  const team = new SimulatedAllowance(machines, kind, limit, workers)
  rest(team)
  return { team, workers: team.running as readonly [Holder, Holder, ...Holder[]] }
}

t.test('AllowanceLedger', (t) => {
  t.test('gives exactly what there is to those who come at once, in any worker', (t) => {
    for (const count of [1, 2, 4]) {
      const { team } = open('credits', 10_000_000, count)
      let refused = 0
      team.onRefused = () => (refused += 1)
      for (let i = 0; i < 100; i += 1) {
        const worker = team.running[i % count]
        if (worker !== undefined) team.take(worker, 1_000_000)
      }
      rest(team)
      const admitted = team.running.reduce((sum, { held }) => sum + held.length, 0)
      t.same({ admitted, refused }, { admitted: 10, refused: 90 }, `${count} workers`)
    }
    t.end()
  })

  t.test('costs the usual request no message', (t) => {
    const { team, workers } = open('credits', 1_000_000_000, 2)
    let messages = 0
    let waited = 0
    team.onAdmitted = ({ isAtOnce }) => (waited += isAtOnce ? 0 : 1)
    for (let i = 0; i < 500; i += 1) {
      team.take(workers[i % 2 === 0 ? 0 : 1], 1_000_000)
      messages += rest(team)
      team.settle(workers[i % 2 === 0 ? 0 : 1], 0, 900_000)
      messages += rest(team)
    }
    t.ok(waited <= 40, `${waited} waited, the first of each worker`)
    t.ok(messages < 100, `${messages} messages`)
    t.same(sumsOf(team.state).used <= 450_000_000, true)
    t.end()
  })

  t.test('serves the stream that has waited longest, whichever worker has one free', (t) => {
    const { team, workers } = open('streams', 1, 2)
    const [a, b] = workers
    const served: number[] = []
    team.onAdmitted = ({ waiter }) => served.push(waiter.id)
    for (const worker of [a, b, a, a, b]) {
      team.take(worker, 1)
      rest(team)
    }
    for (const _ of [1, 2, 3, 4]) {
      for (const worker of team.running) team.settle(worker, 0, 0)
      rest(team)
    }
    t.same(served, [0, 1, 2, 3, 4])
    t.end()
  })

  t.test('has a worker give back what it has ahead when the limit falls', (t) => {
    const { team, workers } = open('credits', 1000, 2)
    team.take(workers[0], 1)
    rest(team)
    t.ok(workers[0].core.grant.granted > 1)
    team.setLimit(1)
    rest(team)
    const holding = team.state.holdings.get(workers[0].name)
    t.match(holding, { granted: (holding?.report.returned ?? 0) + 1 })
    t.end()
  })

  t.test('refuses what is more than the whole limit without waiting for anybody', (t) => {
    const { team, workers } = open('credits', 5, 2)
    const refused: number[] = []
    team.onRefused = ({ amount }) => refused.push(amount)
    team.take(workers[0], 6)
    rest(team)
    t.same(refused, [6])
    team.take(workers[1], 5)
    rest(team)
    t.equal(workers[1].held.length, 1)
    t.end()
  })

  t.test('takes no numbers of an old period for those of the new one', (t) => {
    const { team, workers } = open('credits', 10, 2)
    const [late, other] = workers
    team.take(late, 8)
    rest(team)
    team.take(late, 1)
    team.settle(late, 0, 8)
    team.take(late, 2)
    team.report(late)
    team.beginPeriod()
    for (const worker of workers) while (team.deliverGrant(worker, 0)) t.pass()
    team.take(other, 10)
    for (const _ of ['learns of the period', 'asks in it']) {
      team.report(other)
      team.deliverReport(other, 0)
      team.deliverGrant(other, 0)
    }
    t.equal(other.held.length, 1)
    while (team.deliverReport(late, 0)) t.pass('the report of the old period')
    t.equal(team.state.holdings.get(late.name)?.granted, 0)
    t.end()
  })

  t.test('leaves workers alone that hold nothing of the period that ends', (t) => {
    const { team, workers } = open('requests', 10, 2)
    team.take(workers[0], 1)
    rest(team)
    team.beginPeriod()
    t.ok(rest(team) > 0, 'one of them has to know')
    for (const worker of workers) team.settle(worker, 0, 1)
    rest(team)
    for (let i = 0; i < 5; i += 1) team.beginPeriod()
    t.equal(rest(team), 0)
    team.take(workers[1], 10)
    rest(team)
    t.equal(workers[1].held.length, 1, 'until it asks')
    t.end()
  })

  t.test('serves those who wait over the end of a minute from the next one', (t) => {
    const { team, workers } = open('requests', 1, 2)
    const [holder, waiting] = workers
    team.take(holder, 1)
    rest(team)
    team.take(waiting, 1)
    team.report(waiting)
    team.deliverReport(waiting, 0)
    team.beginPeriod()
    rest(team)
    t.equal(waiting.held.length, 1)
    t.end()
  })

  t.test('cannot be opened twice for a worker, nor go back to an old period', (t) => {
    const { team, workers } = open('credits', 5, 2)
    t.throws(() => team.tell({ type: 'join', member: workers[0].name }), /already/)
    t.throws(() => team.tell({ type: 'limit', period: 0, limit: 1, endsAt: null }), /old period/)
    t.throws(() => workers[0].core.settle(99, 1), /holds nothing/)
    t.same(workers[0].core.leave(99), [])
    t.end()
  })
  t.end()
})
