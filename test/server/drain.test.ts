import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

/** More than the kernel takes for a client that reads nothing. */
const ANSWER_CHARS = 16_000_000

t.test('an answer that its client is still reading survives the drain', async (t) => {
  const { gateway, client } = await askForLargeAnswer(t, { DRAIN_TIMEOUT: '60' })
  const stopped = gateway.stop()
  await gateway.logged((line) => line['state'] === 'draining')
  let bytes = 0
  client.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength
  })
  t.equal(await stopped, 0)
  t.ok(bytes > ANSWER_CHARS, `${bytes} bytes`)
  const line = await gateway.logged((one) => one['route'] !== undefined)
  t.match(line, { status: 200, msg: 'request completed' })
})

t.test(
  'an answer that is never read ends with CLIENT_STALL_TIMEOUT',
  { skip: skipByDay },
  async (t) => {
    const { gateway } = await askForLargeAnswer(t, { CLIENT_STALL_TIMEOUT: '1' })
    const line = await gateway.logged((one) => one['code'] === 'GW_CLIENT_STALLED')
    t.match(line, { status: 499, stream: false })
    t.equal(await gateway.stop(), 0)
  }
)

t.test('a client that never reads does not hold up the end', { skip: skipByDay }, async (t) => {
  const { gateway } = await askForLargeAnswer(t, { DRAIN_TIMEOUT: '0.2' })
  t.equal(await gateway.stop(), 0)
})

interface Tap {
  teardown(close: () => unknown): void
}

/** Resolves when the answer has begun to arrive at a client that does not read it. */
async function askForLargeAnswer(
  t: Tap,
  env: Readonly<Record<string, string>>
): Promise<{ gateway: GatewayProcess; client: Socket }> {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: 'good-key', WORKERS: '1', MEMORY_LIMIT: '2G', ...env }
  })
  t.teardown(() => gateway.destroy())
  const client = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  client.on('error', () => {}) // the gateway may end before it has been read
  t.teardown(() => client.destroy())
  const content = `sim:events=1000 sim:size=${ANSWER_CHARS / 1000} sim:gap=0`
  const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content }] })
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'host: gateway',
    'authorization: Bearer good-key',
    `content-length: ${Buffer.byteLength(body)}`
  ]
  client.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  await once(client, 'readable')
  return { gateway, client }
}
