import t from 'tap'
import {
  MemoryBudget,
  type MemoryWait,
  type Reservation
} from '../../src/admission/memory-budget.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { array, assert, asyncProperty, boolean, integer, tuple } from '../helper/fast-check.ts'
import { ManualClock } from '../helper/manual-clock.ts'

const wait = waitOf(new AbortController().signal)

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const turn = new Promise((resolve) => setImmediate(resolve, 'pending'))
  return (await Promise.race([promise, turn])) === 'pending'
}

t.test('reserve()', (t) => {
  t.test('gives what fits at once, up to the last byte', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    await budget.reserve(60, wait)
    await budget.reserve(40, wait)
    t.equal(budget.reservedBytes, 100)
    t.equal(await isPending(budget.reserve(1, wait)), true)
  })
  t.test('refuses what could never fit', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    await t.rejects(budget.reserve(101, wait), { code: 'GW_BODY_TOO_LARGE' })
    t.ok(await budget.reserve(100, wait))
  })
  t.test('lets no small request overtake a large one', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const running = await budget.reserve(50, wait)
    const large = budget.reserve(80, wait)
    const small = budget.reserve(10, wait)
    t.equal(await isPending(small), true, 'although it would fit')
    running.release()
    t.equal((await large).bytes, 80)
    t.equal((await small).bytes, 10)
  })
  t.test('refuses when too many wait, with a time to come back', async (t) => {
    const budget = new MemoryBudget(10, 1, new ManualClock())
    await budget.reserve(10, wait)
    const waiting = budget.reserve(1, wait)
    await t.rejects(budget.reserve(1, wait), { code: 'GW_MEMORY_FULL', retryAfterS: 5 })
    t.equal(await isPending(waiting), true)
  })
  t.test('forgets who left, and serves who stood behind', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    await budget.reserve(50, wait)
    const client = new AbortController()
    const large = budget.reserve(80, waitOf(client.signal))
    const small = budget.reserve(10, wait)
    client.abort()
    await t.rejects(large, { code: 'GW_CLIENT_CLOSED' })
    t.ok(await small)
    t.equal(budget.waiting, 0)
    await t.rejects(budget.reserve(1, waitOf(client.signal)), { code: 'GW_CLIENT_CLOSED' })
  })
  t.test('fails with the error that ended the wait', async (t) => {
    const budget = new MemoryBudget(10, 10, new ManualClock())
    await budget.reserve(10, wait)
    const turn = new AbortController()
    const waiting = budget.reserve(1, waitOf(turn.signal))
    turn.abort(new GatewayError('GW_DRAINING'))
    await t.rejects(waiting, { code: 'GW_DRAINING' })
    await t.rejects(budget.reserve(1, waitOf(turn.signal)), { code: 'GW_DRAINING' })
  })
  t.end()
})

t.test('keys', (t) => {
  t.test('take turns: a backlog of one delays another by one of it', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const held = await budget.reserve(100, of('a'))
    const order: string[] = []
    const ask = async (key: string): Promise<void> => {
      const reservation = await budget.reserve(100, of(key))
      order.push(key)
      reservation.release()
    }
    const all = Promise.all(['a', 'a', 'a', 'b', 'b'].map(ask))
    held.release()
    await all
    t.same(order, ['a', 'b', 'a', 'b', 'a'])
  })
  t.test('one that holds its share does not keep what is free from others', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const held = await budget.reserve(60, of('a'))
    const large = budget.reserve(80, of('a'))
    t.equal((await budget.reserve(30, of('b'))).bytes, 30)
    t.equal(await isPending(large), true)
    held.release()
    t.equal(await isPending(large), true, 'while the other holds its own')
    t.equal(await isPending(budget.reserve(5, of('b'))), true, 'and it holds nothing: its turn')
  })
  t.test('more than may wait are refused of the key with most of them', async (t) => {
    const budget = new MemoryBudget(10, 3, new ManualClock())
    await budget.reserve(10, of('a'))
    const [first, second, third] = [1, 1, 1].map((bytes) => budget.reserve(bytes, of('a')))
    const refused = t.rejects(Promise.resolve(third), { code: 'GW_MEMORY_FULL' })
    const other = budget.reserve(1, of('b'))
    await refused
    for (const one of [first, second, other])
      t.equal(one !== undefined && (await isPending(one)), true)
    await t.rejects(budget.reserve(1, of('a')), { code: 'GW_MEMORY_FULL' })
  })
  t.test('what their streams have taken in while they wait has a bound', async (t) => {
    const limits = { maxWaiting: 100, maxUnreadBytes: 128 * 1024 }
    const budget = new MemoryBudget(2 ** 20, limits, new ManualClock())
    await budget.reserve(2 ** 20, of('a'))
    const waiting = [1, 2].map(() => budget.reserve(2 ** 20, of('a')))
    await t.rejects(budget.reserve(1024, of('a')), { code: 'GW_MEMORY_FULL' })
    t.equal(await isPending(Promise.race(waiting)), true)
  })
  t.test('are contested when they hold more than their share and others wait', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const held = await budget.reserve(100, of('a'))
    t.equal(budget.isContested('a'), false)
    const more = budget.reserve(10, of('a'))
    t.equal(budget.isContested('a'), false, 'only by itself')
    const other = budget.reserve(60, of('b'))
    t.equal(budget.isContested('a'), true)
    t.equal(budget.isContested('b'), false)
    held.shrinkTo(30)
    t.ok(await other)
    t.equal(budget.isContested('a'), false)
    held.release()
    t.ok(await more)
  })
  t.test('leave as much to the next one as they take, where that is asked for', async (t) => {
    const budget = new MemoryBudget(100, 0, new ManualClock())
    t.equal(budget.isFreeFor(51, 'a'), false)
    t.equal(budget.isFreeFor(50, 'a'), true)
    budget.grow(50, 'a')
    t.equal(budget.isFreeFor(1, 'a'), false)
    t.equal(budget.isFreeFor(25, 'b'), true)
    t.equal(budget.isFreeFor(26, 'b'), false)
  })
  t.end()
})

