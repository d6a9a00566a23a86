import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { ResponsesSockets } from '../../../src/server/socket/responses-sockets.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { heldFor } from '../../chaos/kernel-view.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { FrameClient, responseIdOf } from '../../helper/frame-client.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.setTimeout(600_000) // several limits of time pass one after the other

async function setUp(t: Test, options: FakePrimaryOptions = {}) {
  const held: ServerResponse[] = []
  const waits = { isHeld: false, onHeld: Promise.withResolvers<ServerResponse>() }
  const upstream = await CountingUpstream.start(t, (request: IncomingMessage, response) => {
    request.resume()
    response.write(textFrame('hello'))
    if (!waits.isHeld) return void response.end(endFrame)
    held.push(response)
    waits.onHeld.resolve(response)
  })
  const primary = await FakePrimary.start(t, upstream.url, options)
  return { upstream, primary, waits, url: primary.url }
}

/** Begins an answer that the upstream does not end, and reads its first words. */
async function begin(
  client: FrameClient,
  waits: { isHeld: boolean; onHeld: PromiseWithResolvers<ServerResponse> }
): Promise<ServerResponse> {
  waits.isHeld = true
  client.create({ input: 'hi' })
  const response = await waits.onHeld.promise
  while ((await client.next()).type !== 'response.output_text.delta');
  return response
}

t.test('a drain closes idle connections at once, and others after their answer', async (t) => {
  for (const how of ['retire', 'drain'] as const) {
    t.test(how, async (t) => {
      const { primary, url, waits } = await setUp(t, { env: { DRAIN_TIMEOUT: '20' } })
      const idle = await FrameClient.open(t, url)
      const busy = await FrameClient.open(t, url)
      const response = await begin(busy, waits)
      busy.create({ input: 'waits', stream_id: 'b' })
      await busy.isRead()
      if (how === 'drain') primary.worker.drain()
      else primary.worker.retire(20_000)
      t.match(await idle.closed, { code: 1012 })
      response.end(endFrame)
      t.match((await busy.answer()).at(-1), { type: 'response.completed' })
      t.match(await busy.answer(), [{ type: 'error', status: 503, stream_id: 'b' }])
      t.match(await busy.closed, { code: 1012 })
      await primary.worker.stopped
    })
  }
})

t.test('a connection ends with its key, after the answer under way', async (t) => {
  const key = namedKey({ hashes: [hashOfKey('one')] })
  const knownKeys = { isKeyRequired: true, keys: [key] }
  const { primary, url, waits } = await setUp(t, { start: { knownKeys } })
  const idle = await FrameClient.open(t, url, { key: 'one' })
  const busy = await FrameClient.open(t, url, { key: 'one' })
  const other = await FrameClient.open(t, url)
  const response = await begin(busy, waits)
  const revoked = { ...key, revokedAt: Date.now() - 1 }
  primary.tell({ type: 'keys.changed', knownKeys: { ...knownKeys, keys: [revoked] } })
  t.match(await idle.closed, { code: 1008 })
  response.end(endFrame)
  t.match((await busy.answer()).at(-1), { type: 'response.completed' })
  t.match(await busy.closed, { code: 1008 })
  waits.isHeld = false
  t.match((await other.ask({ input: 'hi' })).at(-1), { type: 'response.completed' })
})

t.test('a client that leaves frees its connection to the upstream', async (t) => {
  const { url, waits } = await setUp(t)
  for (const how of ['close', 'terminate'] as const) {
    waits.onHeld = Promise.withResolvers()
    const client = await FrameClient.open(t, url)
    const response = await begin(client, waits)
    const isCut = once(response, 'close')
    client.socket[how]()
    await isCut
  }
})

t.test('open connections are counted in the metrics', async (t) => {
  const { url, waits, primary } = await setUp(t)
  const idle = await FrameClient.open(t, url)
  await idle.ask({ input: 'hi' })
  const response = await begin(await FrameClient.open(t, url), waits)
  const next = async () => {
    const heard = primary.heard('metrics.snapshot')
    primary.tell({ type: 'metrics.collect' })
    const { metrics } = await heard
    return metrics.find((one) => Reflect.get(one, 'name') === 'kiro_gateway_websockets')
  }
  await next() // may have been taken before the request began
  t.match(await next(), {
    values: [
      { labels: { state: 'busy' }, value: 1 },
      { labels: { state: 'idle' }, value: 1 }
    ]
  })
  response.end(endFrame)
})

