import t from 'tap'
import { reserveOf, shareAt } from '../../../src/control/budget/ledger-entry.ts'
import type { LedgerEvent } from '../../../src/control/budget/ledger.ts'
import { type LeaseReport, NO_REPORT } from '../../../src/ipc/messages.ts'
import { ToldLedger, SIZE } from '../../helper/told-ledger.ts'

const waitingSince = (...times: number[]): Partial<LeaseReport> => ({
  waiting: times.length,
  spare: 0,
  heads: times.map((at) => ({ key: 'a', at, served: 0 }))
})

const shares = (total: number, workers = 2): readonly number[] =>
  Array.from({ length: workers }, (_, slot) => shareAt(slot, total, workers))

t.test('shares', (t) => {
  t.same(shares(300), [150, 150])
  t.same(shares(301), [151, 150])
  t.same(shares(8, 3), [3, 3, 2])
  t.equal(reserveOf(SIZE), 4)
  t.equal(reserveOf({ ...SIZE, maxConnections: 15 }), 0)
  t.equal(reserveOf({ ...SIZE, maxConnections: 16 }), 1)
  t.end()
})

t.test('join', (t) => {
  t.test('gives each worker its share without its part of the reserve', (t) => {
    const ledger = new ToldLedger()
    t.same(
      ['control', 'w1', 'w2'].map((member) => ledger.lease(member)),
      [4, 148, 148]
    )
    t.end()
  })
  t.test('shares out idle connections like the leases', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10, maxKeepalive: 5 })
    t.same(
      ['w1', 'w2'].map((member) => ledger.told.get(member)?.keepAlive),
      [3, 2]
    )
    t.end()
  })
  t.test('without limit nobody ever has to ask', (t) => {
    const ledger = new ToldLedger({ maxConnections: null })
    t.ok(ledger.lease('w1') > 1_000_000)
    t.equal(ledger.told.get('w1')?.budget, null)
    t.end()
  })
  t.test('twice is a bug', (t) => {
    t.throws(() => new ToldLedger().do({ type: 'join', member: 'w1', slot: 0 }))
    t.end()
  })
  t.end()
})

t.test('report', (t) => {
  t.test('a waiter makes the others give back, and gets what comes', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10 })
    t.same(ledger.report('w1', waitingSince(7)), ['w2'])
    t.match(ledger.told.get('w2'), { wanted: 1, heads: [{ at: 7 }] })
    ledger.report('w2', { returned: 1 })
    t.same([ledger.lease('w1'), ledger.lease('w2')], [6, 4])
    t.match(ledger.told.get('w2'), { wanted: 0 })
    t.end()
  })
  t.test('the oldest waiter of the cluster gets the first permit', (t) => {
    const ledger = new ToldLedger({ maxConnections: 9, workers: 3 })
    ledger.do({ type: 'join', member: 'w3', slot: 2 })
    ledger.report('w1', waitingSince(20))
    ledger.report('w2', waitingSince(10))
    ledger.report('w3', { returned: 1 })
    t.same([ledger.lease('w1'), ledger.lease('w2')], [3, 4])
    t.end()
  })
  t.test('a grant under way is not granted again', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10 })
    const granted = ledger.told.get('w1')?.granted
    ledger.report('w1', waitingSince(7))
    ledger.report('w2', { returned: 2 })
    ledger.report('w1', { ...waitingSince(7), granted: granted ?? 0 })
    t.equal(ledger.lease('w1'), 6)
    t.end()
  })
  t.test('of somebody unknown or out of date changes nothing', (t) => {
    const ledger = new ToldLedger()
    t.same(ledger.do({ type: 'report', member: 'stranger', report: NO_REPORT }), [])
    ledger.report('w1', { seq: 5 })
    t.same(ledger.report('w1', { ...waitingSince(1), seq: 4 }), [])
    t.end()
  })
  t.test('the reserve is not lent', (t) => {
    const ledger = new ToldLedger({ maxConnections: 32 })
    ledger.report('w1', waitingSince(7))
    t.match(ledger.told.get('control'), { wanted: 0 })
    t.end()
  })
  t.test('in a tiny budget the primary goes first and gives back at once', (t) => {
    const ledger = new ToldLedger({ maxConnections: 4 })
    ledger.report('w1', waitingSince(1))
    ledger.report('control', waitingSince(50))
    ledger.report('w2', { returned: 1 })
    t.equal(ledger.lease('control'), 1)
    t.match(ledger.told.get('control'), { wanted: 1, heads: [] })
    t.end()
  })
  t.end()
})

