import t from 'tap'
import { askForTunnel } from '../../../src/upstream/proxy/handshake.ts'

const target = { host: 'a.test', port: 443 }
const me = { username: 'me', password: 'pä:ss' }
const OK = 'HTTP/1.1 200 Connection established\r\nvia: 1.1 x\r\n\r\n'

/** Feeds a text in slices; returns what came behind the handshake, or `null` while it is not complete. */
function feed(text: string, size: number, credentials: typeof me | null = null): Buffer | null {
  const tunnel = askForTunnel(target, credentials)
  tunnel.next()
  const bytes = Buffer.from(text, 'latin1')
  for (let at = 0; at < bytes.length; at += size) {
    const { done, value } = tunnel.next(bytes.subarray(at, at + size))
    if (done === true) return Buffer.concat([value, bytes.subarray(at + size)])
    if (value.length > 0) throw new Error('something is sent that was not asked for')
  }
  return null
}

/** An answer whose head has this many bytes. */
function pad(length: number): string {
  const frame = 'HTTP/1.1 200 OK\r\na: \r\n\r\n'
  return frame.replace('a: ', `a: ${'b'.repeat(length - frame.length)}`)
}

t.test('askForTunnel()', (t) => {
  t.test('asks for host and port, with credentials if there are any', async (t) => {
    t.equal(
      String(askForTunnel(target, null).next().value),
      'CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n'
    )
    const basic = Buffer.from('me:pä:ss').toString('base64')
    t.equal(
      String(askForTunnel({ host: '::1', port: 80 }, me).next().value),
      `CONNECT [::1]:80 HTTP/1.1\r\nhost: [::1]:80\r\nproxy-authorization: Basic ${basic}\r\n\r\n`
    )
  })

  t.test('opens with any 2xx, however the bytes are cut, and loses none behind', async (t) => {
    const rest = 'hello\r\n\r\nworld'
    for (const head of [
      OK,
      'HTTP/1.0 200\r\n\r\n',
      'HTTP/1.1 204 \r\ncontent-length: 10\r\ntransfer-encoding: chunked\r\n\r\n',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\n${OK}`
    ]) {
      const text = head + rest
      for (let size = 1; size <= text.length; size++) {
        t.same(feed(text, size), Buffer.from(rest), `${size}`)
      }
    }
  })

  t.test('waits for the whole head', async (t) => {
    for (let length = 1; length < OK.length; length++) {
      t.equal(feed(OK.slice(0, length), length), null)
    }
  })

  t.test('tells refusals apart', async (t) => {
    for (const [status, kind] of [
      [301, 'denied'],
      [400, 'denied'],
      [403, 'denied'],
      [405, 'denied'],
      [407, 'credentials-missing'],
      [429, 'denied'],
      [101, 'denied'],
      [500, 'unreachable'],
      [502, 'unreachable'],
      [504, 'unreachable']
    ] as const) {
      const text = `HTTP/1.1 ${status} Whatever\r\n\r\n<html>`
      for (const size of [1, 7, 1000]) {
        t.throws(() => feed(text, size), { code: kind, message: `HTTP ${status}` }, `${status}`)
      }
    }
    t.throws(() => feed('HTTP/1.1 407 No\r\n\r\n', 9, me), { code: 'credentials-refused' })
  })

  t.test('knows at the first wrong byte that it is no HTTP', async (t) => {
    for (const text of ['SSH-2.0-x', 'H', 'HTTP/2', '\x05\x00', '<html>', '\r\nHTTP/1.1 200 OK']) {
      const isStart = 'HTTP/1.'.startsWith(text)
      if (isStart) t.equal(feed(text, 1), null)
      else t.throws(() => feed(text, 1), { code: 'not-a-proxy' }, text)
    }
  })

  t.test('refuses a head without a proper status', async (t) => {
    for (const line of ['HTTP/1.1 20', 'HTTP/1.1 2000 OK', 'HTTP/1.1 999 OK', 'HTTP/1.x 200 OK']) {
      t.throws(() => feed(`${line}\r\n\r\n`, 5), { code: 'not-a-proxy' }, line)
    }
    t.throws(() => feed('HTTP/1.1 200 OK\n\r\n\r\n', 5), { code: 'not-a-proxy' })
  })

  t.test('takes heads up to 16 KB, interim ones included', async (t) => {
    for (const size of [1, 1000, 20_000]) {
      t.same(feed(pad(16_384), size), Buffer.alloc(0))
      t.throws(() => feed(pad(16_385), size), { code: 'not-a-proxy', message: /16384/ })
      t.throws(() => feed(pad(16_385).slice(0, 16_385), size), { code: 'not-a-proxy' })
      const interim = 'HTTP/1.1 100 Go on\r\n\r\n'
      t.same(feed(interim + pad(16_384 - interim.length), size), Buffer.alloc(0))
      t.throws(() => feed(interim.repeat(1000), size), { code: 'not-a-proxy' })
    }
    t.equal(feed(pad(100) + 'x'.repeat(50_000), 60_000)?.length, 50_000, 'the rest may be long')
  })
  t.end()
})
