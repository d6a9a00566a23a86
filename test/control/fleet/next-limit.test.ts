import t from 'tap'
import {
  type AllowanceState,
  nextAllowance,
  openAllowance
} from '../../../src/control/allowances/allowance-ledger.ts'
import {
  type LimitCommand,
  type LimitEvent,
  type LimitContact,
  type LimitState,
  type LimitView,
  NEW_LIMIT,
  nextLimit,
  withheldIn
} from '../../../src/control/fleet/next-limit.ts'
import {
  type LimitRegister,
  withGift,
  withSelf,
  withWant
} from '../../../src/fleet/limit-register.ts'
import type { AllowanceName } from '../../../src/ipc/allowance.ts'

const SIZE = { limit: 10, replicas: 2 }
const VIEW: LimitView = {
  name: 'k/credits',
  member: 'a',
  replicas: 2,
  self: { inc: 'a1', era: 'era', rev: 1 },
  isOurs: () => false,
  isFirst: true,
  isGone: () => false,
  isSettled: false,
  now: 1_000_000
}

/** Each gateway has its seat, and nothing was given. */
const BOTH = ['a', 'b'].reduce<LimitRegister>(
  (register, name) =>
    withSelf(register, name, {
      self: { inc: `${name}1`, era: 'era', rev: 1 },
      size: SIZE,
      isKnown: () => false
    }),
  { period: 1, seats: {} }
)
const LATER: LimitRegister = { period: 2, seats: {} }
const REST: LimitState = { ...NEW_LIMIT, record: 'told', register: BOTH, inc: 'a1', rev: 7 }
const EMPTY = { period: 1, seats: {} }

function ledgerOf(wanted: number, name: AllowanceName = 'k/credits', away = 5): AllowanceState {
  const report = { seq: 1, seen: 0, period: 1, used: 0, reserved: 0, returned: 0, spare: 0 }
  const more = { usual: 0, isLast: false, wanted, oldestAt: wanted > 0 ? 1 : null }
  let state = openAllowance({ name, limit: SIZE.limit, period: 1, endsAt: null, away })
  state = nextAllowance(state, { type: 'join', member: 'w' }).state
  const told = { name, ...report, ...more }
  return wanted === 0
    ? state
    : nextAllowance(state, { type: 'report', member: 'w', report: told }).state
}

const CONTACTS: Readonly<Record<string, LimitContact>> = {
  known: { name: 'known' },
  stale: { name: 'stale' },
  away: { name: 'away' },
  reading: { name: 'reading', isAway: false, isOvertaken: false },
  readingAgain: { name: 'reading', isAway: true, isOvertaken: false },
  overtaken: { name: 'reading', isAway: false, isOvertaken: true },
  writing: { name: 'writing', register: BOTH, isOvertaken: false }
}

/** Each event of the picture, in each state of the contact; `-` where nothing changes. */
const PICTURE: readonly (readonly [
  from: string,
  event: LimitEvent,
  to: string,
  command: string
])[] = [
  ['known', { type: 'news' }, 'stale', ''],
  ['stale', { type: 'news' }, 'stale', ''],
  ['away', { type: 'news' }, 'away', ''],
  ['reading', { type: 'news' }, 'overtaken', ''],
  ['known', { type: 'look', ledger: ledgerOf(0) }, 'known', ''],
  ['stale', { type: 'look', ledger: ledgerOf(0) }, 'reading', 'read'],
  ['away', { type: 'look', ledger: ledgerOf(0) }, 'readingAgain', 'read'],
  ['reading', { type: 'look', ledger: ledgerOf(9) }, 'reading', ''],
  ['writing', { type: 'look', ledger: ledgerOf(9) }, 'writing', ''],
  ['reading', { type: 'found', rev: 7, register: BOTH }, 'known', ''],
  ['overtaken', { type: 'found', rev: 7, register: BOTH }, 'stale', ''],
  ['reading', { type: 'failed' }, 'away', ''],
  ['overtaken', { type: 'failed' }, 'away', ''],
  ['writing', { type: 'failed' }, 'away', ''],
  ['writing', { type: 'written', rev: 8 }, 'known', ''],
  ['writing', { type: 'found', rev: 9, register: BOTH }, 'known', ''],
  ['reading', { type: 'period', period: 2 }, 'reading', ''],
  ['writing', { type: 'period', period: 2 }, 'writing', '']
]

