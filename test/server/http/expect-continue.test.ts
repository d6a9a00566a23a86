import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

const BODY = JSON.stringify({
  model: 'auto',
  max_tokens: 9,
  messages: [{ role: 'user', content: 'hi' }]
})

/** A worker, and a client that writes what it likes. */
async function setUp(t: Test) {
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
    response.end(Buffer.concat([textFrame('hello'), endFrame]))
  })
  const primary = await FakePrimary.start(t, upstream.url, { env: { MAX_BODY_BYTES: '1M' } })
  const open = async (path: string, headers: Readonly<Record<string, string | number>>) => {
    const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    let text = ''
    const news = new Set<() => void>()
    const look = (): void => news.forEach((one) => one())
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      look()
    })
    const ended = once(socket, 'end')
    await once(socket, 'connect')
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n`
    socket.write(`${head}content-type: application/json\r\n${lines.join('')}\r\n`)
    const until = (pattern: RegExp): Promise<string> =>
      new Promise((resolve) => {
        const check = (): void => {
          if (pattern.test(text)) resolve(text)
        }
        news.add(check)
        check()
      })
    return { socket, until, ended, text: () => text }
  }
  return { open }
}

const ROUTES = ['/v1/messages', '/v1/chat/completions', '/v1/messages/count_tokens', '/v1/lint']

t.test('a client without a key is refused before it is asked for its body', async (t) => {
  const { open } = await setUp(t)
  for (const path of ROUTES) {
    for (const headers of [{}, { 'x-api-key': 'wrong' }]) {
      const began = performance.now()
      const call = await open(path, { ...headers, 'content-length': 500_000 })
      await call.ended
      t.match(call.text(), /^HTTP\/1\.1 401 /, path)
      t.match(call.text(), /connection: close/i)
      t.ok(performance.now() - began < 5_000, 'and nothing more is waited for')
    }
  }
})

t.test('nor is one that asks for what cannot be', async (t) => {
  const { open } = await setUp(t)
  const key = { 'x-api-key': 'good-key' }
  for (const [path, headers, status] of [
    ['/v1/messages', { 'content-length': 50_000_000 }, 413],
    ['/v1/messages', { 'content-length': 9, 'content-encoding': 'gzip' }, 415],
    ['/v1/nothing', { 'content-length': 9 }, 404]
  ] as const) {
    const call = await open(path, { ...key, ...headers })
    await call.ended
    t.match(call.text(), new RegExp(`^HTTP/1\\.1 ${status} `), path)
  }
})

t.test('a client with a key is asked for its body once, and answered', async (t) => {
  const { open } = await setUp(t)
  for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
    for (const length of [{ 'content-length': BODY.length }, { 'transfer-encoding': 'chunked' }]) {
      const call = await open(path, { 'x-api-key': 'good-key', ...length })
      t.equal(await call.until(/\r\n\r\n/), 'HTTP/1.1 100 Continue\r\n\r\n')
      const isChunked = 'transfer-encoding' in length
      const chunk = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
      call.socket.write(isChunked ? chunk : BODY)
      const text = await call.until(/hello|input_tokens/)
      t.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
      t.equal(text.match(/100 Continue/g)?.length, 1)
    }
  }
})

t.test('a client that does not wait is served, or refused, all the same', async (t) => {
  const { open } = await setUp(t)
  for (const [key, status] of [
    ['good-key', 200],
    ['wrong', 401]
  ] as const) {
    const call = await open('/v1/messages', { 'x-api-key': key, 'content-length': BODY.length })
    call.socket.write(BODY)
    t.match(await call.until(/hello|error/), new RegExp(`HTTP/1\\.1 ${status} `))
  }
})