t.test('a worker that dies', (t) => {
  t.test('keeps its permits until its sockets are gone', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10 })
    ledger.do({ type: 'stopped', member: 'w2' })
    ledger.report('w1', waitingSince(1, 2))
    t.same([ledger.lease('w1'), ledger.lease('w2')], [5, 5])
    ledger.do({ type: 'left', member: 'w2' })
    t.equal(ledger.lease('w1'), 7)
    t.end()
  })
  t.test('keeps no more of them than it has sockets left, whatever it said before', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10 })
    ledger.report('w1', waitingSince(1, 2, 3, 4, 5))
    ledger.do({ type: 'remains', member: 'w2', sockets: 1 })
    t.equal(ledger.lease('w2'), 5, 'it lives')
    ledger.do({ type: 'stopped', member: 'w2' })
    ledger.do({ type: 'remains', member: 'w2', sockets: 3 })
    t.same([ledger.lease('w1'), ledger.lease('w2')], [7, 3])
    ledger.report('w2', { returned: 1 })
    ledger.do({ type: 'remains', member: 'w2', sockets: 9 })
    t.same([ledger.lease('w1'), ledger.lease('w2')], [7, 3], 'what is free stays free')
    ledger.do({ type: 'left', member: 'w2' })
    t.equal(ledger.lease('w1'), 10)
    t.end()
  })
  t.test('is followed by one that starts with what is free of its share', (t) => {
    const ledger = new ToldLedger({ maxConnections: 10 })
    ledger.do({ type: 'stopped', member: 'w2' })
    ledger.do({ type: 'join', member: 'w3', slot: 1 })
    t.equal(ledger.lease('w3'), 0)
    ledger.do({ type: 'left', member: 'w2' })
    t.equal(ledger.lease('w3'), 5)
    t.end()
  })
  t.end()
})

const to = (maxConnections: number | null): LedgerEvent => ({
  type: 'resize',
  size: { ...SIZE, maxConnections }
})

t.test('resize', (t) => {
  t.test('grows at once', (t) => {
    const ledger = new ToldLedger({ maxConnections: 100 })
    ledger.do(to(300))
    t.same(
      ['control', 'w1', 'w2'].map((member) => ledger.lease(member)),
      [4, 148, 148]
    )
    t.end()
  })
  t.test('shrinks by what each has above its share, as it comes back', (t) => {
    const ledger = new ToldLedger()
    ledger.do(to(100))
    t.same([ledger.told.get('w1')?.owed, ledger.told.get('w2')?.owed], [100, 100])
    ledger.report('w1', { returned: 40 })
    t.match(ledger.told.get('w2'), { owed: 100 })
    t.equal(ledger.lease('w1'), 108)
    t.end()
  })
  t.test('from no limit to one', (t) => {
    const ledger = new ToldLedger({ maxConnections: null })
    ledger.do(to(100))
    t.equal(ledger.lease('w1') - (ledger.told.get('w1')?.owed ?? 0), 48)
    t.end()
  })
  t.end()
})

t.test('waiting is bounded over the cluster', (t) => {
  const ledger = new ToldLedger({ maxConnections: 2, maxWaiting: 4 })
  ledger.report('w1', waitingSince(1, 2, 3))
  ledger.report('w2', waitingSince(4))
  t.equal(ledger.told.get('w1')?.maxWaiting, 3)
  ledger.report('w2', waitingSince(4, 5))
  t.equal(ledger.told.get('w2')?.maxWaiting, 2, 'w1 may have something idle')
  ledger.report('w1', {})
  t.equal(ledger.told.get('w2')?.maxWaiting, 1, 'it has not: the newcomer has to go')
  ledger.report('w1', waitingSince(2, 3))
  ledger.report('w2', waitingSince(4))
  t.equal(ledger.told.get('w1')?.maxWaiting, 3)
  t.equal(ledger.told.get('w2')?.maxWaiting, 2, 'the room is open to all')
  t.end()
})

t.test('streams that wait leave the primary room for its own calls', (t) => {
  const ledger = new ToldLedger({ maxConnections: 2, maxWaiting: 4 })
  ledger.report('w1', waitingSince(1, 2, 3))
  ledger.report('w2', waitingSince(4))
  t.ok((ledger.told.get('control')?.maxWaiting ?? 0) >= 100)
  ledger.report('control', waitingSince(9, 9, 9))
  t.equal(ledger.told.get('w1')?.maxWaiting, 3, 'and those take none of theirs')
  t.end()
})

const many = (count: number): Partial<LeaseReport> => ({ ...waitingSince(1), waiting: count })

t.test('a worker at its limit hears of every change of it', (t) => {
  const ledger = new ToldLedger({ maxConnections: 2, maxWaiting: 1000 })
  for (const member of ['w1', 'w2', 'w1', 'w2']) ledger.report(member, many(10))
  ledger.report('w1', many(990))
  t.equal(ledger.told.get('w1')?.maxWaiting, 990)
  ledger.report('w2', many(9))
  t.equal(ledger.told.get('w1')?.maxWaiting, 991, 'there is room for one more')
  ledger.report('w1', many(500))
  const before = ledger.told.get('w1')
  t.same(ledger.report('w2', many(8)), [], 'no limit is near')
  ledger.report('w1', many(998))
  t.equal(ledger.told.get('w1')?.maxWaiting, 992, 'six too many')
  t.equal(before?.maxWaiting, 991)
  t.end()
})

