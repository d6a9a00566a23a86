import t from 'tap'
import { type HeapClaim, SharedHeap } from '../../src/transform/shared-heap.ts'
import { array, assert, boolean, integer, property, tuple } from '../helper/fast-check.ts'

const bodies = {}
const pdfs = {}
const claim = (lane: object, heapMb: number): HeapClaim => ({ lane, heapMb })

t.test('small bodies run beside a PDF, a large one waits for its end', async (t) => {
  const heap = new SharedHeap(53)
  let freed = 0
  heap.onFree(() => freed++)
  const pdf = claim(pdfs, 34)
  const small = claim(bodies, 19)
  const large = claim(bodies, 53)
  t.ok(heap.tryTake(pdf))
  t.ok(heap.tryTake(small))
  t.notOk(heap.tryTake(large))
  heap.release(small)
  t.notOk(heap.tryTake(large))
  heap.release(pdf)
  t.equal(freed, 2)
  t.ok(heap.tryTake(large))
})

t.test('who waits stands before later ones of the other lane, not of its own', async (t) => {
  const heap = new SharedHeap(53)
  const running = claim(bodies, 19)
  t.ok(heap.tryTake(running))
  const large = claim(bodies, 53)
  t.notOk(heap.tryTake(large))
  const next = claim(bodies, 19)
  t.ok(heap.tryTake(next))
  heap.release(next)
  const pdf = claim(pdfs, 34)
  t.notOk(heap.tryTake(pdf), 'although it would fit')
  heap.withdraw(large)
  heap.release(running)
  t.ok(heap.tryTake(pdf))
})

t.test('is never exceeded, and nobody waits for ever', async (t) => {
  const wish = tuple(boolean(), integer({ min: 1, max: 53 }))
  assert(
    property(array(wish, { maxLength: 40 }), (wishes) => {
      const heap = new SharedHeap(53)
      const waiting = wishes.map(([isPdf, heapMb]) => claim(isPdf ? pdfs : bodies, heapMb))
      for (let rounds = 0; waiting.length > 0; rounds++) {
        if (rounds > wishes.length) return false
        const taken = waiting.filter((one) => heap.tryTake(one))
        if (taken.reduce((sum, { heapMb }) => sum + heapMb, 0) > 53) return false
        for (const one of taken) {
          waiting.splice(waiting.indexOf(one), 1)
          heap.release(one)
        }
      }
      return true
    })
  )
  t.pass('any claims')
})