t.test('the picture', async (t) => {
  for (const [from, event, to, command] of PICTURE) {
    const { state, commands } = nextLimit({ ...REST, contact: contactOf(from) }, event, VIEW)
    t.same(state.contact, contactOf(to), `${from}, ${event.type} > ${to}`)
    t.equal(typesOf(commands), command, `${from}, ${event.type}: commands`)
  }
})

const RECORDS: readonly (readonly [LimitRegister | null, LimitRegister, LimitState['record']])[] = [
  [BOTH, BOTH, 'told'],
  [null, EMPTY, 'told'],
  [null, BOTH, 'untold'],
  [EMPTY, BOTH, 'untold'],
  [withGift(BOTH, { from: 'b', to: 'a', amount: 2 }), BOTH, 'told'],
  [BOTH, withGift(BOTH, { from: 'a', to: 'b', amount: 2 }), 'untold'],
  [LATER, BOTH, 'ahead'],
  [BOTH, LATER, 'untold']
]

t.test('what a record says of what is known', async (t) => {
  for (const [found, register, record] of RECORDS) {
    const event = { type: 'found', rev: 8, register: found } as const
    t.equal(nextLimit({ ...REST, register, record: 'unread' }, event, VIEW).state.record, record)
  }
})

t.test('a look', async (t) => {
  const rows: readonly (readonly [
    what: string,
    state: Partial<LimitState>,
    view: Partial<LimitView>,
    wanted: number,
    commands: string
  ])[] = [
    ['is no member: says nothing', { contact: { name: 'stale' } }, { self: null }, 9, ''],
    ['too early: waits', { nextAt: VIEW.now + 10 }, {}, 9, 'wait'],
    ['unread: reads first', { record: 'unread', register: EMPTY }, {}, 0, 'read'],
    ['has all it needs', {}, {}, 0, ''],
    ['needs more: asks', {}, {}, 9, 'write'],
    ['has asked: waits for it', { register: withWant(BOTH, 'a', 9) }, {}, 9, 'wait'],
    ['a record of a later period', { record: 'ahead' }, {}, 9, ''],
    ['Valkey has lost it: says it again', { record: 'untold' }, {}, 0, 'write'],
    ['takes its seat', { register: EMPTY, inc: '' }, {}, 0, 'write'],
    [
      'keeps for another: gives',
      { register: withWant(BOTH, 'b', 3), hold: 3, idle: 3 },
      {},
      0,
      'write'
    ],
    ['a process of another name may hold all', { register: fullRegister(), inc: '' }, {}, 0, 'warn']
  ]
  for (const [what, state, view, wanted, commands] of rows) {
    const event = { type: 'look', ledger: ledgerOf(wanted) } as const
    const step = nextLimit({ ...REST, ...state }, event, { ...VIEW, ...view })
    t.equal(typesOf(step.commands), commands, what)
  }
})

t.test('a limit of requests is silent while nobody needs anything', async (t) => {
  const name = 'k/requests'
  const quiet = { type: 'look', ledger: ledgerOf(0, name) } as const
  const busy = { type: 'look', ledger: ledgerOf(9, name) } as const
  const fresh = { ...NEW_LIMIT, register: EMPTY }
  const settled = { ...VIEW, name, isSettled: true } as const
  t.equal(typesOf(nextLimit(fresh, quiet, settled).commands), '')
  t.equal(typesOf(nextLimit(fresh, busy, settled).commands), 'write')
  t.equal(typesOf(nextLimit(fresh, quiet, { ...settled, isSettled: false }).commands), 'read')
})

