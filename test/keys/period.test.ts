import t from 'tap'
import { type PeriodKind, periodAt } from '../../src/keys/period.ts'
import * as fc from '../helper/fast-check.ts'
import { mutate } from '../helper/mutant.ts'

function at(text: string): number {
  return Date.parse(text)
}

function spanAt(kind: PeriodKind, now: string): readonly (string | null)[] {
  const { startsAt, endsAt } = periodAt(kind, null, at(now))
  return [startsAt, endsAt].map((one) => (one === null ? null : new Date(one).toISOString()))
}

t.test('periodAt()', (t) => {
  t.test('knows days, weeks from Monday, months and minutes in UTC', async (t) => {
    const now = '2026-11-26T23:59:59.999Z'
    t.same(spanAt('day', now), ['2026-11-26T00:00:00.000Z', '2026-11-27T00:00:00.000Z'])
    t.same(spanAt('week', now), ['2026-11-23T00:00:00.000Z', '2026-11-30T00:00:00.000Z'])
    t.same(spanAt('week', '2026-11-30T00:00:00Z')[0], '2026-11-30T00:00:00.000Z')
    t.same(spanAt('month', now), ['2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'])
    t.same(spanAt('month', '2026-12-31T23:00:00Z')[1], '2027-01-01T00:00:00.000Z')
    t.same(spanAt('minute', now), ['2026-11-26T23:59:00.000Z', '2026-11-27T00:00:00.000Z'])
    t.equal(spanAt('total', now)[1], null)
    t.equal(spanAt('never', now)[1], null)
  })

  t.test('goes on until the end, and begins the next one there', async (t) => {
    const first = periodAt('day', null, at('2026-11-26T10:00:00Z'))
    t.equal(periodAt('day', first, at('2026-11-26T23:59:59.999Z')), first)
    const next = periodAt('day', first, at('2026-11-27T00:00:00Z'))
    t.ok(next.number > first.number)
    t.equal(next.startsAt, first.endsAt)
  })

  t.test('counts on when the clock is set back over the end', async (t) => {
    const before = periodAt('month', null, at('2026-12-01T00:03:00Z'))
    t.equal(periodAt('month', before, at('2026-11-30T23:58:00Z')), before)
    t.equal(periodAt('month', before, at('2026-12-31T23:59:00Z')), before)
  })

  t.test('ends in time after a clock that was years ahead, and gives nothing anew', async (t) => {
    const wrong = periodAt('month', null, at('2099-01-15T00:00:00Z'))
    const right = periodAt('month', wrong, at('2026-11-26T00:00:00Z'))
    t.equal(right.number, wrong.number)
    t.equal(right.endsAt, at('2026-12-01T00:00:00Z'))
    t.ok(periodAt('month', right, at('2026-12-01T00:00:00Z')).number > wrong.number)
  })

  t.test('begins anew where another kind of period is set', async (t) => {
    const month = periodAt('month', null, at('2026-11-26T00:00:00Z'))
    const day = periodAt('day', month, at('2026-11-26T00:00:00Z'))
    t.ok(day.number > month.number)
    t.ok(periodAt('total', day, at('2026-11-26T00:00:00Z')).number > day.number)
  })

  t.test('gives nothing anew before its time, whatever the clock does', async () => {
    fc.assert(properties(periodAt))
  })
  t.end()
})

/** Under any clock: periods are numbered upwards, a new one begins when the one before is over, and each ends in time. */
function properties(machine: typeof periodAt) {
  const kinds = fc.constantFrom<PeriodKind>('day', 'week', 'month', 'total', 'minute')
  const time = fc.integer({ min: 0, max: 4_102_444_800_000 })
  const moves = fc.array(fc.oneof(time, fc.integer({ min: -70, max: 70 })), { maxLength: 20 })
  return fc.property(kinds, time, moves, (kind, start, hops) => {
    let now = start
    let before = machine(kind, null, now)
    for (const hop of hops) {
      now = Math.abs(hop) <= 70 ? Math.max(0, now + hop * DAY_MS) : hop
      const period = machine(kind, before, now)
      const isOver = before.endsAt !== null && now >= before.endsAt
      if (period.number < before.number || period.number > before.number !== isOver) return false
      const { startsAt, endsAt } = period
      if (endsAt !== null && (endsAt <= now || endsAt - now > 2 * (endsAt - startsAt) + 3 * DAY_MS))
        return false
      before = period
    }
    return true
  })
}

interface Machine {
  readonly periodAt: typeof periodAt
}

const DAY_MS = 86_400_000

t.test('the properties of periods', (t) => {
  const mutants = [
    {
      story: 'a clock that is set back starts a limit anew',
      from: `if (now >= before.endsAt) {`,
      to: `if (now >= before.endsAt || now < before.startsAt) {`
    },
    {
      story: 'a clock that was years ahead, and is right again, gives a limit anew',
      from: `number: before.number, startsAt, endsAt } : before`,
      to: `number: before.number + 1, startsAt, endsAt } : before`
    },
    {
      story: 'a limit starts no more after a clock that was years ahead',
      from: `return wasWrong ?`,
      to: `return wasWrong && now < 0 ?`
    },
    {
      story: 'a limit never starts anew',
      from: `if (now >= before.endsAt) {`,
      to: `if (now < 0) {`
    }
  ]
  for (const mutant of mutants)
    t.test(`notice when ${mutant.story}`, async (t) => {
      const fault = { ...mutant, file: 'keys/period.ts' }
      const copied = { parts: ['keys'], files: ['keys/period.ts'] }
      const machine = (await mutate(t.testdir({}), fault, copied)) as Machine
      t.equal(fc.check(properties(machine.periodAt), { seed: 1, numRuns: 1000 }).failed, true)
    })
  t.end()
})
