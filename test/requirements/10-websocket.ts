import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { responses } from './dialects.ts'
import { KEY, type Stand } from './stand.ts'

/** Codex asks for a WebSocket first: 426, at once, and the same request over HTTP works. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const key of [`authorization: Bearer ${KEY}\r\n`, '']) {
    t.test(`an upgrade ${key === '' ? 'without' : 'with'} a key`, async (t) => {
      const socket = connect(Number(new URL(stand.url).port), '127.0.0.1')
      t.teardown(() => socket.destroy())
      let received = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
      const begunAt = performance.now()
      socket.write(
        'GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
          'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
          `openai-beta: responses_websockets=2026-02-06\r\n${key}\r\n`
      )
      await once(socket, 'close')
      t.match(received, /^HTTP\/1\.1 426 /)
      t.ok(performance.now() - begunAt < 900, 'at once')
    })
  }

  t.test('then it goes on over HTTP', async (t) => {
    const { status, text } = await stand.call(responses.path, {
      body: responses.ask('hi', { stream: true })
    })
    t.equal(status, 200)
    t.match(responses.readStream(text).text, /simulator/)
  })
}
