import t from 'tap'
import { type FleetState, readState, sumOfLeases } from '../../src/fleet/fleet-state.ts'
import { type EnterEvent, type FleetEvent, newEra, nextFleet } from '../../src/fleet/next-fleet.ts'

const ERA = { run: 'run', check: 'check', by: 'a1', rev: 0, lastEra: '' }

function enter(inc: string, more: Partial<EnterEvent> = {}): EnterEvent {
  return {
    type: 'enter',
    inc,
    name: inc.slice(0, 1),
    max: 60,
    replicas: 3,
    granted: 0,
    returned: 0,
    ended: [],
    known: {},
    ...more
  }
}

function report(inc: string, more: object = {}): FleetEvent {
  const facts = {
    max: 60,
    replicas: 3,
    returned: 0,
    want: 0,
    waitedMs: 0,
    isLeaving: false,
    ended: []
  }
  return { type: 'report', inc, ...facts, ...more }
}

function after(...events: readonly FleetEvent[]): FleetState {
  return nextFleet(newEra(ERA), events)
}

const leases = ({ members }: FleetState) =>
  Object.fromEntries(Object.entries(members).map(([inc, one]) => [inc, one.granted - one.returned]))

t.test('a fleet opens when all have entered, and each has its share', async (t) => {
  const two = after(enter('a1'), enter('b1'))
  t.match(two, { phase: 'learning', rev: 1, era: '1.a1.0' })
  t.same(leases(two), { a1: 0, b1: 0 })
  const three = nextFleet(two, [enter('c1')])
  t.match(three, { phase: 'open', max: 60, rev: 2 })
  t.same(leases(three), { a1: 20, b1: 20, c1: 20 })
})

t.test('the token of an era is its own, also where two notice a loss at once', async (t) => {
  const one = newEra({ ...ERA, lastEra: '7.x.3', rev: 12 })
  const other = newEra({ ...ERA, lastEra: '7.x.3', rev: 12, by: 'b1' })
  t.equal(one.era, '8.a1.12')
  t.not(one.era, other.era)
})

t.test('while learning', async (t) => {
  const lease = { granted: 50, returned: 20 }
  t.test('claims are all there is, and what is returned of them is granted again', async (t) => {
    const claimed = after(enter('a1', lease), enter('b1'))
    t.match(claimed, { phase: 'learning', cap: 30 })
    const lent = nextFleet(claimed, [report('b1', { want: 5 }), report('a1', { returned: 24 })])
    t.same(leases(lent), { a1: 26, b1: 4 })
    t.equal(sumOfLeases(lent.members), lent.cap)
  })

  t.test(
    'it waits for those whom a member has seen, until somebody knows of their end',
    async (t) => {
      const known = { a1: 'a', d1: 'd' }
      const all = after(enter('a1', { known }), enter('b1'), enter('c1'))
      t.match(all, { phase: 'learning', awaited: { d1: 'd' } })
      t.match(nextFleet(all, [enter('d2', { ended: ['d1'] })]), { phase: 'open', awaited: {} })
      t.match(
        nextFleet(all, [enter('d2')]),
        { phase: 'learning' },
        'another of that name is no proof'
      )
      t.match(nextFleet(all, [{ type: 'forget', name: 'd' }]), { phase: 'open' })
      t.match(nextFleet(all, [{ type: 'watched' }]), { phase: 'open' })
    }
  )

  t.test('two of one name count as one', async (t) => {
    t.match(after(enter('a1'), enter('a2'), enter('b1')), { phase: 'learning' })
  })
})

t.test('who claims when an operator has opened the fleet', async (t) => {
  const opened = after(enter('a1', { granted: 30 }), { type: 'open' })
  t.same(leases(opened), { a1: 30 }, 'more than its share is not topped up')
  t.same(leases(nextFleet(opened, [enter('b1', { granted: 30 })])), { a1: 30, b1: 30 }, 'fits')
  t.same(leases(nextFleet(opened, [enter('b1', { granted: 31 })])), { a1: 30 }, 'does not')
})