t.test('what is written, or may be, is kept from the workers before it is sent', async (t) => {
  const state = { ...REST, register: withWant(BOTH, 'b', 2), hold: 2, idle: 2 }
  const { state: writing, commands } = nextLimit(state, { type: 'look', ledger: ledgerOf(0) }, VIEW)
  const [command] = commands
  if (command?.type !== 'write') throw new Error('it gives nothing')
  t.equal(command.register.seats['a']?.gave['b'], 2)
  t.equal(awayOf(state), 7)
  for (const hold of [0, 2]) {
    const lent = { ...writing, hold }
    t.equal(awayOf(lent), 7 + hold, 'while it is written')
    const lost = nextLimit(lent, { type: 'failed' }, VIEW).state
    t.equal(awayOf(lost), 7 + hold, 'and while nobody knows whether it was')
    const found = { type: 'found', rev: 7, register: state.register } as const
    for (const rev of [7, 8, 0]) {
      const lastly = nextLimit(lost, { ...found, rev }, VIEW).state
      t.equal(awayOf(lastly), 7 + hold, 'it may be written still, or was before Valkey lost it')
      t.equal(lastly.record, 'untold', 'so it is said again')
    }
    const other = nextLimit(lent, { ...found, rev: 8 }, VIEW).state
    t.equal(awayOf(other), 5 + hold, 'never, as another was faster')
    const done = nextLimit(lent, { type: 'written', rev: 8 }, VIEW).state
    t.equal(awayOf(done), 7 + hold, 'written')
  }
})

t.test('nothing is used before it is known what earlier processes gave', async (t) => {
  const unread = { ...NEW_LIMIT, register: EMPTY }
  const away = { ...unread, contact: { name: 'away' } } as const
  t.same(withheldIn(unread, 10, VIEW), { away: 10, mayCome: true })
  t.same(withheldIn(away, 10, VIEW), { away: 5, mayCome: false }, 'the first process of all')
  t.same(withheldIn(away, 10, { ...VIEW, isFirst: false }), { away: 10, mayCome: false })
  const requests = { ...VIEW, name: 'k/requests' } as const
  t.same(withheldIn(unread, 10, requests), { away: 10, mayCome: true })
  t.same(withheldIn(unread, 10, { ...requests, isSettled: true }), { away: 5, mayCome: true })
})

t.test('requests of a minute that an earlier process gave away are not there again', async (t) => {
  const gave = withGift(BOTH, { from: 'a', to: 'b', amount: 5 })
  const register = withWant(gave, 'b', 4)
  const found = { ...NEW_LIMIT, register, record: 'told', rev: 7 } as const
  const requests = { ...VIEW, name: 'k/requests', self: { inc: 'a2', era: 'era', rev: 1 } } as const
  t.equal(withheldIn(found, 10, requests).away, 10)
  const ledger = ledgerOf(0, 'k/requests')
  const kept = nextLimit(found, { type: 'ledger', ledger }, requests).state
  const [command] = nextLimit(kept, { type: 'look', ledger }, requests).commands
  if (command?.type !== 'write') throw new Error('its seat is not written anew')
  t.match(command.register.seats['a'], { inc: 'a2', gave: { b: 5 } })
})

t.test('more may come until it was asked for in vain', async (t) => {
  const asking = { ...REST, register: withWant(BOTH, 'a', 3), askedAt: VIEW.now - 299 }
  t.equal(withheldIn(REST, 10, VIEW).mayCome, true)
  t.equal(withheldIn(asking, 10, VIEW).mayCome, true)
  t.equal(withheldIn({ ...asking, askedAt: VIEW.now - 300 }, 10, VIEW).mayCome, false)
  const again = { type: 'look', ledger: ledgerOf(9) } as const
  t.equal(nextLimit(asking, again, VIEW).state.askedAt, VIEW.now, 'asks for more')
  const told = { ...asking, register: withWant(BOTH, 'a', 9) }
  t.equal(
    nextLimit(told, { type: 'look', ledger: { ...ledgerOf(0), settled: 6 } }, VIEW).state.askedAt,
    told.askedAt
  )
  t.equal(withheldIn({ ...REST, contact: { name: 'away' } }, 10, VIEW).mayCome, false)
  t.equal(withheldIn({ ...REST, register: fullRegister() }, 10, VIEW).mayCome, false)
})

