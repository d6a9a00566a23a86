import t from 'tap'
import { VerdictMemory } from '../../../src/control/account/verdict-memory.ts'
import type { AccountRefusal, AccountStatus, UsageNews } from '../../../src/ipc/messages.ts'
import type { Bar } from '../../../src/kiro/wire/fault-table.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const START = Date.parse('2026-11-25T23:30:00Z')
const RESET = Date.parse('2026-12-01T00:00:00Z')

function setUp(resetsAt: number | null = RESET) {
  const clock = { now: START }
  const told: AccountStatus[] = []
  const lines: object[] = []
  const usage: UsageNews = {
    usage: {
      plan: null,
      resetsAt,
      allowances: [],
      overage: { isEnabled: false, used: 0, charges: 0, currency: null, rate: null, cap: null }
    },
    problem: null
  }
  const verdicts = new VerdictMemory({
    usage: () => Promise.resolve(usage),
    log: { warn: (facts: unknown) => void lines.push({ ...(facts as object) }) },
    onNews: (status) => told.push(status),
    now: () => clock.now
  })
  return { verdicts, clock, told, lines }
}

function refusal(bar: Bar, retryAfterS: number | null = null): AccountRefusal {
  return { bar, code: 'GW_UPSTREAM_QUOTA', reason: `said of ${bar}`, retryAfterS }
}

t.test('VerdictMemory', (t) => {
  t.test('bars the account for as long as each refusal is worth', async (t) => {
    const table: [Bar, number | null, number][] = [
      ['monthly', null, RESET - START],
      ['daily', null, 30 * MINUTE],
      ['hourly', null, 15 * MINUTE],
      ['unnamed', null, HOUR],
      ['not-admitted', null, HOUR],
      ['suspicion', null, 30 * MINUTE],
      ['credit-rate', null, 5 * MINUTE],
      ['credit-rate', 120, 2 * MINUTE],
      ['user-rate', 90, 90_000],
      ['rate', 90, 90_000]
    ]
    for (const [bar, retryAfterS, ms] of table) {
      const { verdicts, told, lines } = setUp()
      await verdicts.refused(refusal(bar, retryAfterS))
      const { bars } = verdicts.status
      t.same(
        bars,
        [{ bar, until: START + ms, code: 'GW_UPSTREAM_QUOTA' }],
        `${bar}, without the upstream's words`
      )
      t.match(lines.at(-1), { reason: `said of ${bar}` }, 'which are logged')
      t.same(told.at(-1), verdicts.status)
    }
  })

  t.test('lets everybody wait where a refusal asks for a short wait', async (t) => {
    const { verdicts, clock, told, lines } = setUp()
    await verdicts.refused(refusal('user-rate'))
    t.same(told, [{ bars: [], suspectedAt: null, pausedUntil: START + 10_000 }])
    await verdicts.refused(refusal('rate', 2))
    clock.now += 100
    await verdicts.refused(refusal('user-rate'))
    t.equal(told.length, 1, 'no news')
    await verdicts.refused(refusal('rate', 60))
    t.match(told, [{}, { bars: [], pausedUntil: clock.now + 60_000 }])
    t.equal(lines.length, 1, 'logged once for a pause')
    clock.now += 60_001
    await verdicts.refused(refusal('rate', 1))
    t.match(verdicts.status, { pausedUntil: clock.now + 1000 })
    t.equal(lines.length, 2)
  })

  t.test('looks again in an hour where no credible reset is known', async (t) => {
    const inMilliseconds = RESET * 1000 // the upstream tells seconds, so far
    for (const resetsAt of [null, START - 1, START + 367 * 24 * HOUR, inMilliseconds, 8.64e15]) {
      const { verdicts } = setUp(resetsAt)
      await verdicts.refused(refusal('monthly'))
      t.match(verdicts.status.bars, [{ until: START + HOUR }])
    }
  })

  t.test('bars at once, before the reset is known', async (t) => {
    const { verdicts, told, lines } = setUp()
    const done = verdicts.refused(refusal('monthly'))
    t.match(told, [{ bars: [{ until: START + HOUR }] }])
    await done
    t.match(told[1], { bars: [{ until: RESET }] })
    t.match(lines, [{ until: new Date(RESET).toISOString() }], 'and logs the end that holds, once')
    t.equal(lines.length, 1)
  })

  t.test(
    'doubles the time of a suspicion up to a day, and counts calls under way once',
    async (t) => {
      const { verdicts, clock, lines } = setUp()
      for (const ms of [30, 60, 120, 240, 480, 960, 1440, 1440]) {
        for (let call = 0; call < 3; call++) await verdicts.refused(refusal('suspicion'))
        t.match(verdicts.status.bars, [{ until: clock.now + ms * MINUTE }], `${ms} min`)
        t.equal(verdicts.status.suspectedAt, clock.now)
        clock.now += ms * MINUTE
      }
      t.equal(lines.length, 8, 'told once each')
      clock.now += 49 * HOUR
      await verdicts.refused(refusal('suspicion'))
      t.match(verdicts.status.bars, [{ until: clock.now + 30 * MINUTE }], 'begins anew')
    }
  )

  t.test('names the most serious first, and forgets what is over', async (t) => {
    const { verdicts, clock } = setUp()
    await verdicts.refused(refusal('hourly'))
    await verdicts.refused(refusal('monthly'))
    await verdicts.refused(refusal('suspicion'))
    t.same(
      verdicts.status.bars.map(({ bar }) => bar),
      ['suspicion', 'monthly', 'hourly']
    )
    clock.now += HOUR
    await verdicts.refused(refusal('unnamed'))
    t.same(
      verdicts.status.bars.map(({ bar }) => bar),
      ['monthly', 'unnamed']
    )
  })

  t.test('forgives what may be over when it is told to; the guard and waits stay', async (t) => {
    const { verdicts, told } = setUp()
    verdicts.forgive()
    t.same(told, [], 'nothing to forgive')
    const forgiven: Bar[] = ['monthly', 'daily', 'hourly', 'unnamed', 'not-admitted']
    for (const bar of forgiven) await verdicts.refused(refusal(bar))
    verdicts.forgive()
    t.same(told.at(-1), { bars: [], suspectedAt: null, pausedUntil: null })
    const kept: Bar[] = ['suspicion', 'credit-rate', 'user-rate', 'rate']
    for (const bar of [...kept, ...forgiven]) await verdicts.refused(refusal(bar, 3600))
    const before = verdicts.status.bars.filter((one) => kept.includes(one.bar))
    verdicts.forgive()
    t.same(told.at(-1), { bars: before, suspectedAt: START, pausedUntil: null })
    const { length } = told
    verdicts.forgive()
    t.equal(told.length, length, 'nothing more to forgive')
  })
  t.end()
})
