import type { RequestListener } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { trace } from '@opentelemetry/api'
import { TracerProvider } from '@opentelemetry/sdk-trace'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { MAX_SPANS, SpanSender } from '../../src/tracing/span-sender.ts'
import { OtlpReceiver } from '../helper/otlp-receiver.ts'

interface RigOptions {
  readonly answer?: RequestListener
  readonly endpoint?: string
  readonly timeoutMs?: number
}

/** A sender, a collector that answers as the test says, and what is counted and logged. */
async function rig(t: Test, { answer, endpoint, timeoutMs = 10_000 }: RigOptions = {}) {
  const otlp = await new OtlpReceiver().start(t)
  otlp.answer = answer ?? null
  const loaded = loadConfig({ OTEL_EXPORTER_OTLP_TIMEOUT: String(timeoutMs) }, [])
  if (loaded.name !== 'config') throw new Error('there are no settings')
  const counts = { sent: 0, full: 0, refused: 0, closed: 0 }
  const told: string[] = []
  const sender = new SpanSender({
    settings: loaded.config.traces,
    endpoint: endpoint ?? otlp.url,
    log: {
      warn: ({ why }: { why?: string }) => told.push(`trouble: ${why}`),
      info: () => told.push('mended')
    },
    metrics: {
      spansSent: { inc: (count: number) => (counts.sent += count) },
      spansDropped: {
        inc: ({ reason }: { reason: keyof typeof counts }, count: number) =>
          (counts[reason] += count)
      }
    }
  } as unknown as ConstructorParameters<typeof SpanSender>[0])
  const tracer = new TracerProvider({ spanProcessors: [sender] }).getTracer('test')
  const add = (count: number) => {
    for (let i = 0; i < count; i++) tracer.startSpan('one', { attributes: { i } }).end()
  }
  t.teardown(() => sender.shutdown())
  return { otlp, sender, add, counts, told }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(5)
}

t.test('a full batch goes at once, on one connection, and is counted', async (t) => {
  const { otlp, sender, add, counts, told } = await rig(t)
  add(300)
  await until(() => counts.sent >= 128)
  await sender.shutdown()
  t.same(counts, { sent: 300, full: 0, refused: 0, closed: 0 })
  t.equal(otlp.spans.length, 300)
  t.equal(otlp.maxConnections, 1)
  t.same(otlp.problems, [])
  t.same(told, [])
  add(3)
  t.equal(counts.closed, 3, 'later ones are counted, too')
})

t.test(
  'spans are bounded while the collector is silent, and the end waits for a second',
  async (t) => {
    const { sender, add, counts } = await rig(t, { answer: () => {} })
    add(MAX_SPANS + 50)
    t.equal(counts.full, 50)
    const from = performance.now()
    await sender.shutdown()
    t.ok(performance.now() - from < 5_000)
    t.same(counts, { sent: 0, full: 50, refused: 0, closed: MAX_SPANS })
  }
)

t.test('spans are sent again when the collector cannot take them now', async (t) => {
  let requests = 0
  const { add, counts, told, otlp } = await rig(t, {
    answer: (request, response) => {
      requests += 1
      otlp.answer = null
      request.resume()
      response.writeHead(503, { 'retry-after': '0' }).end()
    }
  })
  add(128)
  await until(() => counts.sent > 0)
  t.equal(requests, 1)
  t.equal(otlp.spans.length, 128)
  t.same(told, [])
})

t.test('refused spans are dropped, and told of once until others are taken', async (t) => {
  const { add, counts, told, otlp } = await rig(t, {
    answer: (request, response) => void (request.resume(), response.writeHead(401).end('no'))
  })
  add(256)
  await until(() => counts.refused === 256)
  t.same(told, ['trouble: status 401'])
  otlp.answer = null
  add(128)
  await until(() => counts.sent === 128)
  t.same(told, ['trouble: status 401', 'mended'])
})

t.test('a collector that is gone is told of by its code', async (t) => {
  const { add, counts, told } = await rig(t, { endpoint: 'http://127.0.0.1:1', timeoutMs: 500 })
  add(128)
  await until(() => counts.refused === 128)
  t.same(told, ['trouble: ECONNREFUSED'])
})

t.test('nothing of it is registered for all', async (t) => {
  const { add } = await rig(t)
  add(1)
  t.equal(trace.getActiveSpan(), undefined)
  t.notOk(trace.getTracer('any').startSpan('one').isRecording())
})