const readyHeads = (...keys: string[]) => keys.map((key, at) => ({ key, at: at + 1, served: 0 }))
const turnsOf = (ledger: ToldLedger, member: string) => ledger.told.get(member)?.pace?.turns
const pacedSize = (maxRequestsPerMinute: number | null) => ({ ...SIZE, maxRequestsPerMinute })

t.test('a pace', (t) => {
  const LIMIT = 4
  const paceReport = { granted: 0, used: 0, returned: 0, extra: 0, ready: 0, keys: [] }
  const start = (limit = LIMIT) => new ToldLedger({ maxRequestsPerMinute: limit })
  const ready = (ledger: ToldLedger, member: string, ...keys: string[]) =>
    ledger.report(member, {
      gated: keys.length,
      heads: readyHeads(...keys),
      pace: {
        ...paceReport,
        ready: keys.length,
        keys: [...new Set(keys)].map((key) => ({
          key,
          waiting: keys.filter((one) => one === key).length
        }))
      }
    })

  t.test('grants starts to those who are ready, by turns of their keys over all workers', (t) => {
    const ledger = start()
    t.equal(ledger.told.get('control')?.pace, null, 'the calls of the primary are no requests')
    ready(ledger, 'w1', 'a', 'a', 'a', 'a', 'a')
    t.same(turnsOf(ledger, 'w1'), ['a', 'a', 'a', 'a'])
    const fair = start()
    fair.report('w1', { pace: paceReport })
    fair.state = { ...fair.state, cooling: [{ freeAt: 2000, count: LIMIT }] }
    ready(fair, 'w1', 'a', 'a', 'b', 'a')
    ready(fair, 'w2', 'b', 'b', 'b')
    t.equal(fair.wakeAt, 2000)
    fair.now = 2000
    t.same(fair.do({ type: 'tick' }).toSorted(), ['w1', 'w2'])
    const turns = [...(turnsOf(fair, 'w1') ?? []), ...(turnsOf(fair, 'w2') ?? [])]
    t.same(turns.toSorted(), ['a', 'a', 'b', 'b'])
    t.equal(fair.wakeAt, null, 'nothing cools')
    t.end()
  })

  t.test('counts a start from when it was used, and one given back not at all', (t) => {
    const ledger = start()
    ready(ledger, 'w1', 'a', 'a')
    ledger.now = 5000
    ledger.report('w1', { gated: 0, heads: [], pace: { ...paceReport, granted: 2, used: 1 } })
    t.match(ledger.state.cooling, [{ freeAt: 66_000, count: 1 }])
    ledger.report('w1', { pace: { ...paceReport, granted: 2, used: 1, returned: 1 } })
    ready(ledger, 'w2', 'b', 'b', 'b', 'b')
    t.equal(turnsOf(ledger, 'w2')?.length, 3)
    t.equal(ledger.wakeAt, 66_000)
    ledger.now = 66_000
    ledger.do({ type: 'tick' })
    t.equal(turnsOf(ledger, 'w2')?.length, 4)
    t.end()
  })

  t.test('takes what a dead worker had out for sent', (t) => {
    const ledger = start()
    ready(ledger, 'w1', 'a', 'a', 'a')
    ledger.now = 9000
    ledger.do({ type: 'stopped', member: 'w1' })
    ledger.do({ type: 'left', member: 'w1' })
    t.match(ledger.state.cooling, [{ freeAt: 70_000, count: 3 }])
    t.end()
  })

  t.test('counts what was sent without a start, too', (t) => {
    const ledger = start()
    ledger.report('w1', { pace: { ...paceReport, extra: 3 } })
    ready(ledger, 'w2', 'b', 'b')
    t.equal(turnsOf(ledger, 'w2')?.length, 1)
    t.end()
  })

  t.test('that changes counts what was sent before', (t) => {
    const ledger = start()
    ready(ledger, 'w1', 'a', 'a', 'a', 'a', 'a', 'a')
    t.same(ledger.do({ type: 'resize', size: pacedSize(5) }).toSorted(), ['w1', 'w2'])
    t.equal(turnsOf(ledger, 'w1')?.length, 5)
    ledger.do({ type: 'resize', size: pacedSize(2) })
    t.equal(turnsOf(ledger, 'w1')?.length, 5)
    ledger.do({ type: 'resize', size: pacedSize(null) })
    t.equal(ledger.told.get('w1')?.pace, null)
    t.equal(ledger.wakeAt, null)
    t.end()
  })

  t.test('of 100000 is kept in a list that stays short', (t) => {
    const ledger = start(100_000)
    for (let used = 1; used <= 5000; used += 1) {
      ledger.now += 10
      ledger.report('w1', { pace: { ...paceReport, granted: 0, extra: used * 20 } })
    }
    const { cooling } = ledger.state
    t.ok(cooling.length <= 611, `${cooling.length} entries`)
    t.equal(
      cooling.reduce((sum, { count }) => sum + count, 0),
      100_000
    )
    t.end()
  })
  t.end()
})