t.test('a period', async (t) => {
  const before = { ...REST, hold: 3, askedAt: 1, record: 'untold' } as const
  const next = nextLimit(before, { type: 'period', period: 2 }, VIEW).state
  const expected = { ...REST, register: LATER, record: 'unread', askedAt: -Infinity }
  t.same(next, expected, 'starts from zero')
  t.same(nextLimit(before, { type: 'period', period: 0 }, VIEW).state, before, 'set back')
  const contact = { name: 'writing', register: BOTH, isOvertaken: false } as const
  const late = nextLimit({ ...next, contact }, { type: 'written', rev: 9 }, VIEW).state
  t.same([late.register, late.record, late.rev], [LATER, 'told', 9], 'a register of the one before')
})

t.test('what others need is kept from the workers, which are asked now and then', async (t) => {
  const state = { ...REST, register: withWant(BOTH, 'b', 9) }
  const ledger = ledgerOf(0)
  const first = nextLimit(state, { type: 'ledger', ledger }, VIEW)
  t.same([first.state.hold, first.commands], [5, [{ type: 'wait', ms: 50 }]])
  const at = (ms: number) => ({ ...VIEW, now: VIEW.now + ms })
  const calm = nextLimit(
    first.state,
    { type: 'ledger', ledger: ledgerOf(0, 'k/credits', 10) },
    at(50)
  )
  t.same([calm.state.hold, calm.commands], [5, [{ type: 'wait', ms: 500 }]])
  const again = nextLimit(calm.state, { type: 'ledger', ledger }, at(501))
  t.equal(again.state.probe.at, at(501).now)
  const more = { ...calm.state, register: withWant(BOTH, 'b', 10) }
  t.equal(nextLimit(more, { type: 'ledger', ledger }, at(60)).state.probe.at, at(60).now)
  const lacking = nextLimit(state, { type: 'ledger', ledger: ledgerOf(9) }, VIEW)
  t.same([lacking.state.hold, lacking.commands], [0, []], 'not while it lacks some itself')
  t.equal(lacking.state.neededAt, VIEW.now)
  const needs = nextLimit(first.state, { type: 'ledger', ledger: ledgerOf(9) }, at(1))
  const freed = nextLimit(
    needs.state,
    { type: 'ledger', ledger: ledgerOf(0, 'k/credits', 10) },
    at(1)
  )
  t.same(
    [needs.state.hold, freed.state.hold],
    [0, 0],
    'not again at once when that has shown a need'
  )
})

t.test('a demand is withdrawn some time after the last need', async (t) => {
  const state = { ...REST, register: withWant(BOTH, 'a', 4), neededAt: VIEW.now - 999 }
  const event = { type: 'look', ledger: ledgerOf(0) } as const
  t.equal(typesOf(nextLimit(state, event, VIEW).commands), 'wait')
  const [command] = nextLimit(state, event, { ...VIEW, now: VIEW.now + 1 }).commands
  t.equal(command?.type === 'write' && command.register.seats['a']?.want, 0)
})

t.test('a seat counts once this process has it', async (t) => {
  const gone = { ...REST, inc: 'a0' }
  const left = { ...VIEW, self: null }
  t.equal(awayOf(REST, left), 5, 'not a member now')
  t.equal(awayOf(gone, left), 10, 'another process')
  const ours = { ...left, isOurs: (inc: string) => inc === 'a1' }
  t.equal(awayOf(gone, ours), 10, 'one of this folder may have given what was not written yet')
  const seat = { inc: 'a2', era: 'era', rev: 1 }
  const taken = withSelf(BOTH, 'a', { self: seat, size: SIZE, isKnown: ours.isOurs })
  t.equal(awayOf({ ...gone, register: taken, inc: 'a2' }, ours), 5, 'and here its seat is taken')
})

t.test('commands keep a distance, and a longer one after no answer', async (t) => {
  const nextAtAfter = (event: LimitEvent, state: LimitState = REST) =>
    nextLimit(state, event, VIEW).state.nextAt - VIEW.now
  t.equal(nextAtAfter({ type: 'found', rev: 7, register: BOTH }), 20)
  t.equal(nextAtAfter({ type: 'failed' }), 500)
  t.equal(nextAtAfter({ type: 'written', rev: 8 }, { ...REST, nextAt: VIEW.now + 500 }), 500)
})

