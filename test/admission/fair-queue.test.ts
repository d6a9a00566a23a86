import t from 'tap'
import { FairQueue } from '../../src/admission/fair-queue.ts'
import {
  array,
  assert,
  constant,
  constantFrom,
  nat,
  oneof,
  property,
  tuple
} from '../helper/fast-check.ts'

function drain(queue: FairQueue, now = 1000): (number | null)[] {
  const order: (number | null)[] = []
  while (queue.size > 0) order.push(queue.shift(now++))
  return order
}

t.test('shift()', (t) => {
  t.test('with one key is first come, first served', (t) => {
    const queue = new FairQueue()
    for (const id of [1, 2, 3]) queue.push(id, 'a', id)
    t.same(drain(queue), [1, 2, 3])
    t.equal(queue.shift(0), null)
    t.end()
  })
  t.test('goes by arrival, not by the moment of asking', (t) => {
    const queue = new FairQueue()
    queue.push(1, 'a', 50)
    queue.push(2, 'a', 40)
    t.same(drain(queue), [2, 1])
    t.end()
  })
  t.test('gives every key its turn before a greedy one has a second', (t) => {
    const queue = new FairQueue()
    for (const id of [1, 2, 3, 4]) queue.push(id, 'greedy', id)
    queue.push(10, 'b', 10)
    queue.push(11, 'c', 11)
    queue.push(12, 'c', 12)
    t.same(drain(queue), [1, 10, 11, 2, 12, 3, 4])
    t.end()
  })
  t.test('a stream of new keys does not starve an old one', (t) => {
    const queue = new FairQueue()
    queue.push(0, 'old', 0)
    queue.push(1, 'old', 0)
    const order: (number | null)[] = []
    for (let id = 2; id < 8; id += 1) {
      queue.push(id, `new ${id}`, 100 + id)
      order.push(queue.shift(100 + id))
    }
    t.ok(order.slice(0, 3).includes(1))
    t.end()
  })
  t.end()
})

t.test('heads() foretells the order of service', (t) => {
  const request = tuple(constantFrom('a', 'b', 'c'), nat(50))
  assert(
    property(array(request, { maxLength: 30 }), (requests) => {
      const queue = new FairQueue()
      for (const [id, [key, at]] of requests.entries()) queue.push(id, key, at)
      const told = queue.heads(30).map(({ key, at }) => `${key} ${at}`)
      const served = drain(queue).map((id) => requests[id ?? -1]?.join(' '))
      if (told.join() !== served.join()) throw new Error(`${told.join()} but ${served.join()}`)
    })
  )
  t.end()
})

t.test('noteServed() sends a key to the back of the ring', (t) => {
  const queue = new FairQueue()
  queue.push(1, 'a', 1)
  queue.push(2, 'b', 2)
  queue.noteServed('a', 10)
  t.equal(queue.servedAt('a'), 10)
  t.same(queue.peek(), { key: 'b', at: 2, served: 0 })
  queue.noteServed('unknown', 10)
  t.equal(queue.servedAt('unknown'), 0)
  t.end()
})

t.test('too many waiters', (t) => {
  t.test('cost the youngest of the key with most of them', (t) => {
    const queue = new FairQueue()
    t.equal(queue.popExcess(), null)
    for (const id of [1, 2]) queue.push(id, 'a', id)
    queue.push(3, 'b', 3)
    t.equal(queue.popExcess(), 2)
    t.same(drain(queue), [1, 3])
    t.end()
  })
  t.test('make room for a key that would still have fewer', (t) => {
    const queue = new FairQueue()
    t.equal(queue.evictionFor('b'), null)
    for (const id of [1, 2]) queue.push(id, 'a', id)
    t.equal(queue.evictionFor('a'), null)
    t.equal(queue.evictionFor('b'), 2)
    queue.push(3, 'b', 3)
    t.equal(queue.evictionFor('b'), null)
    t.end()
  })
  t.end()
})

t.test('any order of pushes, removals and turns loses nobody', (t) => {
  const push = tuple(constant('push'), constantFrom('a', 'b', 'c'), nat(50))
  const step = oneof(
    push,
    tuple(constant('remove'), constant(''), nat(40)),
    tuple(constant('shift'), constant(''), nat(0))
  )
  assert(
    property(array(step, { maxLength: 60 }), (steps) => {
      const queue = new FairQueue()
      const waiting = new Map<number, { key: string; at: number }>()
      for (const [id, [what, key, n]] of steps.entries()) {
        if (what === 'push') {
          queue.push(id, key, n)
          waiting.set(id, { key, at: n })
        } else if (what === 'remove') {
          if (queue.remove(n) !== waiting.delete(n)) throw new Error(`remove ${n}`)
        } else {
          const served = queue.shift(100 + id) ?? -1
          const of = waiting.get(served)
          waiting.delete(served)
          for (const other of waiting.values())
            if (of !== undefined && other.key === of.key && other.at < of.at)
              throw new Error('not first')
        }
        const oldest = Math.min(...[...waiting.values()].map(({ at }) => at))
        if (queue.size !== waiting.size || (queue.oldest?.at ?? Infinity) !== oldest)
          throw new Error(
            `${queue.size} of ${waiting.size}, oldest ${queue.oldest?.at} of ${oldest}`
          )
      }
    }),
    { numRuns: 500 }
  )
  t.end()
})
