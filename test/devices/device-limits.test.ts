import t from 'tap'
import { CODES, CodeTries, MAX_CHANCE } from '../../src/devices/code-tries.ts'
import { DEVICE_LIMITS } from '../../src/devices/device-limits.ts'
import { PollPace } from '../../src/devices/poll-pace.ts'

const WINDOW_MS = 10 * 60_000

/** Chance that one of many guesses, each at the highest rate that is let through, hits a code within ten minutes. */
function chanceOfGuessing(waiting: number, gateways = 1): number {
  let now = 0
  let chance = 0
  const desks = Array.from({ length: gateways }, () => new CodeTries(gateways, () => now))
  for (let address = 0; now < WINDOW_MS; ) {
    let isTried = false
    for (const tries of desks) {
      if (tries.waitMs(`10.0.${address >> 8}.${address & 255}`, waiting) > 0) continue
      tries.onTry(`10.0.${address >> 8}.${address & 255}`, waiting)
      chance += waiting / CODES
      isTried = true
    }
    address += 1 // always another address, so that the limit for all is what holds
    if (!isTried) now += 50
  }
  return chance
}

t.test('a guess has a chance below one in a million in ten minutes', async (t) => {
  t.equal(CODES, 20 ** 8)
  t.equal(CODES, 25_600_000_000)
  // One code waits: 25,600 tries of any of 25.6 thousand million codes. All wait: 25 tries, each a thousand times as good.
  for (const waiting of [1, 20, DEVICE_LIMITS.pending]) {
    const chance = chanceOfGuessing(waiting)
    t.ok(chance <= MAX_CHANCE, `${waiting} codes: ${chance}`)
    t.ok(chance > MAX_CHANCE / 2, `and people may try: ${Math.round((chance * CODES) / waiting)}`)
  }
  t.ok(chanceOfGuessing(20, 4) <= MAX_CHANCE, 'in a fleet of four, too')
})

t.test(
  'an address may be wrong five times, then once a minute; others are not held up',
  async (t) => {
    let now = 0
    const tries = new CodeTries(1, () => now)
    for (let wrong = 0; wrong < 5; wrong += 1) {
      t.equal(tries.waitMs('192.0.2.1', 1), 0)
      tries.onTry('192.0.2.1', 1)
    }
    t.equal(tries.waitMs('192.0.2.1', 1), 60_000)
    t.equal(tries.waitMs('192.0.2.2', 1), 0)
    now += 60_000
    t.equal(tries.waitMs('192.0.2.1', 1), 0)
    tries.onTry('192.0.2.1', 1)
    t.equal(tries.waitMs('::ffff:192.0.2.1', 1), 60_000)
    tries.onRight('192.0.2.1', 1)
    t.equal(tries.waitMs('192.0.2.1', 1), 0, 'a right code is given back')
  }
)

t.test('polls that come too early make the interval longer, also for later ones', async (t) => {
  let now = 0
  const pace = new PollPace(() => now)
  t.notOk(pace.isTooEarly('one'), 'the first may come at once')
  now += 5_000
  t.notOk(pace.isTooEarly('one'))
  now += 3_000
  t.ok(pace.isTooEarly('one'))
  t.notOk(pace.isTooEarly('other'))
  now += 5_000
  t.ok(pace.isTooEarly('one'), 'it is ten seconds by now')
  now += 15_000
  t.notOk(pace.isTooEarly('one'), 'and fifteen')
  now += 14_000
  t.ok(pace.isTooEarly('one'), 'as it stays')
})
