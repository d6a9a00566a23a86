import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  cutOffBehind,
  holdListening,
  PausableRequest,
  stopAtUpgrades,
  takeChunks
} from '../../../src/server/body/node-insides.ts'

const MEBIBYTE = 1024 * 1024

async function listening(t: Test, server: Server): Promise<Socket> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1').on('error', () => {})
  t.teardown(() => client.destroy())
  await once(client, 'connect')
  return client
}

t.test('a server has its socket before it listens', async (t) => {
  const server = createNetServer()
  const held = Promise.withResolvers<() => void>()
  t.ok(holdListening(server, held.resolve))
  server.listen(0, '127.0.0.1')
  const begin = await held.promise
  t.equal(server.listening, false)
  begin()
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  client.destroy()
  accepted.destroy()
  server.close()
})

t.test('nothing is parsed behind a request that is cut off, not even its body', async (t) => {
  const seen: IncomingMessage[] = []
  let made = 0
  class Request extends PausableRequest {
    constructor(socket: Socket) {
      super(socket)
      made += 1
      if (made === 2) cutOffBehind(this)
    }
    protected override onChunk(chunk: Buffer): boolean {
      return this.pass(chunk)
    }
    protected override onWanted(): boolean {
      return true
    }
    protected override onLast(): void {}
  }
  const server = createServer(
    { IncomingMessage: Request, shouldUpgradeCallback: () => false },
    (request) => seen.push(request)
  )
  const detached = once(server, 'upgrade')
  const stops: boolean[] = []
  const sockets: Socket[] = []
  server.on('connection', (socket) => {
    stops.push(stopAtUpgrades(socket))
    sockets.push(socket)
  })
  const client = await listening(t, server)
  const request = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody'
  client.write(request.repeat(1_000))
  const [cut, socket] = await detached
  t.same(stops, [true])
  t.equal(seen.length, 1)
  t.equal(made, 2, 'the parser has made no other')
  t.equal(cut.listenerCount('data'), 0)
  t.equal(socket, sockets[0], 'its socket itself, and no stream of its body')
  socket.destroy()
})

t.test('a body is read no further than its request allows', async (t) => {
  let isOpen = false
  let chunks = 0
  const requests: Request[] = []
  class Request extends PausableRequest {
    protected override onChunk(chunk: Buffer): boolean {
      chunks += 1
      return this.pass(chunk) && isOpen
    }
    protected override onWanted(): boolean {
      return isOpen
    }
    protected override onLast(): void {}
    open(): void {
      isOpen = true
      this.readOn()
    }
  }
  const asked = Promise.withResolvers<void>()
  const server = createServer({ IncomingMessage: Request }, (request) => {
    if (request instanceof Request) requests.push(request)
    request.on('data', (chunk: Buffer) => (got += chunk.byteLength))
    asked.resolve()
  })
  let got = 0
  const client = await listening(t, server)
  client.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${8 * MEBIBYTE}\r\n\r\n`)
  client.write(Buffer.alloc(8 * MEBIBYTE))
  await asked.promise
  while (chunks === 0) await setImmediate()
  const [request] = requests
  for (let turn = 0; turn < 100; turn++) await setImmediate()
  t.equal(chunks, 1, 'of what was in the socket already')
  t.ok(request !== undefined && request.socket.bytesRead < MEBIBYTE)
  request?.open()
  if (request !== undefined) await once(request, 'end')
  t.equal(got, 8 * MEBIBYTE)
})

t.test('chunks of one read can be skipped, and of the next ones are taken again', async (t) => {
  const chunks: string[] = []
  let isSkipped = false
  class Request extends PausableRequest {
    protected override onChunk(chunk: Buffer): boolean {
      chunks.push(chunk.toString())
      if (chunks.length === 2 && !isSkipped) this.skipRead()
      return this.pass(chunk)
    }
    protected override onWanted(): boolean {
      return true
    }
    protected override onLast(): void {}
  }
  const ends: boolean[] = []
  const server = createServer({ IncomingMessage: Request }, (request, response) => {
    request.resume().once('end', () => {
      ends.push(request.complete)
      response.end('ok')
    })
  })
  const taken: boolean[] = []
  server.on('connection', (socket) => taken.push(takeChunks(socket)))
  const client = await listening(t, server)
  const head = 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n'
  client.write(`${head}${'1\r\nx\r\n'.repeat(1_000)}0\r\n\r\n`)
  await once(client, 'data')
  t.equal(chunks.length, 2, 'the rest was skipped')
  t.same(ends, [true], 'its end was seen nevertheless')
  isSkipped = true
  client.write(`${head}1\r\ny\r\n0\r\n\r\n`)
  await once(client, 'data')
  t.same(chunks.slice(2), ['y'], 'the next request on the connection has its body')
  t.same(taken, [true])
})

t.test('a parser that another connection gets in the same turn takes chunks', async (t) => {
  const bodies: string[] = []
  let isFirst = true
  class Request extends PausableRequest {
    protected override onChunk(chunk: Buffer): boolean {
      if (isFirst) {
        isFirst = false
        this.skipRead()
        this.socket.destroy()
        // The next connection has the parser before the skipped one's turn is over.
        const parser: unknown = Reflect.get(this.socket, 'parser')
        const slot = Number(
          Reflect.get(Object(Reflect.get(Object(parser), 'constructor')), 'kOnBody')
        )
        t.equal(Reflect.get(Object(parser), slot), null)
        t.ok(takeChunks(this.socket))
        t.type(Reflect.get(Object(parser), slot), 'function')
      }
      bodies.push(chunk.toString())
      return this.pass(chunk)
    }
    protected override onWanted(): boolean {
      return true
    }
    protected override onLast(): void {}
  }
  const server = createServer({ IncomingMessage: Request }, (request) => void request.resume())
  server.on('connection', (socket) => takeChunks(socket))
  const client = await listening(t, server)
  const gone = once(client, 'close')
  client
    .resume()
    .write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n')
  await gone
  t.same(bodies, ['x'])
})
