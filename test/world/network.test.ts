import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { type LinkNature, Network, WorldSocket } from './network.ts'
import { World } from './world.ts'

/** A server that keeps what it gets, and a client, in a world without anything else. */
function rig(nature: Partial<LinkNature> = {}) {
  const world = new World(7)
  const network = new Network(world, {
    natureOf: () => ({ latencyMs: 10, jitterMs: 5, pieces: 'whole', ...nature }),
    reach: () => 'open'
  })
  const [near, far] = [world.spawn('client'), world.spawn('server')]
  const accepted: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => void accepted.push(socket))
  world.as(far, () => network.listen(80, server))
  const client = world.as(near, () => new WorldSocket(network).connectTo({ port: 80 }))
  const pass = async (ms: number): Promise<void> => {
    const end = world.now + ms
    world.after(ms, () => {}, { actor: world.nature })
    await world.run(() => world.now >= end)
  }
  const peer = (): Socket => {
    const [socket] = accepted
    if (socket === undefined) throw new Error('nothing was accepted')
    return socket
  }
  return { world, network, near, far, client, peer, pass, accepted }
}

t.test('bytes arrive in order, in whatever pieces', async (t) => {
  for (const pieces of ['whole', 'joined', 'one', 'random'] as const) {
    const { client, peer, pass } = rig({ pieces })
    await pass(100)
    const got: Buffer[] = []
    peer().on('data', (chunk: Buffer) => got.push(chunk))
    for (const text of ['first ', 'second ', 'third']) client.write(text.repeat(20))
    await pass(200)
    t.equal(
      Buffer.concat(got).toString(),
      ['first ', 'second ', 'third'].map((one) => one.repeat(20)).join('')
    )
  }
})

t.test('several writes arrive at once where they are gathered', async (t) => {
  const { client, peer, pass } = rig({ pieces: 'joined', jitterMs: 0 })
  await pass(100)
  const got: string[] = []
  peer().on('data', (chunk: Buffer) => got.push(chunk.toString()))
  for (const text of ['first ', 'second ', 'third']) client.write(text)
  client.end()
  await pass(200)
  t.strictSame(got, ['first second third'])
  t.equal(peer().readableEnded, true)
})

t.test('a reader that does not read makes the writer wait', async (t) => {
  const { client, peer, pass } = rig()
  await pass(100)
  const server = peer().pause()
  const taken = { count: 0 }
  const writeOn = (left: number): void => {
    if (left === 0) return
    client.write(Buffer.alloc(32 * 1024), () => {
      taken.count += 1
      writeOn(left - 1)
    })
  }
  writeOn(20)
  await pass(500)
  t.ok(taken.count < 10, `${taken.count} of 20 writes were taken`)
  server.resume()
  await pass(1_000)
  t.equal(taken.count, 20)
})

t.test(
  'a process that is killed leaves connections that the kernel closes, and its peer hears it',
  async (t) => {
    const { world, network, near, client, peer, pass } = rig()
    await pass(100)
    let hasEnded = false
    peer()
      .on('end', () => (hasEnded = true))
      .resume()
    world.end(near)
    t.match(network.table(), new RegExp(client.localPort.toString(16), 'i'), 'it is in the table')
    await pass(50)
    t.equal(hasEnded, true)
    peer().destroy()
    await pass(50)
    t.equal(network.links.size, 0)
  }
)

t.test('a peer that waits for room hears of a process that is killed', async (t) => {
  const cases = [
    { name: 'while it stands still beside what has come', isPaused: true, waitMs: 500 },
    { name: 'while bytes are on their way', isPaused: false, waitMs: 5 }
  ]
  for (const { name, isPaused, waitMs } of cases) {
    const { world, network, near, client, peer, pass } = rig()
    await pass(100)
    client.resume()
    const errors: unknown[] = []
    peer().on('error', (error) => errors.push(Reflect.get(error, 'code')))
    near.isPaused = isPaused
    for (let size = 0; size < 5; size += 1) peer().write(Buffer.alloc(32 * 1024))
    peer().end()
    await pass(waitMs)
    world.end(near)
    await pass(100)
    t.strictSame([errors, network.links.size], [['ECONNRESET'], 0], name)
  }
})