t.test('connections are bounded, and the rest use HTTP', async (t) => {
  const { url } = await setUp(t, { env: { WEBSOCKET_MAX_CONNECTIONS: '2' } })
  const first = await FrameClient.open(t, url)
  await FrameClient.open(t, url)
  const refused = new WebSocket(new URL('/v1/responses', url.replace('http', 'ws')), {
    headers: { authorization: 'Bearer good-key' }
  }).on('error', () => {})
  const [, response] = await once(refused, 'unexpected-response')
  t.equal(response.statusCode, 426)
  first.socket.close()
  await first.closed
  const next = await FrameClient.open(t, url)
  t.match((await next.ask({ input: 'hi' })).at(-1), { type: 'response.completed' })
})

t.test('the place of a client that has left is told while another asks for one', async (t) => {
  const told: number[] = []
  const pulse = {
    ask: async ({ open }: { open: number }) => {
      told.push(open)
      return true
    }
  }
  const channel = { send: ({ open }: { open: number }) => void told.push(open) }
  const plane = {
    get current() {
      return assert.fail('nothing is opened')
    }
  }
  const sockets = new ResponsesSockets({ plane, kept: {}, channel, pulse } as never)
  await sockets.takePlace()
  const left = sockets.accept({ socket: { destroyed: true } } as never, {} as never)
  await Promise.all([left, sockets.takePlace()])
  t.match(told.at(-1), 1)
})

t.test('Kiro keys that nobody has accepted give way to other clients', async (t) => {
  const { url } = await setUp(t, {
    env: { WEBSOCKET_MAX_CONNECTIONS: '2', KIRO_KEY_PASSTHROUGH: 'true' }
  })
  const strangers = [
    await FrameClient.open(t, url, { key: 'ksk_one' }),
    await FrameClient.open(t, url, { key: 'ksk_two' })
  ]
  for (const stranger of strangers) {
    const known = await FrameClient.open(t, url)
    t.match(await stranger.closed, { code: 1013 })
    t.match((await known.ask({ input: 'hi' })).at(-1), { type: 'response.completed' })
  }
  await t.rejects(FrameClient.open(t, url), /426/)
})

t.test('a lane that waits is cancelled alone', async (t) => {
  const { url, waits, upstream } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  for (const stream_id of ['a', 'b']) client.create({ input: 'hi', stream_id })
  client.send({ type: 'response.cancel', stream_id: 'a' })
  t.match(await client.answer(), [{ type: 'error', status: 499, stream_id: 'a' }])
  waits.isHeld = false
  response.end(endFrame)
  t.match((await client.answer()).at(-1), { type: 'response.completed' })
  t.match((await client.answer()).at(-1), { type: 'response.completed', stream_id: 'b' })
  t.equal(upstream.requests, 2)
})

t.test('as many requests wait as OpenAI has lanes, and one more is declined alone', async (t) => {
  const { url, waits } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  const lanes = Array.from({ length: 32 }, (_, index) => `lane-${index}`)
  for (const stream_id of [...lanes, 'one-more']) client.create({ input: 'hi', stream_id })
  t.match(await client.answer(), [{ type: 'error', status: 503, stream_id: 'one-more' }])
  waits.isHeld = false
  response.end(endFrame)
  t.match((await client.answer()).at(-1), { type: 'response.completed' })
  for (const stream_id of lanes) {
    t.match((await client.answer()).at(-1), { type: 'response.completed', stream_id })
  }
})

t.test('a connection that is old closes so that its client connects again', async (t) => {
  const { url, waits } = await setUp(t, { env: { WEBSOCKET_MAX_AGE: '3' } })
  const client = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  client.create({ input: 'waits' })
  await client.isRead()
  const idle = await FrameClient.open(t, url)
  t.match(await idle.closed, { code: 1001 })
  response.end(endFrame)
  t.match((await client.answer()).at(-1), { type: 'response.completed' })
  const [error] = await client.answer()
  t.match(error, { status: 400, error: { code: 'websocket_connection_limit_reached' } })
  t.match(await client.closed, { code: 1001 })
})

t.test('a conversation makes room when a request needs its memory', async (t) => {
  const { url, primary } = await setUp(t, { env: { WEBSOCKET_KEPT_BYTES: '1000000' } })
  const text = 'x'.repeat(400_000)
  const clients = await Promise.all([1, 2, 3].map(() => FrameClient.open(t, url)))
  const ids: string[] = []
  for (const client of clients)
    ids.push(responseIdOf(await client.ask({ input: text, store: false })))
  const ends: unknown[] = []
  for (const [index, client] of clients.entries()) {
    const events = await client.ask({ previous_response_id: ids[index], input: 'more' })
    ends.push(events.at(-1)?.type)
  }
  t.same(ends, ['error', 'response.completed', 'response.completed'])
  t.ok(primary)
})

