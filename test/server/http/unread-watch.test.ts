import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { CONNECTION_BYTES } from '../../../src/config/memory-plan.ts'
import { ClientCensus, type ClientConnection } from '../../../src/server/http/client-census.ts'
import { UnreadWatch } from '../../../src/server/http/unread-watch.ts'
import { portPairOf } from '../../../src/server/http/unsent-bytes.ts'

const MIB = 2 ** 20

/** A watch over connections that are made up, as is what the system tells of them. */
function setUp({ socketBytes = 16 * MIB, tookMs = 0, isTold = true, stallMs = 60_000 } = {}) {
  const census = new ClientCensus({ maxConnections: 10_000 })
  const unsent = new Map<string, number>()
  const looks = { aside: 0, now: 0 }
  const tell = () => ({ byPorts: isTold ? new Map(unsent) : null, tookMs })
  const watch = new UnreadWatch({
    census,
    socketBytes,
    stallMs: () => stallMs,
    read: () => {
      looks.aside += 1
      return Promise.resolve(tell())
    },
    readNow: () => {
      looks.now += 1
      return tell()
    }
  })
  const dropped = new Set<ClientConnection>()
  let ports = 0
  const connect = (isKnown: boolean): ClientConnection => {
    const socket = new Socket()
    const remotePort = ++ports
    Object.defineProperties(socket, {
      localPort: { value: 8000 },
      remotePort: { value: remotePort },
      bytesWritten: { value: 0, writable: true },
      resetAndDestroy: { value: () => dropped.add(connection) }
    })
    const connection = census.add(socket)
    if (isKnown) census.vouch(connection)
    return connection
  }
  /** Writes to it; so much of all is then still with the system. */
  const write = (connection: ClientConnection, bytes: number, left = bytes): void => {
    unsent.set(portPairOf(connection.socket), left)
    Object.assign(connection.socket, { bytesWritten: connection.socket.bytesWritten + bytes })
    watch.onWritten(connection)
  }
  /** Its client reads so much of it. */
  const read = ({ socket }: ClientConnection, bytes: number): void => {
    const ports = portPairOf(socket)
    unsent.set(ports, (unsent.get(ports) ?? 0) - bytes)
  }
  /** The next time that it asks the system. */
  const look = async (): Promise<void> => {
    const { aside } = looks
    while (looks.aside === aside) {
      watch.check()
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return { census, watch, dropped, looks, connect, write, read, look }
}

/** As if what was read last had been read so long ago. */
function wait(connections: readonly ClientConnection[], ms: number): void {
  for (const connection of connections) connection.readAt -= ms
}

t.test('clients that drip go, not one that pauses with little unread', async (t) => {
  const { census, dropped, connect, write, read, look } = setUp()
  const pausing = connect(true)
  write(pausing, 3_000)
  const dripping = Array.from({ length: 20 }, () => connect(true))
  for (const connection of dripping) write(connection, 690_000)
  wait([pausing], 6_000)
  await look()
  t.same(dropped, new Set(), 'what was just sent may be read yet')
  wait(dripping, 5_500)
  wait([pausing], 5_500)
  for (const connection of dripping) read(connection, 10)
  await look()
  t.ok(dropped.size > 0, 'ten bytes are no progress')
  t.notOk(dropped.has(pausing))
  t.ok(census.unreadBytes <= 16 * MIB - 21 * CONNECTION_BYTES)
})

t.test('a short answer to a stranger stays where others that read hold too much', async (t) => {
  const { dropped, connect, write, read, look } = setUp()
  const stranger = connect(false)
  const readers = Array.from({ length: 20 }, () => connect(true))
  for (const connection of readers) write(connection, 750_000)
  write(stranger, 400)
  await look()
  wait([...readers, stranger], 5_500)
  for (const connection of readers) read(connection, 60_000)
  await look()
  t.same(dropped, new Set())
})

t.test('what strangers have read is not held against them', async (t) => {
  const { census, dropped, looks, connect, write } = setUp()
  for (let i = 0; i < 1_100; i++) {
    write(connect(false), 300, 0)
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const reader = connect(false)
  write(reader, 51_000)
  t.same(dropped, new Set())
  t.ok(looks.aside + looks.now > 0)
  t.ok(looks.aside + looks.now < 5, `${looks.aside} and ${looks.now} looks`)
  t.ok(census.strangersUnreadBytes < 4 * MIB)
})

t.test('what strangers have not read stays bounded', async (t) => {
  for (const [what, isTold] of [
    ['where the system tells', true],
    ['where it does not', false]
  ] as const) {
    t.test(what, async (t) => {
      const { census, dropped, connect, write } = setUp({ isTold })
      for (let i = 0; i < 400; i++) {
        write(connect(false), 51_000)
        if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
        if (census.strangersUnreadBytes > 4 * MIB) t.fail(`${census.strangersUnreadBytes} bytes`)
      }
      t.ok(dropped.size > 300, `${dropped.size} of 400`)
    })
  }
})

t.test('clients with a key where the system does not tell', async (t) => {
  t.test('leave bounded answers unread on connections that rest', async (t) => {
    const { census, dropped, connect, write, look } = setUp({ isTold: false })
    const small = connect(true)
    write(small, 3_000)
    census.move(small, 'idle')
    const resting = Array.from({ length: 24 }, () => connect(true))
    for (const connection of resting) {
      write(connection, MIB)
      census.move(connection, 'idle')
      await new Promise((resolve) => setImmediate(resolve))
    }
    wait([small, ...resting], 5_500)
    await look()
    t.ok(dropped.size > 0, `${dropped.size} dropped`)
    t.notOk(dropped.has(small))
    t.ok(census.unreadBytes <= 16 * MIB, `${census.unreadBytes} bytes`)
  })
  t.test('lose no answer that is being made, however long it is', async (t) => {
    const { census, dropped, connect, write, looks } = setUp({ isTold: false })
    const streaming = Array.from({ length: 24 }, () => connect(true))
    for (const connection of streaming) census.move(connection, 'busy')
    while (looks.aside + looks.now < 3) {
      for (const connection of streaming) write(connection, MIB / 16)
      wait(streaming, 5_500)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.same(dropped, new Set())
  })
  t.test('have read what they got before they ask again', async (t) => {
    const { census, dropped, connect, write, looks } = setUp({ isTold: false })
    const asking = connect(true)
    while (looks.aside + looks.now < 3) {
      asking.bytesWritten = asking.socket.bytesWritten
      census.move(asking, 'busy')
      write(asking, MIB)
      census.move(asking, 'idle')
      wait([asking], 5_500)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.same(dropped, new Set())
    write(asking, MIB)
    t.ok(census.unreadBytes > 0, 'but for what came since')
  })
})

t.test('a look takes a fifth of the time at most', async (t) => {
  const { looks, connect, write, watch } = setUp({ tookMs: 500 })
  const reader = connect(true)
  write(reader, 14 * MIB) // beyond the bound, not beyond twice
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(looks.aside, 1)
  for (const begunAt = performance.now(); performance.now() - begunAt < 600; ) {
    write(reader, 1)
    watch.check()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.same(looks, { aside: 1, now: 0 })
})

t.test('an answer that is cut hears that it was unread', async (t) => {
  const { census, connect } = setUp()
  const connection = connect(true)
  const response = Reflect.construct(ServerResponse, [{ method: 'GET' }]) as ServerResponse
  connection.answering = response
  let heard = 0
  response.once('unread', () => {
    heard += 1
  })
  census.drop(connection, 'unread')
  t.equal(heard, 1)
})

function isHeld({ socket }: ClientConnection): boolean {
  return socket.writableCorked > 0
}

t.test('a client that reads slowly waits, and is not reset, while much is unread', async (t) => {
  const { connect, write, read, look, dropped } = setUp()
  const slow = Array.from({ length: 10 }, () => connect(true))
  const other = connect(true)
  write(other, 1_000)
  for (const connection of slow) write(connection, 1.05 * MIB)
  await look()
  t.ok(slow.every(isHeld), 'no more is given to the system')
  t.notOk(isHeld(other))
  const [first] = slow
  if (first === undefined) return
  read(first, MIB)
  await look()
  t.notOk(isHeld(first), 'the one that has read goes on')
  for (const connection of slow.slice(1)) read(connection, MIB)
  await look()
  t.notOk(slow.some(isHeld), 'as all do')
  t.equal(dropped.size, 0)
})

t.test('a client that waited goes on when others are gone', async (t) => {
  const { connect, write, look, watch, census } = setUp()
  const [gone, left] = [connect(true), connect(true)]
  for (const connection of [gone, left]) write(connection, 5 * MIB)
  await look()
  t.equal(left.socket.writableCorked, 1)
  census.forget(gone)
  watch.check()
  t.equal(left.socket.writableCorked, 0)
})

t.test('an answer that has ended is not taken for one that waits', async (t) => {
  const { connect, write, look, watch, looks } = setUp()
  const ended = [connect(true), connect(true)]
  for (const connection of ended) write(connection, 5 * MIB)
  await look()
  t.ok(ended.every(isHeld))
  for (const { socket } of ended) socket.end()
  await look()
  const { aside } = looks
  for (const begunAt = performance.now(); performance.now() - begunAt < 600; ) {
    watch.check()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.equal(looks.aside, aside, 'nothing waits for another look')
})

t.test('a client that waits is given more in time, if it reads at all', async (t) => {
  const stallMs = 3_000
  const { connect, write, read, look } = setUp({ stallMs })
  const [slow, silent] = [connect(true), connect(true)]
  let given = 0
  for (const connection of [slow, silent]) {
    write(connection, 5 * MIB)
    Object.assign(connection.socket, {
      _writev(_pieces: unknown, done: () => void): void {
        given += 1
        done()
      }
    })
  }
  await look()
  const heldAt = performance.now()
  for (const { socket } of [slow, silent]) for (const piece of ['a', 'b']) socket.write(piece)
  t.equal(given, 0)
  while (performance.now() - heldAt < stallMs) {
    read(slow, 1_000)
    await look()
  }
  t.equal(given, 1)
  t.equal(slow.socket.writableLength, 0)
  t.ok([slow, silent].every(isHeld), 'both wait again with what comes next')
})
