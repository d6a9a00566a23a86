import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(180_000) // real processes, on a machine that may be busy

const MEBIBYTE = 2 ** 20
const answer = encodeFrame(
  { ':message-type': 'event', ':event-type': 'assistantResponseEvent' },
  JSON.stringify({ content: 'read' })
)

t.test('in the memory of a container of 512 MiB', async (t) => {
  const received: number[] = []
  const upstream = createServer((request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
    })
    request.on('end', () => {
      if (request.url?.startsWith('/generate')) received.push(bytes)
      response.end(answer)
    })
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    upstream.close()
    upstream.closeAllConnections()
  })
  const gateway = await startGateway({
    upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    env: { MEMORY_LIMIT: '512M' }
  })
  t.teardown(() => gateway.destroy())

  const post = async (path: string, megabytes: number): Promise<number> => {
    const content = 'lorem "ipsum" dolor\n'.repeat((megabytes * MEBIBYTE) / 20)
    const body = JSON.stringify({
      model: 'claude-sonnet-4.5',
      max_tokens: 100,
      messages: [{ role: 'user', content }]
    })
    const response = await fetch(`${gateway.url}${path}`, { method: 'POST', body })
    await response.text()
    return response.status
  }

  t.test('conversations of 5 MB are converted, several at once', async (t) => {
    const paths = ['/v1/chat/completions', '/v1/messages']
    const calls = Array.from({ length: 8 }, (_, index) => post(paths[index % 2] ?? '', 5))
    t.same(await Promise.all(calls), Array(8).fill(200))
    t.equal(received.length, 8)
    t.ok(received.every((bytes) => bytes > 5 * MEBIBYTE))
  })

  t.test('what can never fit is refused, and no worker dies of it', async (t) => {
    t.equal(await post('/v1/messages', 30), 413)
    t.equal(await post('/v1/messages', 1), 200)
    t.notOk(gateway.lines.some((line) => line['msg'] === 'worker died'))
  })
})