t.test('grow()', (t) => {
  t.test('takes what is free, up to the last byte, and never waits', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    await budget.reserve(40, wait)
    const more = budget.grow(60)
    t.throws(() => budget.grow(1), { code: 'GW_MEMORY_FULL' })
    t.equal(budget.waiting, 0)
    more.release()
    t.equal(budget.reservedBytes, 40)
  })
  t.test('does not stand behind those who hold nothing yet', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const held = await budget.reserve(50, wait)
    const waiting = budget.reserve(95, wait)
    const more = budget.grow(10)
    held.release()
    t.equal(await isPending(waiting), true)
    more.release()
    t.equal((await waiting).bytes, 95)
  })
  t.end()
})

t.test('a wait', (t) => {
  t.test('ends with an error when it takes too long, and who stood behind is served', async (t) => {
    const clock = new ManualClock()
    const budget = new MemoryBudget(100, 10, clock)
    await budget.reserve(50, wait)
    const large = budget.reserve(80, { ...wait, timeoutMs: 1000 })
    const small = budget.reserve(10, wait)
    clock.advance(999)
    t.equal(budget.waiting, 2)
    clock.advance(1)
    await t.rejects(large, { code: 'GW_MEMORY_FULL', status: 503, retryAfterS: 5 })
    t.equal((await small).bytes, 10)
    t.equal(clock.timers, 0)
  })
  t.test('for more than slow bodies leave is overtaken, other waits are not', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const slow = await budget.reserve(100, wait)
    const waiting = [95, 80, 10].map((bytes) => budget.reserve(bytes, wait))
    slow.loosenTo(10)
    const [largest, large, small] = waiting.map((one) => one.then(({ bytes }) => bytes))
    t.equal(await large, 80)
    t.equal(await small, 10)
    slow.release()
    t.equal(budget.waiting, 1, 'as long as the others hold theirs')
    ;(await waiting[1])?.release()
    ;(await waiting[2])?.release()
    t.equal(await largest, 95)
  })
  t.end()
})

t.test('extend()', (t) => {
  t.test('waits before all who hold nothing, even while draining', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const other = await budget.reserve(80, wait)
    await budget.reserve(20, wait)
    const newcomer = budget.reserve(50, wait)
    const step = budget.extend(40, 20, wait)
    const refused = t.rejects(newcomer, { code: 'GW_DRAINING' })
    budget.drain()
    await refused
    other.release()
    t.equal((await step).bytes, 40)
  })
  t.test('is refused where everybody would wait for everybody', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const mine = await budget.reserve(50, wait)
    const theirs = await budget.reserve(50, wait)
    const step = budget.extend(10, mine.bytes, wait)
    t.equal(await isPending(step), true)
    await t.rejects(budget.extend(10, theirs.bytes, wait), { code: 'GW_MEMORY_FULL' })
    theirs.release()
    t.equal((await step).bytes, 10)
    mine.release()
    ;(await step).release()
    t.equal(budget.reservedBytes, 0)
  })
  t.test('is given up like any wait', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const other = await budget.reserve(100, wait)
    const client = new AbortController()
    const step = budget.extend(10, 10, waitOf(client.signal))
    client.abort()
    await t.rejects(step, { code: 'GW_CLIENT_CLOSED' })
    other.release()
    t.equal((await budget.reserve(100, wait)).bytes, 100)
  })
  t.end()
})

