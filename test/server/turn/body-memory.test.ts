import t from 'tap'
import { MemoryBudget } from '../../../src/admission/memory-budget.ts'
import { BodyMemory, SMALL_BODY_BYTES } from '../../../src/server/turn/body-memory.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { assert, integer, property } from '../../helper/fast-check.ts'

const MIB = 2 ** 20
/** Of each worker in a container of 512 MiB. */
const BUDGET_BYTES = 22 * MIB
const INLINE_MAX_BYTES = 128 * 1024
const { signal } = new AbortController()
const REST = {
  smallLane: new MemoryBudget(2 * MIB, 0),
  kept: new MemoryBudget(BUDGET_BYTES, 0),
  key: 'one',
  timeoutMs: 60_000
}

t.test('the room of one body', (t) => {
  t.test('is twice its size for a thread and four times for the event loop', async (t) => {
    for (const [bodyBytes, bytes] of [
      [100, 400],
      [INLINE_MAX_BYTES, 4 * INLINE_MAX_BYTES],
      [INLINE_MAX_BYTES + 1, 4 * INLINE_MAX_BYTES],
      [8 * MIB, 16 * MIB]
    ] as const) {
      const budget = new MemoryBudget(BUDGET_BYTES, 10)
      using memory = makeMemory(budget)
      await memory.reserve(bodyBytes)
      t.equal(budget.reservedBytes, bytes, `${bodyBytes} bytes`)
    }
  })
  t.test('is its size alone before its conversion', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using memory = makeMemory(budget)
    await memory.reserveUnread(1_000)
    t.equal(budget.reservedBytes, 1_000)
    await memory.extend(1_000)
    t.equal(budget.reservedBytes, 4_000)
  })
  t.test('is enough for everyday bodies in a container of 512 MiB', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using memory = makeMemory(budget)
    t.equal(memory.largestBytes, 11 * MIB)
    await memory.reserve(memory.largestBytes)
    t.equal(budget.reservedBytes, BUDGET_BYTES)
  })
  t.test('exists for the largest body and not for one byte more', async (t) => {
    const sizes = integer({ min: 1, max: 10_000 })
    assert(
      property(sizes, sizes, (totalBytes, inlineMaxBytes) => {
        const { largestBytes } = makeMemory(new MemoryBudget(totalBytes, 10), inlineMaxBytes)
        const fits = (bodyBytes: number): boolean => {
          try {
            makeMemory(new MemoryBudget(totalBytes, 10), inlineMaxBytes).grow(bodyBytes)
            return true
          } catch {
            return false
          }
        }
        return fits(largestBytes) && !fits(largestBytes + 1)
      })
    )
    t.pass('any budget and threshold')
  })
  t.test('grows with the payload that is left, by what is missing', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using memory = makeMemory(budget)
    await memory.reserve(4 * MIB)
    memory.shrinkTo(MIB)
    t.equal(budget.reservedBytes, 2 * MIB)
    memory.growTo(MIB)
    t.equal(budget.reservedBytes, 2 * MIB)
    memory.growTo(3 * MIB)
    memory.growTo(2 * MIB)
    t.equal(budget.reservedBytes, 6 * MIB)
    t.throws(() => memory.growTo(12 * MIB), { code: 'GW_MEMORY_FULL' })
    t.equal(budget.reservedBytes, 6 * MIB)
    memory.release()
    t.equal(budget.reservedBytes, 0)
    t.throws(() => memory.growTo(1))
  })
  t.test('grows to what is needed in all, at once or not at all', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using memory = makeMemory(budget)
    await memory.reserve(MIB)
    memory.grow(3 * MIB)
    t.equal(budget.reservedBytes, 6 * MIB)
    using other = makeMemory(budget)
    await other.reserve(8 * MIB)
    t.throws(() => memory.grow(4 * MIB), { code: 'GW_MEMORY_FULL' })
    t.equal(budget.waiting, 0)
    t.equal(budget.reservedBytes, BUDGET_BYTES)
  })
  t.test('shrinks to twice the payload, in however many steps it grew', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using memory = makeMemory(budget)
    await memory.reserve(MIB)
    for (let size = 2; size <= 8; size += 1) memory.grow(size * MIB)
    memory.shrinkTo(3 * MIB)
    t.equal(budget.reservedBytes, 6 * MIB)
  })
  t.end()
})

t.test(
  'a small body has room while large ones have taken all, each key up to half of what is left',
  async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const smallLane = new MemoryBudget(2 * MIB, 0)
    const make = (key: string) =>
      new BodyMemory({ ...REST, key, smallLane, budget, inlineMaxBytes: INLINE_MAX_BYTES, signal })
    using large = make('greedy')
    await large.reserve(11 * MIB)
    const small = ['greedy', 'greedy', 'modest'].map(make)
    for (const memory of small) await memory.reserve(SMALL_BODY_BYTES)
    t.equal(smallLane.reservedBytes, 1.5 * MIB)
    const [third, notSmall] = [make('greedy'), make('other')]
    const waiting = Promise.all([third.reserve(1000), notSmall.reserve(SMALL_BODY_BYTES + 1)])
    t.equal(budget.waiting, 2)
    large.release()
    await waiting
    for (const memory of [...small, third, notSmall]) memory.release()
    t.equal(smallLane.reservedBytes + budget.reservedBytes, 0)
  }
)

