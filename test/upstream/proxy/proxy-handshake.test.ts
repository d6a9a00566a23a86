import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import {
  type ProxyHandshake,
  ProxyRefusal,
  shakeHands
} from '../../../src/upstream/proxy/handshake.ts'
import { serverUrl } from '../../helper/server-url.ts'

const never = new AbortController().signal

/** Answers each `?` with `!`; a `.` opens, an `x` refuses. */
function* questions(): ProxyHandshake {
  let sent = Buffer.from('hello')
  for (;;) {
    const chunk = yield sent
    if (chunk[0] === 0x78) throw new ProxyRefusal('denied', 'x')
    const end = chunk.indexOf('.')
    if (end !== -1) return chunk.subarray(end + 1)
    sent = Buffer.from(chunk[0] === 0x3f ? '!' : '')
  }
}

async function connected(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer()
  const { port } = await serverUrl(server)
  const accepted = once(server, 'connection') as Promise<Socket[]>
  const socket = connect(Number(port), '127.0.0.1')
  const [peer] = await accepted
  if (peer === undefined) throw new Error('nobody came')
  if (socket.connecting) await once(socket, 'connect')
  socket.on('error', () => {})
  peer.on('error', () => {})
  t.teardown(() => {
    socket.destroy()
    peer.destroy()
    server.close()
  })
  return [socket, peer]
}

async function said(peer: Socket): Promise<string> {
  const [chunk] = (await once(peer, 'data')) as [Buffer]
  return chunk.toString()
}

function listenersOf(socket: Socket): readonly number[] {
  return ['readable', 'end', 'error', 'close'].map((event) => socket.listenerCount(event))
}

t.test('shakeHands()', (t) => {
  t.test('sends what the handshake says and leaves what follows to the next reader', async (t) => {
    const [socket, peer] = await connected(t)
    const before = listenersOf(socket)
    const done = shakeHands(socket, questions(), never)
    t.equal(await said(peer), 'hello')
    peer.write('?')
    t.equal(await said(peer), '!')
    peer.write('ok.rest')
    await done
    t.same(listenersOf(socket), before)
    peer.write(' and more')
    let text = ''
    for await (const chunk of socket) {
      text += String(chunk)
      if (text === 'rest and more') break
    }
    t.equal(text, 'rest and more')
  })

  t.test('rejects with the refusal and stops reading', async (t) => {
    const [socket, peer] = await connected(t)
    const done = shakeHands(socket, questions(), never)
    peer.write('x')
    await t.rejects(done, { code: 'denied' })
    t.equal(socket.listenerCount('readable'), 0)
  })

  t.test('rejects when the peer ends, resets, or has left before', async (t) => {
    for (const verb of ['end', 'resetAndDestroy', 'destroy'] as const) {
      const [socket, peer] = await connected(t)
      const done = shakeHands(socket, questions(), never)
      peer[verb]()
      await t.rejects(done, { code: 'ECONNRESET' }, verb)
    }
    const [socket] = await connected(t)
    socket.destroy()
    await t.rejects(shakeHands(socket, questions(), never), { code: 'ECONNRESET' })
  })

  t.test('rejects with the reason of the signal, also of one that has fired', async (t) => {
    const [socket] = await connected(t)
    const abort = new AbortController()
    const done = shakeHands(socket, questions(), abort.signal)
    abort.abort(new Error('enough'))
    await t.rejects(done, { message: 'enough' })
    await t.rejects(shakeHands(socket, questions(), abort.signal), { message: 'enough' })
    t.equal(socket.listenerCount('readable'), 0)
  })
  t.end()
})
