import t from 'tap'
import { CostQueue } from '../../src/admission/fair-queue.ts'
import { array, assert, constantFrom, integer, property, tuple } from '../helper/fast-check.ts'

/** Serves all, one after the other; every job costs what its key's do. */
function serve(queue: CostQueue, keys: string, costs: Record<string, number>): string {
  const order: string[] = []
  for (let id = queue.shift(); id !== null; id = queue.shift()) {
    const key = keys[id] ?? ''
    order.push(key)
    queue.charge(key, costs[key] ?? 0)
  }
  return order.join('')
}

function queueOf(keys: string | readonly string[]): CostQueue {
  const queue = new CostQueue()
  Array.from(keys).forEach((key, id) => queue.push(id, key))
  return queue
}

t.test('keys have as much as each other, not as many', async (t) => {
  const keys = 'aaaabbbbbbbb'
  t.equal(serve(queueOf(keys), keys, { a: 30, b: 10 }), 'abbbabbbabba')
})

t.test('with one key it is a plain queue', async (t) => {
  const queue = queueOf('aaa')
  t.same([queue.shift(), queue.shift(), queue.shift(), queue.shift()], [0, 1, 2, null])
})

t.test('what a key has cost is remembered while it does not wait', async (t) => {
  const queue = queueOf('abb')
  t.equal(queue.shift(), 0)
  queue.charge('a', 1000)
  queue.push(3, 'a')
  t.same([queue.shift(), queue.shift(), queue.shift()], [1, 2, 3])
})

t.test('and forgotten once nobody waits', async (t) => {
  const queue = queueOf('a')
  t.equal(queue.shift(), 0)
  queue.charge('a', 1000)
  queue.push(1, 'a')
  queue.push(2, 'b')
  t.same([queue.shift(), queue.shift()], [1, 2])
})

t.test('a key that comes later does not make up for the time before', async (t) => {
  const queue = queueOf('aaaa')
  for (let served = 0; served < 2; served++) {
    queue.shift()
    queue.charge('a', 100)
  }
  for (const id of [10, 11, 12]) queue.push(id, 'late')
  const order: (number | null)[] = []
  for (let next = queue.shift(); next !== null; next = queue.shift()) {
    order.push(next)
    queue.charge(next < 10 ? 'a' : 'late', 100)
  }
  t.ok(order.indexOf(2) <= 2, order.join())
})

t.test('who left is not served', async (t) => {
  const queue = queueOf('ab')
  t.equal(queue.remove(0), true)
  t.equal(queue.remove(0), false)
  t.equal(queue.size, 1)
  t.equal(queue.shift(), 1)
})

t.test('serves everybody once, however dear', async (t) => {
  const job = tuple(constantFrom('a', 'b', 'c'), integer({ min: 0, max: 5000 }))
  assert(
    property(array(job, { maxLength: 40 }), (jobs) => {
      const queue = queueOf(jobs.map(([key]) => key))
      const served = new Set<number>()
      for (let id = queue.shift(); id !== null; id = queue.shift()) {
        served.add(id)
        const [key = '', cost = 0] = jobs[id] ?? []
        queue.charge(key, cost)
      }
      return served.size === jobs.length && queue.size === 0
    })
  )
  t.pass('any jobs')
})
