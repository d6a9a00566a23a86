import { asyncProperty, assert, array, boolean, integer, tuple } from 'fast-check'
import t from 'tap'
import { MemoryBudget, type Reservation } from '../../src/admission/memory-budget.ts'
import { GatewayError } from '../../src/shared/errors.ts'

const { signal } = new AbortController()

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const turn = new Promise((resolve) => setImmediate(resolve, 'pending'))
  return (await Promise.race([promise, turn])) === 'pending'
}

t.test('reserve()', (t) => {
  t.test('gives what fits at once, up to the last byte', async (t) => {
    const budget = new MemoryBudget(100, 10)
    await budget.reserve(60, signal)
    await budget.reserve(40, signal)
    t.equal(budget.reservedBytes, 100)
    t.equal(await isPending(budget.reserve(1, signal)), true)
  })
  t.test('refuses what could never fit', async (t) => {
    const budget = new MemoryBudget(100, 10)
    await t.rejects(budget.reserve(101, signal), { code: 'GW_BODY_TOO_LARGE' })
    t.ok(await budget.reserve(100, signal))
  })
  t.test('lets no small request overtake a large one', async (t) => {
    const budget = new MemoryBudget(100, 10)
    const running = await budget.reserve(50, signal)
    const large = budget.reserve(80, signal)
    const small = budget.reserve(10, signal)
    t.equal(await isPending(small), true, 'although it would fit')
    running.release()
    t.equal((await large).bytes, 80)
    t.equal((await small).bytes, 10)
  })
  t.test('refuses when too many wait, with a time to come back', async (t) => {
    const budget = new MemoryBudget(10, 1)
    await budget.reserve(10, signal)
    const waiting = budget.reserve(1, signal)
    await t.rejects(budget.reserve(1, signal), { code: 'GW_MEMORY_FULL', retryAfterS: 5 })
    t.equal(await isPending(waiting), true)
  })
  t.test('forgets who left, and serves who stood behind', async (t) => {
    const budget = new MemoryBudget(100, 10)
    await budget.reserve(50, signal)
    const client = new AbortController()
    const large = budget.reserve(80, client.signal)
    const small = budget.reserve(10, signal)
    client.abort()
    await t.rejects(large, { code: 'GW_CLIENT_CLOSED' })
    t.ok(await small)
    t.equal(budget.waiting, 0)
    await t.rejects(budget.reserve(1, client.signal), { code: 'GW_CLIENT_CLOSED' })
  })
  t.test('fails with the error that ended the wait', async (t) => {
    const budget = new MemoryBudget(10, 10)
    await budget.reserve(10, signal)
    const turn = new AbortController()
    const waiting = budget.reserve(1, turn.signal)
    turn.abort(new GatewayError('GW_DRAINING'))
    await t.rejects(waiting, { code: 'GW_DRAINING' })
    await t.rejects(budget.reserve(1, turn.signal), { code: 'GW_DRAINING' })
  })
  t.end()
})

t.test('grow()', (t) => {
  t.test('takes what is free, up to the last byte, and never waits', async (t) => {
    const budget = new MemoryBudget(100, 10)
    await budget.reserve(40, signal)
    const more = budget.grow(60)
    t.throws(() => budget.grow(1), { code: 'GW_MEMORY_FULL' })
    t.equal(budget.waiting, 0)
    more.release()
    t.equal(budget.reservedBytes, 40)
  })
  t.test('does not stand behind those who hold nothing yet', async (t) => {
    const budget = new MemoryBudget(100, 10)
    const held = await budget.reserve(50, signal)
    const waiting = budget.reserve(95, signal)
    const more = budget.grow(10)
    held.release()
    t.equal(await isPending(waiting), true)
    more.release()
    t.equal((await waiting).bytes, 95)
  })
  t.end()
})

t.test('drain() refuses who waits and who comes, and lets those who hold some go on', async (t) => {
  const budget = new MemoryBudget(100, 10)
  const held = await budget.reserve(90, signal)
  const waiting = [budget.reserve(20, signal), budget.reserve(30, signal)]
  const refused = waiting.map((one) => t.rejects(one, { code: 'GW_DRAINING' }))
  budget.drain()
  await Promise.all(refused)
  t.equal(budget.waiting, 0)
  await t.rejects(budget.reserve(1, signal), { code: 'GW_DRAINING' })
  budget.grow(10).release()
  held.release()
  t.equal(budget.reservedBytes, 0)
})

t.test('a reservation', (t) => {
  t.test('shrinks, never grows, and is released once', async (t) => {
    const budget = new MemoryBudget(100, 10)
    const reservation = await budget.reserve(50, signal)
    reservation.shrinkTo(20)
    reservation.shrinkTo(90)
    t.equal(budget.reservedBytes, 20)
    reservation.release()
    reservation.release()
    t.equal(budget.reservedBytes, 0)
  })
  t.test('ends with its block', async (t) => {
    const budget = new MemoryBudget(100, 10)
    {
      using reservation = await budget.reserve(50, signal)
      t.equal(budget.reservedBytes, reservation.bytes)
    }
    t.equal(budget.reservedBytes, 0)
  })
  t.end()
})

t.test('any order of requests keeps to the total and serves everybody', async (t) => {
  const step = tuple(integer({ min: 1, max: 60 }), boolean())
  await assert(
    asyncProperty(array(step, { maxLength: 40 }), async (steps) => {
      const budget = new MemoryBudget(60, 100)
      const held: Reservation[] = []
      const asked: Promise<unknown>[] = []
      for (const [bytes, release] of steps) {
        if (release) held.shift()?.release()
        else asked.push(budget.reserve(bytes, signal).then((given) => held.push(given)))
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