t.test('hostile clients lose their connection, with the code for it', async (t) => {
  const { url } = await setUp(t, {
    env: { MAX_BODY_BYTES: '1000000', BODY_TIMEOUT: '1' }
  })
  const beside = await FrameClient.open(t, url)
  const rows: Readonly<Record<string, readonly [number, (client: FrameClient) => void]>> = {
    garbage: [1008, ({ socket }) => repeat(40, () => socket.send('no request'))],
    'other types': [1008, (client) => repeat(40, () => client.send({ type: 'response.no' }))],
    binary: [1008, ({ socket }) => socket.send(Buffer.from('{}'))],
    'a message that is too large': [1009, ({ socket }) => socket.send('x'.repeat(1_000_001))],
    'a flood of pings': [1008, ({ socket }) => repeat(1000, () => socket.ping())],
    'more requests than may wait': [
      1008,
      (client) => repeat(60, () => client.create({ input: 'hi' }))
    ],
    'fragments of nothing': [
      1008,
      ({ socket }) => repeat(1000, () => socket.send('', { fin: false }))
    ],
    'fragments of one byte': [
      1008,
      ({ socket }) => repeat(10_000, () => socket.send('x', { fin: false }))
    ],
    'a message that never ends': [1008, ({ socket }) => socket.send('x', { fin: false })],
    'text that is no UTF-8': [
      1007,
      ({ socket }) => socket.send(Buffer.from([0xc3, 0x28]), { binary: false })
    ]
  }
  for (const [name, [code, act]] of Object.entries(rows)) {
    t.test(name, async (t) => {
      const client = await FrameClient.open(t, url)
      act(client)
      t.equal((await client.closed).code, code)
      t.match((await beside.ask({ input: 'hi' })).at(-1), { type: 'response.completed' })
    })
  }

  t.test('bytes that are no frames', async (t) => {
    const socket = await rawSocket(t, url)
    socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff]))
    const [last] = await once(socket, 'data')
    t.same([...last.subarray(0, 4)], [0x88, last[1], 0x03, 0xea], '1002')
    await once(socket, 'close')
  })

  t.test('a flood is not read until its sender closes', async (t) => {
    const socket = await rawSocket(t, url)
    const pings = Buffer.concat(
      Array.from({ length: 500 }, () => Buffer.from([0x89, 0x80, 0, 0, 0, 0]))
    )
    const beganAt = performance.now()
    const flood = setInterval(() => socket.write(pings), 5)
    t.teardown(() => clearInterval(flood))
    socket.on('error', () => {}) // what it still sends is refused
    await new Promise((resolve) => socket.resume().once('close', resolve))
    t.ok(performance.now() - beganAt < 4_000, 'it is not given the time to answer a close')
  })

  t.test('a frame that says it is compressed', async (t) => {
    const socket = await rawSocket(t, url)
    socket.write(Buffer.from([0xc1, 0x81, 0, 0, 0, 0, 0x78]))
    const [last] = await once(socket, 'data')
    t.same([...last.subarray(0, 4)], [0x88, last[1], 0x03, 0xea], '1002')
    await once(socket, 'close')
  })
})

t.test('nothing more is read of a client whose connection ends', async (t) => {
  const { url } = await setUp(t)
  const served: Socket[] = []
  const note = (message: unknown): void => void served.push(Reflect.get(Object(message), 'socket'))
  subscribe('net.server.socket', note)
  t.teardown(() => unsubscribe('net.server.socket', note))
  const lastFrames: Readonly<Record<string, readonly number[]>> = {
    'a frame of 8 exabytes': [0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0],
    'a frame that says it is compressed': [0xc1, 0x81, 0, 0, 0, 0, 0x78],
    'a ping that is too long': [0x89, 0xfe, 0xff, 0xff, 0, 0, 0, 0],
    'a frame of no known kind': [0x83, 0x80, 0, 0, 0, 0],
    'text that is no UTF-8': [0x81, 0x81, 0, 0, 0, 0, 0xff],
    'a close': [0x88, 0x80, 0, 0, 0, 0]
  }
  for (const [name, bytes] of Object.entries(lastFrames)) {
    t.test(name, async (t) => {
      const socket = await rawSocket(t, url)
      socket.on('error', () => {}) // what it still sends is refused
      socket.write(Buffer.concat([Buffer.from(bytes), Buffer.alloc(FLOOD_BYTES)]))
      await new Promise((resolve) => socket.resume().once('close', resolve))
      t.ok((served.at(-1)?.bytesRead ?? Infinity) < FLOOD_BYTES / 16)
    })
  }
})

/** More than the systems of both ends hold. */
const FLOOD_BYTES = 64 * 1024 * 1024

