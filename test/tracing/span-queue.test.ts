import { trace } from '@opentelemetry/api'
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer'
import { TracerProvider } from '@opentelemetry/sdk-trace'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { SendOutcome } from '../../src/tracing/otlp-sender.ts'
import { type QUEUE_LIMITS, SpanQueue } from '../../src/tracing/span-queue.ts'

type Limits = Partial<typeof QUEUE_LIMITS>

/** A queue whose endpoint answers what the test says, in order and then over and over the last. */
function rig(t: Test, limits: Limits, answers: readonly (SendOutcome | 'never')[] = []) {
  const sent: number[] = []
  const told: string[] = []
  const dropped: Record<string, number> = {}
  let last: SendOutcome | 'never' = { type: 'taken' }
  const rest = [...answers]
  const queue = new SpanQueue({
    limits: { delayMs: 1, retryMs: 1, maxRetryMs: 4, ...limits },
    toBody: (spans) => {
      sent.push(spans.length)
      return JsonTraceSerializer.serializeRequest([...spans]) ?? new Uint8Array()
    },
    send: async (_body, signal) => {
      last = rest.shift() ?? last
      if (last !== 'never') return last
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      return { type: 'later', why: 'given up', afterMs: null }
    },
    onSent: (count) => told.push(`sent ${count}`),
    onDropped: (count, why) => {
      dropped[why] = (dropped[why] ?? 0) + count
    },
    onTrouble: (why) => told.push(`trouble: ${why}`),
    onMended: () => told.push('mended')
  })
  const tracer = new TracerProvider({ spanProcessors: [queue] }).getTracer('test')
  const add = (count: number, text = '') => {
    for (let i = 0; i < count; i++) tracer.startSpan('one', { attributes: { text, i } }).end()
  }
  t.teardown(() => queue.shutdown())
  return { queue, add, sent, told, dropped }
}

const LATER: SendOutcome = { type: 'later', why: 'status 503', afterMs: null }

t.test(
  'an endpoint that wants the same spans again at once is not asked without a pause',
  async (t) => {
    const answers: SendOutcome[] = [{ type: 'later', why: 'status 503', afterMs: 0 }]
    const { add, sent } = rig(t, { retryMs: 60_000, maxRetryMs: 60_000 }, answers)
    add(1)
    while (sent.length === 0) await delay(1)
    await delay(100)
    t.same(sent, [1])
  }
)

t.test('spans go together, and a full batch goes at once', async (t) => {
  const { queue, add, sent, told } = rig(t, { maxBatch: 10, delayMs: 60_000 })
  add(9)
  t.same(sent, [], 'they wait for others')
  add(1)
  while (queue.size > 0) await new Promise((resolve) => setTimeout(resolve, 1))
  t.same(sent, [10])
  add(25)
  await queue.forceFlush()
  t.same(
    sent.slice(1).reduce((sum, count) => sum + count, 0),
    25
  )
  t.ok(Math.max(...sent) <= 10)
  t.equal(queue.bytes, 0)
  t.same(
    told.filter((word) => word.startsWith('trouble')),
    []
  )
})

t.test(
  'where the endpoint takes none, they are bounded in number, and warned of once',
  async (t) => {
    const { queue, add, told, dropped } = rig(t, { maxSpans: 50, closeMs: 5 }, [LATER])
    add(500)
    t.equal(queue.size, 50)
    t.same(dropped, { full: 450 })
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.same(told, ['trouble: too many wait'])
    await queue.shutdown()
    t.same(dropped, { full: 450, closed: 50 })
    t.equal(queue.bytes, 0)
    add(3)
    t.same(dropped, { full: 450, closed: 53 })
  }
)

t.test('and in bytes', async (t) => {
  const { queue, add, dropped } = rig(t, { maxBytes: 100_000, closeMs: 5 }, ['never'])
  add(1000, 'x'.repeat(1000))
  t.ok(queue.bytes <= 100_000 && queue.bytes > 90_000, `${queue.bytes}`)
  t.equal(queue.size + (dropped['full'] ?? 0), 1000)
})

t.test('what weighs a span is not less than it takes', async (t) => {
  const { queue, add } = rig(t, { maxSpans: 1e6, maxBytes: Infinity, delayMs: 1e6, closeMs: 1 })
  const gc = globalThis.gc
  if (gc === undefined) return t.comment('without --expose-gc the heap is not looked at')
  gc()
  const before = process.memoryUsage().heapUsed
  add(2000, 'a text of some length')
  gc()
  const took = process.memoryUsage().heapUsed - before
  t.ok(took < queue.bytes * 1.1, `${took} bytes taken, ${queue.bytes} counted`)
  return undefined
})

t.test('they are sent again until they are taken', async (t) => {
  const { queue, add, sent, told, dropped } = rig(t, {}, [LATER, LATER, { type: 'taken' }])
  add(5)
  while (queue.size > 0) await new Promise((resolve) => setTimeout(resolve, 1))
  t.same(sent, [5, 5, 5])
  t.same(told, ['trouble: status 503', 'sent 5', 'mended'])
  t.same(dropped, {})
})

t.test('what is refused is dropped, and told of once', async (t) => {
  const refused: SendOutcome = { type: 'refused', why: 'status 400' }
  const { queue, add, told, dropped } = rig(t, { maxBatch: 5 }, [
    refused,
    refused,
    { type: 'taken' }
  ])
  add(15)
  while (queue.size > 0) await new Promise((resolve) => setTimeout(resolve, 1))
  t.same(told, ['trouble: status 400', 'sent 5', 'mended'])
  t.same(dropped, { refused: 10 })
})

t.test(
  'spans that cannot be written are dropped, and nobody hears of it but the log',
  async (t) => {
    const told: string[] = []
    const queue = new SpanQueue({
      limits: { delayMs: 1 },
      toBody: () => {
        throw new Error('a bug of a library')
      },
      send: async () => ({ type: 'taken' }),
      onSent: () => {},
      onDropped: (count, why) => told.push(`${why} ${count}`),
      onTrouble: (why) => told.push(why),
      onMended: () => {}
    })
    t.teardown(() => queue.shutdown())
    new TracerProvider({ spanProcessors: [queue] }).getTracer('test').startSpan('one').end()
    while (queue.size > 0) await new Promise((resolve) => setTimeout(resolve, 1))
    t.same(told, ['refused 1', 'the spans cannot be written'])
  }
)

t.test('the end waits no longer than it may', async (t) => {
  const { queue, add, dropped } = rig(t, { closeMs: 20, delayMs: 60_000 }, ['never'])
  add(7)
  const from = performance.now()
  await queue.shutdown()
  await queue.shutdown()
  t.ok(performance.now() - from < 5000)
  t.same(dropped, { closed: 7 })
})

t.test('nothing of it is registered for all', async (t) => {
  t.equal(trace.getActiveSpan(), undefined)
  t.equal(trace.getTracer('x').startSpan('x').isRecording(), false)
})
