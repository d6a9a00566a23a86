import t from 'tap'
import {
  type HeapPlan,
  type MemoryPlan,
  MIN_MEMORY_BYTES,
  planMemory
} from '../../src/config/memory-plan.ts'
import { assert, integer, property } from '../helper/fast-check.ts'

const mebibyte = 1024 * 1024

function heapBytes({ oldSpaceMb, semiSpaceMb }: HeapPlan): number {
  return (oldSpaceMb + 3 * semiSpaceMb) * mebibyte
}

/** What a process and a thread take outside their heaps. */
const baseBytes = { process: 26 * mebibyte, thread: 6 * mebibyte }

/** Counted again from the parts, so that a wrong `usedBytes` is noticed. */
function sumOf(plan: MemoryPlan): number {
  const lanes = plan.smallLaneBytesPerWorker + plan.answerLaneBytesPerWorker
  const bodies = plan.bodyBytesPerWorker + lanes
  const heaps = heapBytes(plan.worker) + plan.threads * heapBytes(plan.thread)
  const base = baseBytes.process + (plan.threads + 1) * baseBytes.thread // one more for PDFs
  const primary = baseBytes.process + heapBytes(plan.primary)
  return plan.socketBytes + primary + plan.workers * (base + heaps + bodies)
}

t.test('planMemory()', (t) => {
  for (const [limitMb, workers] of [
    [256, 1],
    [512, 2],
    [1024, 2]
  ] as const) {
    t.test(`fits ${limitMb} MB with headroom`, async (t) => {
      const plan = planMemory(limitMb * mebibyte, { workers: 2, threads: 1 })
      t.equal(plan.workers, workers)
      t.equal(plan.threads, 1)
      t.equal(sumOf(plan), plan.usedBytes)
      t.ok(plan.usedBytes <= limitMb * mebibyte * (15 / 16), 'a sixteenth stays free')
      t.ok(plan.worker.oldSpaceMb >= 32 && plan.thread.oldSpaceMb >= 22)
      t.ok(plan.bodyBytesPerWorker >= 8 * mebibyte)
    })
  }

  t.test('never exceeds any limit, whatever is wished for', async () => {
    assert(
      property(
        integer({ min: MIN_MEMORY_BYTES, max: 64 * 1024 * mebibyte }),
        integer({ min: 1, max: 64 }),
        integer({ min: 1, max: 16 }),
        (limitBytes, workers, threads) => {
          const plan = planMemory(limitBytes, { workers, threads })
          return (
            sumOf(plan) === plan.usedBytes &&
            plan.usedBytes + plan.headroomBytes <= limitBytes &&
            plan.workers >= 1 &&
            plan.workers <= workers &&
            plan.threads >= 1 &&
            plan.threads <= threads &&
            plan.bodyBytesPerWorker >= 8 * mebibyte &&
            plan.worker.oldSpaceMb > 0
          )
        }
      )
    )
  })

  t.test('drops threads before workers', async (t) => {
    const plan = planMemory(512 * mebibyte, { workers: 2, threads: 8 })
    t.match(plan, { workers: 2, threads: 1 })
    t.match(planMemory(8192 * mebibyte, { workers: 2, threads: 8 }), { workers: 2, threads: 8 })
  })

  t.test('plans at the least memory and not below', async (t) => {
    t.equal(planMemory(MIN_MEMORY_BYTES, { workers: 2, threads: 1 }).workers, 1)
    t.throws(() => planMemory(MIN_MEMORY_BYTES - 1, { workers: 1, threads: 1 }), RangeError)
  })
  t.end()
})

t.test('traces have room of their own in every worker', async (t) => {
  const wishes = { workers: 2, threads: 1 }
  const plain = planMemory(512 * 1024 * 1024, wishes)
  const traced = planMemory(512 * 1024 * 1024, { ...wishes, isTracing: true })
  const mb = ({ oldSpaceMb, semiSpaceMb }: typeof plain.worker) => oldSpaceMb + 3 * semiSpaceMb
  const heaps = ({ worker, thread, primary, bodyBytesPerWorker: bodies }: typeof plain) =>
    mb(primary) + 2 * (mb(worker) + mb(thread) + bodies / 2 ** 20)
  const lessMb = heaps(plain) - heaps(traced)
  t.ok(lessMb >= 16 && lessMb <= 24, `${lessMb} MB less for all else`)
  t.equal(traced.workers, 2)
  t.ok(traced.usedBytes + traced.headroomBytes <= traced.limitBytes)
})

t.test('connections of clients have room among the sockets', async (t) => {
  const plan = planMemory(512 * mebibyte, { workers: 2, threads: 1 })
  t.ok(plan.connectionsPerWorker * plan.workers > 2_000, 'a few thousand')
  for (const limitMb of [224, 256, 512, 2048, 65_536]) {
    const { connectionsPerWorker, workers, socketBytes } = planMemory(limitMb * mebibyte, {
      workers: 4,
      threads: 1
    })
    t.ok(connectionsPerWorker >= 500, `${limitMb} MB: ${connectionsPerWorker}`)
    const idleBytes = connectionsPerWorker * workers * 11 * 1024
    t.ok(idleBytes <= socketBytes * 0.75, 'a quarter is left for what clients do not read')
  }
})

t.test('what PDFs unpack to has room beside all else, in every worker at once', async (t) => {
  for (const limitMb of [224, 256, 512, 1024, 2048, 65_536]) {
    const plan = planMemory(limitMb * mebibyte, { workers: 2, threads: 1 })
    const { limitBytes, usedBytes, pdfBufferBytes, workers } = plan
    const whole = usedBytes + workers * (pdfBufferBytes - baseBytes.thread) // which is part of the plan
    t.ok(whole <= limitBytes, `${limitMb} MB: ${whole / mebibyte}`)
    t.ok(pdfBufferBytes >= 20 * mebibyte, 'a book of a thousand pages can be read')
  }
})
