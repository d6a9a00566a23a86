import { setFlagsFromString } from 'node:v8'
import t from 'tap'
import { TOO_LONG } from '../../src/shared/run-within.ts'
import { InlineLane } from '../../src/transform/inline-lane.ts'
import { SharedHeap } from '../../src/transform/shared-heap.ts'
import { type JobOptions, ThreadLane } from '../../src/transform/thread-lane.ts'
import type { ReadJob, ConvertJob } from '../../src/transform/transform-job.ts'
import { chatBody } from '../helper/agent-request.ts'
import { endlessPdf } from '../helper/endless-pdf.ts'
import { requestOptions } from '../helper/request-options.ts'

t.setTimeout(300_000)

const { signal } = new AbortController()
const owner = { key: 'one', signal }
const TERMS: JobOptions = { heapMb: 64, maxMs: 60_000 }

function makeInlineLane(): InlineLane {
  return new InlineLane({ isCrowded: () => false, haveThreadsRoom: () => true })
}

t.test('in a thread', async (t) => {
  t.test('a job that takes too long ends with its thread, and the next one is done', async (t) => {
    const lane = makeLane(t)
    await lane.run(quickJob(), TERMS, owner) // its thread has been started
    const ended = t.rejects(lane.run(endlessJob(), { ...TERMS, maxMs: 100 }, owner), {
      code: 'GW_TRANSFORM_TIMEOUT',
      status: 400,
      message: /TRANSFORM_TIMEOUT/
    })
    const next = lane.run(quickJob(), TERMS, owner)
    await ended
    t.match(await next, { type: 'converted' })
    t.equal(lane.running, 0)
  })

  t.test('a job whose client has left holds up nobody', async (t) => {
    const lane = makeLane(t)
    await lane.run(quickJob(), TERMS, owner)
    const leaving = new AbortController()
    const left = lane.run(endlessJob(), TERMS, { key: 'one', signal: leaving.signal })
    const next = lane.run(quickJob(), TERMS, { key: 'two', signal })
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    t.match(await next, { type: 'converted' })
  })

  t.test('a quick one whose client has left leaves its thread to the next', async (t) => {
    const lane = makeLane(t)
    await lane.run(quickJob(), TERMS, owner)
    const leaving = new AbortController()
    const left = lane.run(quickJob(), TERMS, { key: 'one', signal: leaving.signal })
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    await lane.whenIdle()
    t.match(await lane.run(quickJob(), TERMS, owner), { type: 'converted' })
  })
})

t.test('a thread has the heap that is planned for it, not that of its process', async (t) => {
  setFlagsFromString('--max-old-space-size=200')
  const lane = makeLane(t)
  const limits = new Set<number>()
  const isTooMuch: JobOptions['isTooMuch'] = async ({ threads: [thread] }) => {
    const statistics = await thread?.getHeapStatistics().catch(() => null)
    limits.add((statistics?.heap_size_limit ?? 0) / 2 ** 20)
    return limits.has(64 + 3 * 4)
  }
  await t.rejects(lane.run(endlessJob(), { ...TERMS, isTooMuch }, owner), {
    code: 'GW_TRANSFORM_TIMEOUT'
  })
})

function fail(): never {
  throw new RangeError('no')
}

t.test('on the event loop', async (t) => {
  t.test('one job that takes too long is given up', async (t) => {
    const lane = makeInlineLane()
    t.equal(await lane.run(forever, 100_000, owner), TOO_LONG)
    t.notOk(lane.mayTake(100_000, 'one'), 'and is held against its key')
    t.ok(lane.mayTake(10_000, 'one'), 'though not for small ones')
    t.ok(lane.mayTake(100_000, 'two'))
  })

  t.test('eight heavy bodies do not hold the loop in one go', async (t) => {
    const lane = makeInlineLane()
    let running = 0
    let most = 0
    const job = (): void => {
      running++
      most = Math.max(most, running)
      burn(10)
    }
    const jobs = Array.from({ length: 8 }, () => lane.run(job, 100_000, owner))
    let turns = 0
    const count = (): void => {
      turns++
      running = 0
      if (turns < 1000) setImmediate(count)
    }
    setImmediate(count)
    await Promise.all(jobs)
    t.ok(most <= 2, `${most} in one turn of the loop`)
    t.ok(turns >= 4, `${turns} turns`)
  })

  t.test("another key's job has its turn before a greedy one's second", async (t) => {
    const lane = makeInlineLane()
    const order: string[] = []
    const run = (key: string, ms: number): Promise<unknown> =>
      lane.run(
        () => {
          order.push(key)
          burn(ms)
        },
        100,
        { key, signal }
      )
    const greedy = Array.from({ length: 5 }, () => run('greedy', 10))
    await Promise.all([...greedy, run('modest', 0)])
    t.same(order.slice(0, 3).includes('modest'), true, order.join())
  })

  t.test(
    'of those that would hold up new connections only so many go to a thread as it has room for',
    async (t) => {
      let isCrowded = false
      let moved = 0
      const lane = new InlineLane({
        isCrowded: () => isCrowded,
        haveThreadsRoom: () => moved < 4
      })
      const run = async (): Promise<void> => {
        if ((await lane.run(() => burn(3), 10_000, owner)) === TOO_LONG) moved += 1
      }
      for (let job = 0; job < 4; job++) await run()
      t.equal(moved, 0, 'while no connection waits')
      isCrowded = true
      await Promise.all(Array.from({ length: 20 }, run))
      t.equal(moved, 4)
    }
  )

  t.test('who leaves while waiting is forgotten, and errors come through', async (t) => {
    const lane = makeInlineLane()
    const leaving = new AbortController()
    const first = lane.run(() => burn(10), 100, owner)
    const left = lane.run(() => t.fail('it ran'), 100, { key: 'one', signal: leaving.signal })
    const failed = (async () => {
      while ((await lane.run(fail, 100_000, owner)) === TOO_LONG); // on a busy machine
    })()
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    await t.rejects(failed, { code: 'GW_TRANSFORM_FAILED', cause: new RangeError('no') })
    await first
  })
})

function makeLane(t: { teardown(tearDown: () => unknown): void }): ThreadLane {
  const lane = new ThreadLane({
    threads: 1,
    maxQueue: 4,
    heap: new SharedHeap(64),
    heapMb: 64,
    semiSpaceMb: 4,
    idleTimeoutMs: 10_000
  })
  t.teardown(() => lane.destroy(new Error('the test is over')))
  return lane
}

/** The reading of a PDF that nobody ends but who waits for it. */
function endlessJob(): ReadJob {
  return { type: 'pdf', body: endlessPdf() }
}

function quickJob(): ConvertJob {
  const body = chatBody({ bytes: 30_000, tools: 2 })
  return { type: 'convert', dialect: 'openai-chat', body, options: requestOptions() }
}

function forever(): never {
  for (;;) burn(1)
}

function burn(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}
