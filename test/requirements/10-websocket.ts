import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { responses } from './dialects.ts'
import { KEY, type Stand } from './stand.ts'

/** Codex asks for a WebSocket first: it is there, and where it is not 426 comes at once, and HTTP works. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const good = `authorization: Bearer ${KEY}\r\n`
  for (const [path, key, status] of [
    ['/v1/responses', good, 101],
    ['/v1/responses', '', 401],
    ['/v1/realtime', good, 426]
  ] as const) {
    t.test(`an upgrade of ${path} ${key === '' ? 'without' : 'with'} a key`, async (t) => {
      const socket = connect(Number(new URL(stand.url).port), '127.0.0.1')
      t.teardown(() => socket.destroy())
      const begunAt = performance.now()
      socket.write(
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
          'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
          `openai-beta: responses_websockets=2026-02-06\r\n${key}\r\n`
      )
      const [received] = await once(socket.setEncoding('utf8'), 'data')
      t.match(received, new RegExp(`^HTTP/1\\.1 ${status} `))
      t.ok(performance.now() - begunAt < 900, 'at once')
    })
  }

  t.test('without it, it goes on over HTTP', async (t) => {
    const { status, text } = await stand.call(responses.path, {
      body: responses.ask('hi', { stream: true })
    })
    t.equal(status, 200)
    t.match(responses.readStream(text).text, /simulator/)
  })
}
