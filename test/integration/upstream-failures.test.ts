import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(180_000) // real processes, on a machine that may be busy

function event(type: string, payload: object): Uint8Array {
  const headers = { ':message-type': 'event', ':event-type': type }
  return encodeFrame(headers, JSON.stringify(payload))
}

const boom = encodeFrame(
  { ':message-type': 'exception', ':exception-type': 'InternalServerException' },
  JSON.stringify({ message: 'boom' })
)
const text = event('assistantResponseEvent', { content: 'hi' })

/** An upstream whose next answers are given by the test. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {}
let calls = 0
const upstream = createServer((request, response) => {
  request.resume().on('end', () => {
    if (!request.url?.startsWith('/generate')) {
      response.writeHead(404).end()
      return
    }
    calls += 1
    answer(request, response)
  })
})
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  upstream.close()
  upstream.closeAllConnections()
})
const gateway = await startGateway({
  upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
  env: { HEARTBEAT_INTERVAL: '0.1', WORKERS: '1' }
})
t.teardown(() => gateway.destroy())

t.test(
  'text and an exception in one chunk: the text reaches the client, then the error',
  async (t) => {
    answer = (_request, response) => response.end(Buffer.concat([text, boom]))
    calls = 0
    const { status, text: body } = await startChat(gateway.url, 'x').answer
    t.equal(status, 200)
    t.match(body, '"content":"hi"')
    t.match(body, '"message":"boom"')
    t.notMatch(body, '[DONE]')
    t.equal(calls, 1)
  }
)

t.test('text and a corrupt frame in one chunk', async (t) => {
  const corrupt = Buffer.from(text)
  corrupt[corrupt.length - 1] = (corrupt.at(-1) ?? 0) ^ 1
  answer = (_request, response) => response.end(Buffer.concat([text, corrupt]))
  const { status, text: body } = await startChat(gateway.url, 'x').answer
  t.equal(status, 200)
  t.match(body, '"content":"hi"')
  t.match(body, '"error"')
  t.notMatch(body, '[DONE]')
})

t.test(
  'a failure is retried until the client has got a byte, and a heartbeat is one',
  async (t) => {
    answer = (_request, response) => {
      if (calls === 1) response.writeHead(500).end('{"message":"try again"}')
      else response.end(text)
    }
    calls = 0
    const quick = await startChat(gateway.url, 'x').answer
    t.equal(quick.status, 200)
    t.match(quick.text, '[DONE]')
    t.equal(calls, 2)

    answer = (_request, response) => {
      setTimeout(() => response.writeHead(500).end('{"message":"too late"}'), 400)
    }
    calls = 0
    const slow = await startChat(gateway.url, 'x').answer
    t.equal(slow.status, 200)
    t.match(slow.text, ': ping')
    t.match(slow.text, 'too late')
    t.notMatch(slow.text, '[DONE]')
    t.equal(calls, 1)
  }
)
