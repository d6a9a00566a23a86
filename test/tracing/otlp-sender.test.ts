import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { OtlpSender, type SendOutcome } from '../../src/tracing/otlp-sender.ts'

/** Sends a body to a collector that answers with `listener`. */
async function sendTo(
  t: Test,
  listener: RequestListener,
  { timeoutMs = 60_000, signal = new AbortController().signal } = {}
): Promise<SendOutcome> {
  const collector = createServer(listener).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const { port } = collector.address() as AddressInfo
  const sender = new OtlpSender({
    url: `http://127.0.0.1:${port}/v1/traces`,
    headers: {},
    contentType: 'application/json',
    timeoutMs
  })
  t.teardown(() => {
    sender.close()
    collector.closeAllConnections()
    collector.close()
  })
  return sender.send(Buffer.from('{}'), signal)
}

t.test('send()', async (t) => {
  t.test('tells what the collector has answered', async (t) => {
    const answers: readonly (readonly [number, Record<string, string>, SendOutcome])[] = [
      [200, {}, { type: 'taken' }],
      [400, {}, { type: 'refused', why: 'status 400' }],
      [503, {}, { type: 'later', why: 'status 503', afterMs: null }],
      [429, { 'retry-after': '2' }, { type: 'later', why: 'status 429', afterMs: 2_000 }],
      [429, { 'retry-after': '61' }, { type: 'later', why: 'status 429', afterMs: 60_000 }],
      [429, { 'retry-after': '-1' }, { type: 'later', why: 'status 429', afterMs: null }]
    ]
    for (const [status, headers, outcome] of answers) {
      t.same(await sendTo(t, (_, response) => response.writeHead(status, headers).end()), outcome)
    }
  })

  t.test('says that a collector did not answer in time', async (t) => {
    const outcome = await sendTo(t, () => {}, { timeoutMs: 50 })
    t.same(outcome, { type: 'later', why: 'no answer in time', afterMs: null })
  })

  t.test('says that it was given up', async (t) => {
    const outcome = await sendTo(t, () => {}, { signal: AbortSignal.abort() })
    t.same(outcome, { type: 'later', why: 'given up', afterMs: null })
  })

  t.test('has a code for a connection that was lost', async (t) => {
    const outcome = await sendTo(t, (request) => request.socket.destroy())
    t.same(outcome, { type: 'later', why: 'ECONNRESET', afterMs: null })
  })
})