t.test('permits', async (t) => {
  const open = after(enter('a1'), enter('b1'), enter('c1'))
  t.test('go to whoever wants them most, by share', async (t) => {
    const wanting = nextFleet(open, [report('a1', { want: 40 }), report('b1', { want: 40 })])
    t.same(leases(nextFleet(wanting, [report('c1', { returned: 19 })])), { a1: 30, b1: 29, c1: 1 })
  })

  t.test('go to whoever has waited longest, if that is equal', async (t) => {
    const wanting = nextFleet(open, [
      report('a1', { want: 1, waitedMs: 10 }),
      report('b1', { want: 1, waitedMs: 20 })
    ])
    t.same(leases(nextFleet(wanting, [report('c1', { returned: 1 })])), { a1: 20, b1: 21, c1: 19 })
  })

  t.test('do not go to who is not heard of', async (t) => {
    const wanting = nextFleet(open, [report('a1', { want: 40 }), { type: 'hush', incs: ['a1'] }])
    const lent = nextFleet(wanting, [report('c1', { returned: 20, want: 0 })])
    t.same(leases(lent), { a1: 20, b1: 20, c1: 20 }, 'back to its share')
    t.equal(nextFleet(lent, [report('a1')]).members['a1']?.isQuiet, false)
  })

  t.test('do not go back to who leaves', async (t) => {
    const leaving = nextFleet(open, [report('a1', { returned: 15, isLeaving: true })])
    t.same(leases(leaving), { a1: 5, b1: 20, c1: 20 })
    t.same(leases(nextFleet(leaving, [report('b1', { want: 40 })])), { a1: 5, b1: 35, c1: 20 })
  })

  t.test('come back by a goodbye, a lapse, and an end that somebody knows of', async (t) => {
    t.same(leases(nextFleet(open, [{ type: 'leave', inc: 'a1' }])), { b1: 20, c1: 20 })
    t.same(leases(nextFleet(open, [{ type: 'lapse', incs: ['a1'] }])), { b1: 20, c1: 20 })
    const restarted = nextFleet(open, [enter('a2', { ended: ['a1'] })])
    t.same(leases(restarted), { a2: 20, b1: 20, c1: 20 })
  })

  t.test('are never more than returned, whatever a member says', async (t) => {
    t.same(leases(nextFleet(open, [report('a1', { returned: 500 })])), { a1: 20, b1: 20, c1: 20 })
  })
})

t.test('the smallest maximum counts', async (t) => {
  const open = after(enter('a1'), enter('b1'), enter('c1'))
  const lowered = nextFleet(open, [report('b1', { max: 30 })])
  t.equal(lowered.max, 30)
  t.same(leases(nextFleet(lowered, [report('a1', { returned: 15 })])), { a1: 5, b1: 20, c1: 20 })
})

t.test('a register that is not ours', async (t) => {
  const good = after(enter('a1'), enter('b1', { known: { x: 'x' } }))
  const text = JSON.stringify(good)
  t.same(readState(text, ['new', 'check']), { type: 'state', state: good })
  t.same(readState(text, ['another']), { type: 'foreign' })
  t.same(readState(JSON.stringify({ ...good, v: 3 }), ['check']), { type: 'newer' })
  const entry = good.members['a1']
  const open = nextFleet(good, [enter('c1'), { type: 'forget', name: 'x' }])
  t.same(readState(JSON.stringify(open), ['check']), { type: 'state', state: open })
  const lease = open.members['a1']
  for (const wrong of [
    null,
    '',
    '{',
    '[]',
    '7',
    'x'.repeat(2_000_000),
    `${'{"members":'.repeat(40_000)}1${'}'.repeat(40_000)}`,
    text.slice(0, 200),
    JSON.stringify({ ...good, members: JSON.parse('{"__proto__": 7}') }),
    JSON.stringify({ ...open, members: { ...open.members, a1: { ...lease, granted: '20' } } }),
    JSON.stringify({ ...open, members: { ...open.members, a1: { ...lease, granted: 1e300 } } }),
    JSON.stringify({ ...open, members: { ...open.members, a1: { ...lease, granted: 2 ** 50 } } }),
    text.replace('"learning"', '"closed"'),
    JSON.stringify({ ...good, v: 1 }),
    JSON.stringify({ ...good, cap: -1 }),
    JSON.stringify({ ...good, max: good.max + 1 }),
    JSON.stringify({ ...good, replicas: 1 }),
    JSON.stringify({ ...good, members: { ...good.members, a1: { ...entry, granted: 1 } } }),
    JSON.stringify({ ...good, rev: 1e300 }),
    JSON.stringify({ ...good, awaited: [] }),
    JSON.stringify({ ...good, awaited: { x: 7 } }),
    JSON.stringify({ ...good, members: { a1: { ...entry, granted: 1, returned: 2 } } }),
    JSON.stringify({ ...good, members: { a1: { ...entry, ended: ['x', 7] } } }),
    JSON.stringify({ ...good, members: { a1: { ...entry, name: 'n'.repeat(64) } } }),
    JSON.stringify({
      ...good,
      members: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`i${at}`, entry]))
    })
  ]) {
    t.same(readState(wrong, ['check']), { type: 'none' }, String(wrong).slice(0, 80))
  }
})
