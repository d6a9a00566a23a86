import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

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
    env: { MEMORY_LIMIT: '512M', TRANSFORM_TIMEOUT: '60' } // CPU time, which a busy machine makes longer
  })
  t.teardown(() => gateway.destroy())

  /** As the SDKs do it: 503 says when to try again, and on a machine without a CPU to spare it may come to that. */
  const send = async (path: string, members: object, tries = 4): Promise<[number, string]> => {
    const body = JSON.stringify({ model: 'claude-haiku-4.5', max_tokens: 100, ...members })
    const response = await fetch(`${gateway.url}${path}`, { method: 'POST', body })
    const text = await response.text()
    const retryAfterS = response.headers.get('retry-after')
    if (response.status !== 503 || retryAfterS === null || tries <= 1)
      return [response.status, text]
    await sleep(Number(retryAfterS) * 1000)
    return send(path, members, tries - 1)
  }
  const post = async (path: string, megabytes: number): Promise<number> => {
    const content = 'lorem "ipsum" dolor\n'.repeat((megabytes * MEBIBYTE) / 20)
    const [status, text] = await send(path, { messages: [{ role: 'user', content }] })
    if (status >= 500) t.comment(status, text, gateway.lines.slice(-5))
    return status
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

  t.test('silent uploads of 11 MB hold up no other request', async (t) => {
    const silent = list(8, () => connect(Number(new URL(gateway.url).port), '127.0.0.1'))
    t.teardown(() => silent.map((socket) => socket.destroy()))
    for (const socket of silent) {
      socket.write(
        'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11000000\r\n\r\n{'
      )
      await once(socket, 'connect')
    }
    const calls = [0.001, 0.001, 1, 1].map((megabytes) => post('/v1/messages', megabytes))
    t.same(await Promise.all(calls), [200, 200, 200, 200])
    t.notOk(
      gateway.lines.some((line) => line['code'] === 'GW_BODY_TIMEOUT'),
      'which still wait'
    )
  })

  t.test('very many small parts are converted, and 413 when they are too many', async (t) => {
    const user = { role: 'user', content: 'hi' }
    const turns = (count: number) => ({
      messages: list(count, (index) => (index % 2 === 0 ? user : { ...user, role: 'assistant' }))
    })
    const names = (count: number) => ({
      messages: [user],
      metadata: Object.fromEntries(list(count, (index) => [`k${index}`, 1]))
    })
    for (const [path, make, many, tooMany] of [
      ['/v1/chat/completions', turns, 40_000, [60_000, 200_000]],
      ['/v1/messages', calls, 6_000, [13_000]],
      ['/v1/chat/completions', names, 300_000, [700_000]]
    ] as const) {
      t.equal((await send(path, make(many)))[0], 200, `${many} ${make.name}`)
      for (const count of tooMany) {
        const [status, answer] = await send(path, make(count))
        t.equal(status, 413, `${count} ${make.name}`)
        t.match(
          answer,
          /objects with \d+ members.*shorter conversation or fewer tools.*MEMORY_LIMIT/
        )
        if (path === '/v1/messages') t.match(answer, '"type":"request_too_large"')
      }
    }
    t.notOk(gateway.lines.some((line) => line['msg'] === 'worker died'))
  })
})

function calls(count: number) {
  return { messages: list(count, toolRound).flat() }
}

function toolRound(index: number): readonly object[] {
  const id = `c${index}`
  return [
    { role: 'assistant', content: [{ type: 'tool_use', id, name: 'f', input: { a: 1 } }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'r' }] }
  ]
}

function list<T>(count: number, make: (index: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}
