import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { monotonicNow } from '../../../src/admission/clock.ts'
import { MemoryBudget } from '../../../src/admission/memory-budget.ts'
import { hasLimits, MICROS_PER_CREDIT as CREDIT, type NamedKey } from '../../../src/keys/key.ts'
import { BUILT_IN_MODELS } from '../../../src/kiro/models/models.ts'
import { codeOf, GatewayError } from '../../../src/shared/errors.ts'
import { type KeyLimits, limitsHere, TurnLimits } from '../../../src/server/primary/key-limits.ts'
import { WorkerPrices } from '../../../src/keys/prices.ts'
import { namedKey, perDay, Team } from '../../helper/allowance-team.ts'

const models = [
  ...BUILT_IN_MODELS,
  { id: 'gpt-9', name: 'Stepped', maxInputTokens: 1_000_000, takesImages: false, rate: 2.5 },
  { id: 'dear', name: 'Dear', maxInputTokens: 1000, takesImages: false, rate: 2.5 }
]

/** Micro-credits. */
const KNOWN_PRICES = [
  ['auto', CREDIT],
  ['dear', 2.5 * CREDIT]
] as const

interface PoolSettings {
  readonly poolTimeoutMs: number | null
  readonly maxWaiting: number
}

async function limitsFor(
  t: Test,
  key: NamedKey,
  pool: PoolSettings = { poolTimeoutMs: null, maxWaiting: 10 }
) {
  const team = new Team([key], 1)
  team.now = Date.now()
  t.teardown(() => team.close())
  const [worker] = team.workers
  if (worker === undefined) throw new Error('there is no worker')
  const { allowances } = worker
  const clock = { now: team.now }
  const prices = new WorkerPrices({ send: () => {} })
  for (const [model, cost] of KNOWN_PRICES) prices.learn({ model, inputTokens: 100 }, cost)
  const all = {
    allowances,
    prices,
    pool: () => pool,
    models: () => models,
    unread: new MemoryBudget(1000, 0),
    now: () => clock.now
  }
  return { team, limits: new TurnLimits(key, all), all, clock, prices }
}

/** Of requests that are answered without the upstream. */
function hereOf(limits: KeyLimits, key: NamedKey): TurnLimits {
  const here = limitsHere(key, limits)
  if (here === null) throw new Error('the key has no such limits')
  return here
}

function wish(signal = new AbortController().signal) {
  return { arrivedAt: monotonicNow(), signal }
}

function reserve(limits: TurnLimits, model = 'auto', inputTokens = 100) {
  return limits.reserve({ model, inputTokens }, wish())
}

// Timers of AllowanceControl keep no process alive.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

