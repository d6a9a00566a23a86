import t from 'tap'
import type { Asked } from './credit-clients.ts'
import { judgeSums, type Seen } from './judge-sums.ts'
import type { BookRow, Told, ToldOfKey } from './told-sums.ts'

const NOTHING: ToldOfKey = {
  command: 0,
  ownUsage: 0,
  ownLimit: null,
  operatorsUsage: 0,
  dashboard: null,
  gauge: null,
  rows: 0,
  days: 0
}

/** Anna's figures in all places. */
function toldOf(credits: number, rows: readonly BookRow[], but: Partial<ToldOfKey> = {}): Told {
  const anna: ToldOfKey = {
    command: credits,
    ownUsage: credits,
    ownLimit: credits,
    operatorsUsage: credits,
    dashboard: credits,
    gauge: credits,
    rows: credits,
    days: credits,
    ...but
  }
  return { keys: { anna, ben: NOTHING, ci: NOTHING }, rows, reserved: 0 }
}

function row(credits: number, metering: string): BookRow {
  return { who: 'anna', credits, metering, isLost: metering === '' }
}

/** A request of Anna's from second to second. */
function asked(from: number, until: number, isCutShort = false): Asked {
  return { who: 'anna', from: from * 1000, until: until * 1000, isCutShort, status: 200 }
}

/** Two answers that were metered, of which the first is the request's that is given. */
function seen(first: Asked, kills: readonly number[] = []): Seen {
  const metered = [
    { request: 0, credits: 200_000 },
    { request: 1, credits: 300_000 }
  ]
  return { metered, asked: [first, asked(2, 3)], kills: kills.map((at) => at * 1000) }
}

const BOTH = [row(200_000, 'metered'), row(300_000, 'read on')]

t.test('all is well where each answer has its row, and all places tell the sum', (t) => {
  const { violations, sums } = judgeSums(toldOf(0.5, BOTH), seen(asked(0, 1)))
  t.same(violations, [])
  t.match(sums[0], { told: 0.5, metered: 500_000, heard: 500_000, left: 0, killed: 0 })
  t.end()
})

t.test('a place that tells another number is named', (t) => {
  const { violations } = judgeSums(toldOf(0.5, BOTH, { gauge: 0.500001 }), seen(asked(0, 1)))
  t.match(violations, [/^anna: not everywhere the same: .*"gauge":0.500001/])
  t.end()
})

t.test('an answer without a row needs a reason', (t) => {
  const [, second] = BOTH
  const rows = second === undefined ? [] : [second]
  const judge = (one: Seen, more: readonly BookRow[] = []) =>
    judgeSums(toldOf(0.5, [...rows, ...more]), one).violations
  t.match(judge(seen(asked(0, 1))), [/request 0 has cost 200000, and no row says so/])
  t.match(judge(seen(asked(0, 1), [9])), [/no row says so/], 'the kill came too late to be one')
  t.match(judge(seen(asked(0, 1), [1.2])), [/killed with 200000, but 0 count as lost/])
  t.same(judge(seen(asked(0, 1), [1.2]), [row(250_000, '')]), [])
  t.match(judge(seen(asked(0, 1, true))), [/1 answers were cut short, but 0 measured/])
  t.same(judge(seen(asked(0, 1, true)), [row(150_000, 'measured')]), [])
  t.end()
})

t.test('no answer has two rows, and no row comes from nowhere', (t) => {
  const twice = [...BOTH, row(300_000, 'metered')]
  t.match(judgeSums(toldOf(0.8, twice), seen(asked(0, 1))).violations, [/a row has 300000/])
  const odd = [...BOTH, { ...row(7, ''), isLost: false }]
  t.match(judgeSums(toldOf(0.5, odd), seen(asked(0, 1))).violations, [/7 of which nobody says/])
  t.end()
})