t.test('a process that stood still reads what has come meanwhile', async (t) => {
  for (const pieces of ['whole', 'joined'] as const) {
    const { far, client, peer, pass } = rig({ pieces })
    await pass(100)
    let got = ''
    peer().on('data', (chunk: Buffer) => (got += chunk.toString()))
    far.isPaused = true
    client.write('first ')
    client.write('second ')
    client.end('third')
    await pass(100)
    t.equal(got, '', 'it stands still')
    far.isPaused = false
    await pass(100)
    t.strictSame([got, peer().readableEnded], ['first second third', true])
  }
})

t.test('a reset reaches a peer that reads', async (t) => {
  const { client, peer, pass } = rig()
  await pass(100)
  const errors: unknown[] = []
  peer()
    .on('error', (error) => errors.push(Reflect.get(error, 'code')))
    .resume()
  client.resetAndDestroy()
  await pass(50)
  t.strictSame(errors, ['ECONNRESET'])
})

t.test('a client hears of a connection that its server has lost when it writes', async (t) => {
  for (const isPaused of [false, true]) {
    const { network, far, client, peer, pass } = rig()
    await pass(100)
    const errors: unknown[] = []
    peer().on('error', () => {}) // it knows
    client.on('error', (error) => errors.push(Reflect.get(error, 'code'))).resume()
    far.isPaused = isPaused
    for (const link of network.links) link.halve()
    await pass(1_000)
    t.strictSame([errors, client.destroyed], [[], false])
    client.write('is anybody there?')
    await pass(100)
    t.strictSame(errors, ['ECONNRESET'], isPaused ? 'also while the server stands still' : '')
  }
})

t.test('a link that has vanished says nothing to anybody', async (t) => {
  const { network, client, peer, pass } = rig()
  await pass(100)
  let heard = 0
  for (const event of ['data', 'end', 'close', 'error']) peer().on(event, () => (heard += 1))
  for (const link of network.links) link.vanish()
  client.end('last words')
  await pass(1_000)
  t.equal(heard, 0)
})

t.test('whoever is awake takes a connection that waits at a shared port', async (t) => {
  const { world, network, far, client, pass, accepted } = rig()
  far.isPaused = true
  const other: Socket[] = []
  const actor = world.spawn('other server')
  world.as(actor, () =>
    network.listen(
      80,
      createServer((socket) => void other.push(socket))
    )
  )
  await pass(100)
  t.equal(client.connecting, false)
  t.strictSame([accepted.length, other.length], [0, 1])
})

t.test('a connection that is cut before it is accepted is left at neither end', async (t) => {
  const cases = [
    { name: 'while the client connects', atMs: 12, seen: 'ECONNREFUSED' },
    { name: 'while it waits to be accepted', atMs: 100, seen: 'ECONNRESET' }
  ]
  for (const { name, atMs, seen } of cases) {
    const { network, far, client, pass, accepted } = rig()
    far.isPaused = true
    const codes: unknown[] = []
    client.on('error', (error) => codes.push(Reflect.get(error, 'code'))).resume()
    await pass(atMs)
    for (const link of network.links) link.cut()
    await pass(100)
    far.isPaused = false
    await pass(100)
    t.strictSame([codes, accepted.length, network.links.size], [[seen], 0, 0], name)
  }
})

t.test('a connection that its client resets before it is accepted is not accepted', async (t) => {
  const { network, far, client, pass, accepted } = rig()
  far.isPaused = true
  await pass(100)
  client.resetAndDestroy()
  await pass(100)
  t.equal(network.openAt(80), 0, 'the server has nothing of it')
  far.isPaused = false
  await pass(100)
  t.strictSame([accepted.length, network.links.size], [0, 0])
})