t.test('KeyLimits', (t) => {
  t.test('counts requests that cost nothing beside the others', async (t) => {
    const key = namedKey('anna', { requestsPerMinute: 2, maxStreams: 1, credits: perDay(1) })
    const { limits, all } = await limitsFor(t, key)
    const here = hereOf(all, key)
    for (const one of [limits, here]) {
      for (let count = 0; count < 2; count += 1) await one.admit(wish())
      await t.rejects(one.admit(wish()), { code: 'GW_KEY_RATE' })
    }
    const stream = await limits.stream(wish(), 0)
    const other = await here.stream(wish(), 0)
    t.ok(stream !== null && other !== null, 'neither waits for the other')
    const gone = new AbortController()
    const third = here.stream(wish(gone.signal), 0)
    gone.abort(new GatewayError('GW_CLIENT_CLOSED'))
    await t.rejects(third, { code: 'GW_CLIENT_CLOSED' }, 'but two of them do')
    ;(await limits.reserve({ model: 'auto', inputTokens: 1 }, wish()))?.settle()
    const spent = await limits.reserve({ model: 'auto', inputTokens: 1 }, wish())
    spent?.add({ credits: 1, isAnswered: true, isLeft: false })
    spent?.settle()
    await t.rejects(limits.admit(wish()), { code: 'GW_KEY_LIMIT' })
    await t.rejects(here.admit(wish()), { code: 'GW_KEY_RATE' }, 'credits are nothing to them')
    const credits = namedKey('ben', { credits: perDay(1) })
    t.equal(limitsHere(credits, all), null)
    t.ok(hasLimits(credits))
  })

  t.test('knows the used part of a limit, with what other workers have used', async (t) => {
    const key = namedKey('anna', { credits: perDay(100) })
    const { team, limits } = await limitsFor(t, key)
    t.equal(limits.standing(), null, 'nothing is known before the first request')
    const spend = async (credits: number): Promise<void> => {
      const charge = await reserve(limits)
      charge?.add({ credits, isAnswered: true, isLeft: false })
      charge?.settle()
    }
    await spend(7)
    t.match(limits.standing(), { utilization: 0.07 })
    const running = await reserve(limits)
    t.match(limits.standing(), { utilization: 0.08 }, 'what is reserved counts')
    running?.settle()
    const other = team.join().allowances
    for (let count = 1; count <= 10; count += 1) {
      const share = await other.take(
        {
          name: 'anna/credits',
          amount: 6 * CREDIT,
          arrivedAt: monotonicNow(),
          refusal: () => new GatewayError('GW_INTERNAL')
        },
        new AbortController().signal
      )
      share.settle(6 * CREDIT)
      other.tell()
      for (let wait = 0; wait < 5; wait += 1) await turn()
      const utilization = limits.standing()?.utilization ?? 0
      t.ok(Math.abs(utilization - (0.07 + 0.06 * count)) <= 0.011, `${utilization} of ${count}`)
    }
    t.equal(new Date(limits.standing()?.resetsAt ?? 0).getUTCHours(), 0)
  })

  t.test('does not count as used what other gateways of a fleet hold', async (t) => {
    const { team, limits } = await limitsFor(t, namedKey('anna', { credits: perDay(100) }))
    const spend = async (): Promise<void> => {
      const charge = await reserve(limits)
      charge?.add({ credits: 2, isAnswered: true, isLeft: false })
      charge?.settle()
      for (let wait = 0; wait < 5; wait += 1) await turn()
    }
    await spend()
    team.allowances.setAway('anna/credits', { away: 90 * CREDIT, mayCome: false })
    for (let count = 0; count < 3; count += 1) await spend()
    t.match(limits.standing(), { utilization: 0.08 })
    await spend()
    await t.rejects(reserve(limits), {
      code: 'GW_KEY_LIMIT',
      message: /90 are used or held by other/
    })
  })

  t.test('are of keys that have at least one', (t) => {
    const ben = namedKey('ben')
    t.notOk(hasLimits(ben))
    t.ok(hasLimits({ ...ben, credits: { limit: 1, period: 'day' } }))
    t.ok(hasLimits({ ...ben, requestsPerMinute: 1 }))
    t.ok(hasLimits({ ...ben, maxStreams: 1 }))
    t.end()
  })

  t.test(
    'says who may use how much, what is used and running, and when it starts anew',
    async (t) => {
      const { team, limits } = await limitsFor(t, namedKey('anna', { credits: perDay(3) }))
      const first = await reserve(limits)
      first?.add({ credits: 0.25, isAnswered: true, isLeft: false })
      first?.settle()
      await reserve(limits, 'dear')
      const resetsAt = new Date(Math.ceil((team.now + 1) / 86_400_000) * 86_400_000).toISOString()
      const refusal = await reserve(limits).catch((error: unknown) => error)
      t.match(refusal, {
        code: 'GW_KEY_LIMIT',
        status: 429,
        message:
          'The key "anna" has a limit of 3 credits a day: 0.25 are used, 2.5 are reserved for running requests. ' +
          'The remaining 0.25 are less than the 1 that this request may cost. ' +
          `It resets at ${resetsAt}.`,
        details: {
          key: 'anna',
          limit: 3,
          used: 0.25,
          reserved: 2.5,
          needed: 1,
          resets_at: resetsAt
        }
      })
      t.ok((refusal as { retryAfterS: number }).retryAfterS <= 86_400)
    }
  )

  t.test('takes the price of a long request from the start', async (t) => {
    const prices = [
      [272_000, 2.5],
      [272_001, 5]
    ] as const
    for (const [inputTokens, reserved] of prices) {
      const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(reserved + 0.5) }))
      await reserve(limits, 'gpt-9', inputTokens)
      const refusal = await reserve(limits).catch((error: unknown) => error)
      t.match(refusal, { details: { reserved } })
    }
  })

  t.test('counts what has just begun to run when it says that nothing is left', async (t) => {
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
    const asked = Array.from({ length: 12 }, () => reserve(limits).catch((error: unknown) => error))
    const refusals = (await Promise.all(asked)).slice(10)
    t.equal(refusals.length, 2)
    for (const refusal of refusals) {
      t.match(refusal, { message: /: 0 are used, 10 are reserved for running requests\. Nothing/ })
    }
  })

  t.test('tells no time to wait where that is long or never comes', async (t) => {
    const key = namedKey('anna', { credits: { limit: 0.5, period: 'total' } })
    const { limits } = await limitsFor(t, key)
    await reserve(limits)
    const refusal = await reserve(limits).catch((error: unknown) => error)
    t.match(refusal, {
      code: 'GW_KEY_LIMIT',
      message: /does not reset/,
      retryAfterS: undefined
    })
  })

  t.test('says what is left of a limit that is not used up', async (t) => {
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(3) }))
    const charge = await reserve(limits)
    charge?.add({ credits: 2.2, isAnswered: true, isLeft: false })
    charge?.settle()
    const left = {
      code: 'GW_KEY_LIMIT',
      message: /The remaining 0\.8 are less than the 1 that/
    }
    await t.rejects(reserve(limits), left)
  })

  t.test('says what gateways have that may have ended, and of no fleet', async (t) => {
    const key = namedKey('anna', { credits: perDay(3) })
    const { team, limits } = await limitsFor(t, key)
    const other = new Team([key], 1, team.book)
    other.now = team.now
    await other.workers[0]?.take('anna/credits', 3 * CREDIT)
    await t.rejects(reserve(limits), {
      code: 'GW_KEY_LIMIT',
      message: / 3 are used or held by other gateways, or by one that crashed\. Nothing/
    })
    await other.close()
  })

  t.test('lets as many run as the limit has room for, however small it is', async (t) => {
    const key = namedKey('anna', { credits: { limit: 0.05, period: 'day' } })
    const { limits, prices } = await limitsFor(t, key)
    for (let n = 0; n < 9; n++) prices.learn({ model: 'cheap', inputTokens: 100 }, CREDIT / 100)
    const asked = Array.from({ length: 8 }, () =>
      reserve(limits, 'cheap').catch((error: unknown) => error)
    )
    const refused = (await Promise.all(asked)).filter((one) => one instanceof Error)
    t.equal(refused.length, 3)
    t.match(refused, [{ code: 'GW_KEY_LIMIT', message: /Nothing is left/ }])
  })

  t.test('lets a request that may cost more than the whole limit use all of it', async (t) => {
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(2) }))
    const charge = await reserve(limits, 'dear')
    await t.rejects(reserve(limits), { code: 'GW_KEY_LIMIT' })
    charge?.settle()
    await reserve(limits)
  })

  t.test('charges what was metered, or the estimate where nothing was', async (t) => {
    const { team, limits } = await limitsFor(t, namedKey('anna', { credits: perDay(1000) }))
    const cases = [
      [{ credits: 0.0897, isAnswered: true, isLeft: false }, 89_700],
      [{ credits: 0, isAnswered: true, isLeft: false }, 0],
      [{ credits: null, isAnswered: true, isLeft: false }, CREDIT],
      [{ credits: null, isAnswered: false, isLeft: false }, 0],
      [{ credits: null, isAnswered: false, isLeft: true }, CREDIT],
      [{ credits: 0.5, isAnswered: false, isLeft: true }, 500_000],
      [{ credits: 0.5, isAnswered: false, isLeft: false }, 500_000]
    ] as const
    let sum = 0
    for (const [cost, micros] of cases) {
      const charge = await reserve(limits)
      charge?.add(cost)
      charge?.settle()
      charge?.settle()
      t.equal(charge?.cost, micros, JSON.stringify(cost))
      sum += micros
    }
    await team.close()
    t.match(team.allowances.creditsOf('anna'), { used: sum, reserved: 0 })
  })

  t.test('adds up what several calls for one question cost', async (t) => {
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
    const charge = await reserve(limits)
    charge?.add({ credits: 0.2, isAnswered: false, isLeft: false })
    charge?.add({ credits: null, isAnswered: false, isLeft: false })
    charge?.add({ credits: 0.1, isAnswered: true, isLeft: false })
    t.equal(charge?.cost, 300_000)
    charge?.settle()
  })

  t.test('asks nobody for a key that has used everything up, until the period ends', async (t) => {
    const key = namedKey('anna', { credits: perDay(2) })
    const { team, limits, clock } = await limitsFor(t, key)
    await limits.admit(wish())
    const charge = await reserve(limits)
    charge?.add({ credits: 2, isAnswered: true, isLeft: false })
    charge?.settle()
    await t.rejects(reserve(limits), { code: 'GW_KEY_LIMIT' })
    const [worker] = team.workers
    const before = worker?.sent
    await t.rejects(limits.admit(wish()), { code: 'GW_KEY_LIMIT', message: /2 are used/ })
    t.equal(worker?.sent, before)
    team.allowances.setKeys([namedKey('anna', { credits: perDay(5) })])
    for (let i = 0; i < 10; i += 1) await turn()
    await limits.admit(wish())
    team.allowances.setKeys([key])
    for (let i = 0; i < 10; i += 1) await turn()
    await t.rejects(limits.admit(wish()), { code: 'GW_KEY_LIMIT' }, 'and again')
    clock.now += 86_400_000
    team.now += 86_400_000
    await limits.admit(wish())
    await reserve(limits)
  })

  t.test('asks one question at a time while nobody knows what it costs', async (t) => {
    const { limits, prices } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
    const first = await reserve(limits, 'unheard-of')
    const waiting = Array.from({ length: 5 }, () => reserve(limits, 'unheard-of').catch(codeOf))
    let served = 0
    for (const one of waiting) void one.then(() => served++)
    for (let i = 0; i < 20; i += 1) await turn()
    t.equal(served, 0, 'the others wait and are not refused')
    prices.learn({ model: 'unheard-of', inputTokens: 100 }, 4 * CREDIT)
    first?.add({ credits: 4, isAnswered: true, isLeft: false })
    first?.settle()
    const outcomes = await Promise.all(waiting)
    t.equal(
      outcomes.filter((one) => one === 'GW_KEY_LIMIT').length,
      4,
      'there is room for one of 4'
    )
  })

  t.test('lets a small question go when only large ones have a price', async (t) => {
    const { limits, prices } = await limitsFor(t, namedKey('ci', { credits: perDay(2) }))
    for (let n = 0; n < 5; n++) prices.learn({ model: 'claude', inputTokens: 200_000 }, 6 * CREDIT)
    const ask = () => reserve(limits, 'claude', 500)
    const first = await ask()
    const second = ask()
    prices.learn({ model: 'claude', inputTokens: 500 }, CREDIT / 100)
    first?.add({ credits: 0.01, isAnswered: true, isLeft: false })
    first?.settle()
    await second
    for (let n = 0; n < 5; n++) await ask()
  })

  t.test('lets one large question go at a time when only small ones have a price', async (t) => {
    const { limits, prices } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
    for (let n = 0; n < 5; n++) prices.learn({ model: 'claude', inputTokens: 500 }, CREDIT / 50)
    let served = 0
    const asked = Array.from({ length: 30 }, async () => {
      const charge = await reserve(limits, 'claude', 200_000)
      served += 1
      return charge
    })
    const outcomes = Promise.allSettled(asked)
    for (let i = 0; i < 20; i += 1) await turn()
    t.equal(served, 1)
    const first = await asked[0]
    prices.learn({ model: 'claude', inputTokens: 200_000 }, 8 * CREDIT)
    first?.add({ credits: 8, isAnswered: true, isLeft: false })
    first?.settle()
    const answered = (await outcomes).filter(({ status }) => status === 'fulfilled')
    t.equal(answered.length, 1, '2 are left, and the next may cost 8')
  })

  t.test('has nobody wait whose price another key has shown, and nobody overtake', async (t) => {
    for (const teach of ['learn', 'onLearnt'] as const) {
      const { limits, prices } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
      const long = await reserve(limits, 'unheard-of')
      const order: number[] = []
      const waiting = [0, 1, 2].map(async (n) => {
        await reserve(limits, 'unheard-of')
        order.push(n)
      })
      for (let i = 0; i < 20; i += 1) await turn()
      t.same(order, [], 'the first one runs')
      const lessons = [[Date.now(), CREDIT]] as const
      if (teach === 'learn') prices.learn({ model: 'unheard-of', inputTokens: 100 }, CREDIT)
      else prices.onLearnt({ model: 'unheard-of', size: 0, lessons })
      await turn()
      const later = reserve(limits, 'unheard-of').then(() => order.push(3))
      await Promise.all([...waiting, later])
      t.same(order, [0, 1, 2, 3])
      long?.settle()
    }
  })

  t.test('has questions to one model wait for no other', async (t) => {
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }))
    await reserve(limits, 'gpt-9')
    await reserve(limits, 'claude-opus-4.6')
    let isServed = false
    await reserve(limits, 'made-up-1')
    const next = reserve(limits, 'made-up-2').then(() => (isServed = true))
    for (let i = 0; i < 20; i += 1) await turn()
    t.notOk(isServed, 'but those to models that are not listed wait for each other')
    void next.catch(() => {})
  })

  t.test('takes the listed price of a model that nobody ever meters', async (t) => {
    const { limits, prices } = await limitsFor(t, namedKey('anna', { credits: perDay(100) }))
    const answer = { model: 'gpt-9', inputTokens: 100, outputTokens: 10 }
    const listed = 2.5 * CREDIT
    for (let n = 0; n < 3; n++) {
      t.ok(prices.estimate(answer, listed).isUnknown)
      ;(await reserve(limits, 'gpt-9'))?.settle()
      prices.learnUnmetered(answer, listed)
    }
    t.same(prices.estimate(answer, listed), { credits: listed, isUnknown: false })
    const large = { ...answer, inputTokens: 50_000 }
    prices.learnUnmetered(large, listed)
    t.same(prices.estimate(large, listed), { credits: listed, isUnknown: false }, 'of any size')
    for (let n = 0; n < 5; n++) prices.learn(answer, CREDIT)
    prices.learnUnmetered(answer, listed)
    t.same(prices.estimate(answer, listed).credits, CREDIT, 'until somebody does')
  })

  t.test('does not have it wait for longer than for a connection', async (t) => {
    const pool = { poolTimeoutMs: 60_000, maxWaiting: 2 }
    const { limits } = await limitsFor(t, namedKey('anna', { credits: perDay(10) }), pool)
    const first = await reserve(limits, 'unheard-of')
    pool.poolTimeoutMs = 10 // of the second alone: the first may take longer on a busy machine
    await t.rejects(reserve(limits, 'unheard-of'), {
      code: 'GW_POOL_TIMEOUT',
      message: /the cost of such answers of this model is not known yet/
    })
    first?.settle()
  })

  t.test('refuses what comes too often, with the seconds to wait', async (t) => {
    const { limits } = await limitsFor(t, namedKey('ben', { requestsPerMinute: 2 }))
    await limits.admit(wish())
    await limits.admit(wish())
    const refusal = await limits.admit(wish()).catch((error: unknown) => error)
    t.match(refusal, {
      code: 'GW_KEY_RATE',
      status: 429,
      message: /"ben" may send 2 requests a minute/
    })
    const { retryAfterS } = refusal as { retryAfterS: number }
    t.ok(retryAfterS >= 1 && retryAfterS <= 60, `${retryAfterS} s`)
    t.equal(await limits.stream(wish(), 10), null)
    t.equal(await reserve(limits), null)
  })

  t.test('has streams wait for those of the same key', async (t) => {
    const { limits } = await limitsFor(t, namedKey('ben', { maxStreams: 1 }))
    const first = await limits.stream(wish(), 10)
    let isServed = false
    const second = limits.stream(wish(), 10).then(() => (isServed = true))
    for (let i = 0; i < 10; i += 1) await turn()
    t.equal(isServed, false)
    first?.[Symbol.dispose]()
    t.equal(await second, true)
    await limits.admit(wish())
  })

  t.test('does not have them wait for longer than connections, nor in any number', async (t) => {
    const pool = { poolTimeoutMs: 10, maxWaiting: 2 }
    const { limits } = await limitsFor(t, namedKey('ben', { maxStreams: 1 }), pool)
    await limits.stream(wish(), 10)
    const gone = new AbortController()
    const waiting = [limits.stream(wish(), 10), limits.stream(wish(gone.signal), 10)]
    await t.rejects(limits.stream(wish(), 10), {
      code: 'GW_QUEUE_FULL',
      message: /"ben" already runs its maximum of 1 streams at once/
    })
    gone.abort()
    await t.rejects(Promise.resolve(waiting[1]), { code: 'GW_CLIENT_CLOSED' })
    await t.rejects(Promise.resolve(waiting[0]), { code: 'GW_POOL_TIMEOUT', name: 'PoolTimeout' })
  })
  t.end()
})