t.test('a gift', async (t) => {
  const giveOf = (state: Partial<LimitState>, view: Partial<LimitView> = {}, wanted = 0) => {
    const event = { type: 'look', ledger: ledgerOf(wanted) } as const
    const [command] = nextLimit({ ...REST, ...state }, event, { ...VIEW, ...view }).commands
    return command?.type === 'write' ? (command.register.seats[VIEW.member]?.gave ?? {}) : null
  }
  const register = withWant(BOTH, 'b', 9)
  t.same(giveOf({ register, hold: 2, idle: 9 }), { b: 2 }, 'is no more than was kept for it')
  t.same(
    giveOf({ register, hold: 2, idle: 9 }, { isGone: () => true }),
    null,
    'not to an ended process'
  )
  const all = { register, hold: 2, idle: 9 }
  t.same(giveOf(all, {}, 9), {}, 'not of credits that it lacks itself')
  const last = { ...all, register: withWant(register, 'a', 4) }
  const asB = { ...VIEW, member: 'b', self: { inc: 'b1', era: 'era', rev: 1 } }
  const command = nextLimit(
    { ...REST, ...last },
    { type: 'look', ledger: ledgerOf(9, 'k/credits', 7) },
    asB
  ).commands[0]
  t.same(
    command?.type === 'write' && command.register.seats['b']?.gave,
    { a: 2 },
    'but to the first by name'
  )
})

t.test('what an ended gateway held', async (t) => {
  t.same(heirOf('k/streams'), { a: 5 }, 'goes to one that needs it')
  t.same(heirOf('k/credits'), {}, 'may have been used up')
})

t.test('a demand for credits is worth a message', async (t) => {
  const [command] = nextLimit(
    REST,
    { type: 'look', ledger: ledgerOf(60, 'k/credits', 0) },
    { ...VIEW, replicas: 1 }
  ).commands
  t.equal(command?.type === 'write' && command.register.seats['a']?.want, 10, 'at most the limit')
  const big = { ...ledgerOf(9), limit: 1000, away: 1000 }
  const [asks] = nextLimit(REST, { type: 'look', ledger: big }, VIEW).commands
  t.equal(asks?.type === 'write' && asks.register.seats['a']?.want, 63, 'an eighth of its share')
})

t.test('what it has beyond its share goes to the one that lacks of its own', async (t) => {
  const rich = withWant(withGift(BOTH, { from: 'b', to: 'a', amount: 4 }), 'b', 4)
  const streams = ledgerOf(9, 'k/streams', 10)
  const hold = (name: AllowanceName) => {
    const event = { type: 'ledger', ledger: { ...streams, name } } as const
    return nextLimit({ ...REST, register: rich }, event, { ...VIEW, name }).state.hold
  }
  t.equal(hold('k/streams'), 4)
  t.equal(hold('k/credits'), 0)
})

/** Gifts of the ended gateway `b` when `a` lacks something. */
function heirOf(name: AllowanceName) {
  const event = { type: 'look', ledger: ledgerOf(9, name) } as const
  const view: LimitView = { ...VIEW, name, isGone: ({ inc }) => inc === 'b1' }
  const [command] = nextLimit(REST, event, view).commands
  return command?.type === 'write' && command.register.seats['b']?.gave
}

function contactOf(name: string): LimitContact {
  const contact = CONTACTS[name]
  if (contact === undefined) throw new Error(name)
  return contact
}

function typesOf(commands: readonly LimitCommand[]): string {
  return commands.map(({ type }) => type).join()
}

function awayOf(state: LimitState, view: LimitView = VIEW): number {
  return withheldIn(state, SIZE.limit, view).away
}

/** All seats are of other names. */
function fullRegister(): LimitRegister {
  let register: LimitRegister = EMPTY
  for (let at = 0; at < 128; at += 1) {
    const self = { inc: `i${at}`, era: 'era', rev: 1 }
    register = withSelf(register, `n${at}`, { self, size: SIZE, isKnown: () => false })
  }
  return register
}
