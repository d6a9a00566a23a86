import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const text = textFrame('hi')

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
const debugDir = mkdtempSync(join(tmpdir(), 'gateway-debug-'))
t.teardown(() => rmSync(debugDir, { recursive: true }))

const gateway = await startGateway({
  upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
  env: { WORKERS: '1', DEBUG_MODE: 'all', DEBUG_DIR: debugDir },
  envFile: { HEARTBEAT_INTERVAL: '240' } // longer than a busy machine takes for two attempts
})
t.teardown(() => gateway.destroy())

t.test('text and half a frame: the answer was cut', async (t) => {
  answer = (_request, response) => response.end(Buffer.concat([text, text.subarray(0, -7)]))
  const { status, text: body } = await startChat(gateway.url, 'x').answer
  t.equal(status, 200)
  t.match(body, '"content":"hi"')
  t.match(body, '"finish_reason":"length"')
  t.notMatch(body, '"error"')
  t.match(await gateway.logged(({ msg }) => msg === 'answer cut off in transit'), {
    code: 'GW_STREAM_TRUNCATED'
  })
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

    await gateway.reload({ HEARTBEAT_INTERVAL: '0.1' })
    const asked = Promise.withResolvers<ServerResponse>()
    answer = (_request, response) => asked.resolve(response)
    calls = 0
    const call = startChat(gateway.url, 'x')
    await call.firstBytes
    ;(await asked.promise).writeHead(500).end('{"message":"too late"}')
    const slow = await call.answer
    await gateway.reload({ HEARTBEAT_INTERVAL: '240' })
    t.equal(slow.status, 200)
    t.match(slow.text, ': ping')
    t.match(slow.text, 'too late')
    t.notMatch(slow.text, '[DONE]')
    t.equal(calls, 1)
  }
)

t.test(
  'a refusal that quotes the prompt leaves no word of it in log and debug files',
  async (t) => {
    const prompt = `it's my "secret" heliotrope ${'and more of it '.repeat(20)}`
    const place = 'conversationState.currentMessage.userInputMessage.content'
    const message = `1 validation error detected: Value '${prompt}' at '${place}' failed to satisfy constraint: Member must have length less than or equal to 10`
    const refusals: (typeof answer)[] = [
      (_request, response) => response.writeHead(400).end(JSON.stringify({ message })),
      (_request, response) => response.writeHead(400).end(`The text "${prompt}" was refused`),
      (_request, response) => {
        const exception = { ':message-type': 'exception', ':exception-type': 'ValidationException' }
        response.end(Buffer.concat([text, encodeFrame(exception, JSON.stringify({ message }))]))
      }
    ]
    for (const refusal of refusals) {
      answer = refusal
      const before = gateway.lines.length
      const refused = await startChat(gateway.url, prompt).answer
      t.notMatch(refused.text, 'heliotrope', 'nor does its client need to read it')
      await gateway.logged(({ event }) => event === 'request.completed', before)
    }
    const broken = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body: '{"messages": heliotrope'
    })
    t.equal(broken.status, 400)
    await gateway.stop() // the last debug file is written by then
    t.match(JSON.stringify(gateway.lines), place, 'the place is what helps')
    t.notMatch(JSON.stringify(gateway.lines), 'heliotrope')
    const files = readdirSync(debugDir)
    t.ok(files.length >= 4)
    for (const name of files) t.notMatch(readFileSync(join(debugDir, name), 'utf8'), 'heliotrope')
  }
)