t.test('drain() refuses who waits and who comes, and lets those who hold some go on', async (t) => {
  const budget = new MemoryBudget(100, 10, new ManualClock())
  const held = await budget.reserve(90, wait)
  const waiting = [budget.reserve(20, wait), budget.reserve(30, wait)]
  const refused = waiting.map((one) => t.rejects(one, { code: 'GW_DRAINING' }))
  budget.drain()
  await Promise.all(refused)
  t.equal(budget.waiting, 0)
  await t.rejects(budget.reserve(1, wait), { code: 'GW_DRAINING' })
  budget.grow(10).release()
  held.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('a reservation', (t) => {
  t.test('shrinks, never grows, and is released once', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    const reservation = await budget.reserve(50, wait)
    reservation.shrinkTo(20)
    reservation.shrinkTo(90)
    t.equal(budget.reservedBytes, 20)
    reservation.release()
    reservation.release()
    t.equal(budget.reservedBytes, 0)
  })
  t.test('ends with its block', async (t) => {
    const budget = new MemoryBudget(100, 10, new ManualClock())
    {
      using reservation = await budget.reserve(50, wait)
      t.equal(budget.reservedBytes, reservation.bytes)
    }
    t.equal(budget.reservedBytes, 0)
  })
  t.end()
})

t.test('any order of slow and fast bodies keeps to the total and loses nothing', async (t) => {
  const body = tuple(integer({ min: 2, max: 60 }), boolean(), integer({ min: 0, max: 3 }))
  await assert(
    asyncProperty(array(body, { maxLength: 30 }), async (bodies) => {
      const budget = new MemoryBudget(60, 100, new ManualClock())
      let most = 0
      const outcomes = bodies.map(async ([bytes, isSlow, turns]) => {
        const held = [await budget.reserve(bytes, wait)]
        if (isSlow) held[0]?.loosenTo(1)
        try {
          for (let has = 1; isSlow && has < bytes; has++)
            held.push(await budget.extend(1, has, wait))
          for (let turn = 0; turn < turns; turn++) await new Promise((done) => setImmediate(done))
          return bytes
        } catch (error) {
          if (!(error instanceof GatewayError && error.code === 'GW_MEMORY_FULL')) throw error
          return 0
        } finally {
          most = Math.max(most, budget.reservedBytes)
          for (const one of held) one.release()
        }
      })
      const served = await Promise.all(outcomes)
      if (most > 60) throw new Error(`${most} of 60`)
      if (served.length > 0 && served.every((bytes) => bytes === 0))
        throw new Error('nobody served')
      if (budget.reservedBytes !== 0 || budget.waiting !== 0) throw new Error('something is lost')
      await budget.reserve(60, wait)
    }),
    { numRuns: 300 }
  )
  t.pass('300 schedules')
})

t.test('any order of requests keeps to the total and serves everybody', async (t) => {
  const step = tuple(integer({ min: 1, max: 60 }), boolean())
  await assert(
    asyncProperty(array(step, { maxLength: 40 }), async (steps) => {
      const budget = new MemoryBudget(60, 100, new ManualClock())
      const held: Reservation[] = []
      const asked: Promise<unknown>[] = []
      for (const [bytes, release] of steps) {
        if (release) held.shift()?.release()
        else asked.push(budget.reserve(bytes, wait).then((given) => held.push(given)))
        await Promise.resolve()
        if (budget.reservedBytes > 60) throw new Error(`${budget.reservedBytes} of 60`)
      }
      for (let rounds = 0; rounds < 100 && budget.reservedBytes > 0; rounds += 1) {
        await new Promise((resolve) => setImmediate(resolve))
        held.shift()?.release()
      }
      await Promise.all(asked)
      if (budget.reservedBytes !== 0) throw new Error(`${budget.reservedBytes} bytes lost`)
    }),
    { numRuns: 200 }
  )
  t.pass('200 schedules')
})

function of(key: string): MemoryWait {
  return { ...wait, key }
}

function waitOf(signal: AbortSignal): MemoryWait {
  return { signal, timeoutMs: 60_000 }
}