t.test('a small body that comes late has room in the lane, too', async (t) => {
  const budget = new MemoryBudget(BUDGET_BYTES, 10)
  const smallLane = new MemoryBudget(2 * MIB, 0)
  const make = () =>
    new BodyMemory({ ...REST, smallLane, budget, inlineMaxBytes: INLINE_MAX_BYTES, signal })
  using late = make()
  await late.reserve(20_000)
  late.loosenTo(0)
  using large = make()
  await large.reserve(11 * MIB)
  await late.extend(20_000)
  t.equal(smallLane.reservedBytes, 80_000)
  late.release()
  t.equal(smallLane.reservedBytes, 0)
})

t.test('release()', (t) => {
  t.test('gives everything back', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const memory = makeMemory(budget)
    await memory.reserve(MIB)
    memory.grow(2 * MIB)
    memory.release()
    t.equal(budget.reservedBytes, 0)
    t.throws(() => memory.grow(3 * MIB), { code: 'GW_CLIENT_CLOSED' })
    await t.rejects(memory.reserve(MIB), { code: 'GW_CLIENT_CLOSED' })
    t.equal(budget.reservedBytes, 0)
  })
  t.test('leaves nobody in the queue', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    using other = makeMemory(budget)
    await other.reserve(11 * MIB)
    const memory = makeMemory(budget)
    const waiting = t.rejects(memory.reserve(MIB), { code: 'GW_CLIENT_CLOSED' })
    memory.release()
    await waiting
    t.equal(budget.waiting, 0)
  })
  t.test('gives back what is admitted in the same moment', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const memory = makeMemory(budget)
    const reserving = memory.reserve(MIB)
    memory.release()
    await reserving
    t.equal(budget.reservedBytes, 0)
  })
  t.end()
})

function plans(budget: MemoryBudget, kept: MemoryBudget, key = 'one'): BodyMemory {
  return new BodyMemory({ ...REST, key, kept, budget, inlineMaxBytes: INLINE_MAX_BYTES, signal })
}

t.test('what an answer needs of its request', (t) => {
  t.test('is held until the answer has ended', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const kept = new MemoryBudget(BUDGET_BYTES, 0)
    const memory = plans(budget, kept)
    await memory.reserve(4 * MIB)
    memory.shrinkTo(4 * MIB, 544 * 1024)
    t.equal(budget.reservedBytes, 8.5 * MIB)
    memory.shrinkToKept()
    t.equal(budget.reservedBytes, MIB / 2)
    t.equal(kept.reservedBytes, MIB / 2)
    memory.release()
    t.equal(budget.reservedBytes + kept.reservedBytes, 0)
  })
  t.test('is no more than half of the memory for one key', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const kept = new MemoryBudget(BUDGET_BYTES, 0)
    const hold = async (key: string): Promise<void> => {
      const memory = plans(budget, kept, key)
      await memory.reserve(2 * MIB)
      try {
        memory.shrinkTo(MIB, MIB)
        memory.shrinkToKept()
      } catch (error) {
        memory.release()
        throw error
      }
    }
    for (let streams = 0; streams < 11; streams++) await hold('greedy')
    await t.rejects(hold('greedy'), { code: 'GW_MEMORY_FULL', retryAfterS: 5 })
    await hold('modest')
    t.ok(budget.reservedBytes < 12 * MIB)
  })
  t.test('costs nothing where it is as much as usual', async (t) => {
    const budget = new MemoryBudget(BUDGET_BYTES, 10)
    const kept = new MemoryBudget(BUDGET_BYTES, 0)
    const streams = Array.from({ length: 300 }, () => plans(budget, kept))
    for (const memory of streams) {
      await memory.reserve(100_000)
      memory.shrinkTo(100_000, 22_000)
      memory.shrinkToKept()
    }
    t.equal(budget.reservedBytes, 0)
  })
  t.end()
})

t.test('a payload larger than its body is held in full, or refused', async (t) => {
  const budget = new MemoryBudget(BUDGET_BYTES, 10)
  using memory = makeMemory(budget)
  await memory.reserve(4 * MIB)
  memory.shrinkTo(9 * MIB)
  t.equal(budget.reservedBytes, 18 * MIB)
  t.throws(() => memory.shrinkTo(12 * MIB), { code: 'GW_MEMORY_FULL' })
  t.equal(budget.reservedBytes, 18 * MIB)
})

t.test('a turn that ends early waits no longer, and says why', async (t) => {
  const budget = new MemoryBudget(BUDGET_BYTES, 10)
  using other = makeMemory(budget)
  await other.reserve(11 * MIB)
  const turn = new AbortController()
  const inlineMaxBytes = INLINE_MAX_BYTES
  using memory = new BodyMemory({ ...REST, budget, inlineMaxBytes, signal: turn.signal })
  const waiting = t.rejects(memory.reserve(MIB), { code: 'GW_DRAINING' })
  turn.abort(new GatewayError('GW_DRAINING'))
  await waiting
  t.equal(budget.waiting, 0)
})

function makeMemory(budget: MemoryBudget, inlineMaxBytes = INLINE_MAX_BYTES): BodyMemory {
  return new BodyMemory({ ...REST, budget, inlineMaxBytes, signal })
}