t.test('a message that waits for the answer before it has its time from then on', async (t) => {
  const { url, waits } = await setUp(t, { env: { BODY_TIMEOUT: '6' } })
  const client = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  const message = { type: 'response.create', model: 'auto', input: 'x'.repeat(400_000) }
  const text = JSON.stringify(message)
  client.socket.send(text.slice(0, 100_000), { fin: false })
  await delay(7_000)
  waits.isHeld = false
  response.end(endFrame)
  t.match((await client.answer()).at(-1), { type: 'response.completed' })
  client.socket.send(text.slice(100_000))
  t.match((await client.answer()).at(-1), { type: 'response.completed' })
})

t.test('what is declined is told back only if it is short', async (t) => {
  const { url } = await setUp(t)
  const client = await FrameClient.open(t, url)
  for (const [input, told] of [
    [['short'], ['short']],
    [['x'.repeat(1_000_000)], []]
  ]) {
    client.send({ type: 'response.steer', input, previous_response_id: 'resp_1' })
    t.match(await client.next(), {
      type: 'response.steer.failed',
      error: { type: 'invalid_request_error', code: 'steering_not_supported' },
      steer: { input: told, previous_response_id: 'resp_1' }
    })
  }
  for (const stream_id of ['x'.repeat(1_000_000), '', 7]) {
    client.create({ input: 'hi', stream_id })
    t.match(await client.answer(), [{ type: 'error', error: { code: 'invalid_stream_id' } }])
  }
})

function repeat(times: number, act: () => void): void {
  for (let count = 0; count < times; count++) act()
}

/** A connection after its handshake. */
async function rawSocket(t: Test, url: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.write(
    'GET /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n' +
      'authorization: Bearer good-key\r\nsec-websocket-version: 13\r\n' +
      'sec-websocket-extensions: permessage-deflate\r\n' +
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
  )
  const [head] = await once(socket, 'data')
  t.match(String(head), /^HTTP\/1\.1 101 /)
  t.notMatch(String(head), /extensions/i)
  return socket
}

t.test(
  'a client that reads nothing stops the upstream, and loses its connection in time',
  async (t) => {
    const piece = textFrame('x'.repeat(8_000))
    let written = 0
    const cut = Promise.withResolvers<void>()
    const upstream = await CountingUpstream.start(t, (request, response) => {
      request.resume()
      response.once('close', () => cut.resolve())
      const write = (): void => {
        if (response.destroyed) return
        written += piece.byteLength
        if (response.write(piece)) setImmediate(write)
        else response.once('drain', write)
      }
      write()
    })
    const { url } = await FakePrimary.start(t, upstream.url, { env: { CLIENT_STALL_TIMEOUT: '2' } })
    const deaf = await FrameClient.open(t, url)
    const beside = await FrameClient.open(t, url)
    deaf.socket.pause()
    deaf.create({ input: 'hi' })
    await cut.promise
    t.ok(written < 40 * 2 ** 20, `${written} bytes`)
    const port = Number(new URL(url).port)
    while (heldFor(port).length > 1) await delay(50) // the system holds nothing of its answer
    deaf.socket.resume()
    t.match(await deaf.closed, { code: 1006 })
    beside.create({ input: 'hi' })
    t.match(await beside.next(), { type: 'response.created' })
  }
)

/** Bytes of bodies that are being answered or wait. */
async function admittedBytes(primary: FakePrimary): Promise<number> {
  const heard = primary.heard('metrics.snapshot')
  primary.tell({ type: 'metrics.collect' })
  const { metrics } = await heard
  let sum = 0
  for (const { name, values } of metrics as readonly Figures[]) {
    if (!/^kiro_gateway_admitted(?:_lane)?_bytes$/.test(name)) continue
    for (const { value, labels } of values) if (labels.lane !== 'kept') sum += value
  }
  return sum
}

interface Figures {
  readonly name: string
  readonly values: readonly {
    readonly value: number
    readonly labels: { readonly lane?: string }
  }[]
}

t.test('requests that wait when their client leaves give their memory back', async (t) => {
  const { url, waits, primary } = await setUp(t)
  const client = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  for (const stream_id of ['a', 'b', 'c']) client.create({ input: 'x'.repeat(50_000), stream_id })
  await client.isRead()
  await admittedBytes(primary) // figures are those of the look before
  t.ok((await admittedBytes(primary)) > 150_000)
  const isCut = once(response, 'close')
  client.socket.terminate()
  await isCut
  while ((await admittedBytes(primary)) > 0) await delay(20)
})

t.test('the first reason to leave is the one that is told', async (t) => {
  const env = { WEBSOCKET_MAX_AGE: '2', DRAIN_TIMEOUT: '20' }
  const { url, waits, primary } = await setUp(t, { env })
  const client = await FrameClient.open(t, url)
  const idle = await FrameClient.open(t, url)
  const response = await begin(client, waits)
  t.match(await idle.closed, { code: 1001 })
  primary.worker.retire(20_000)
  await delay(50)
  response.end(endFrame)
  t.match(await client.closed, { code: 1001 })
})
