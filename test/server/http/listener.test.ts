import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { Listener } from '../../../src/server/http/listener.ts'

function setUp(t: Test, host: string) {
  const servers: Server[] = []
  const make = (): Server => {
    const server = createServer((socket) => socket.on('error', () => {}).end('hello'))
    servers.push(server)
    return server
  }
  const listener = new Listener({
    host,
    port: 0,
    boundPort: null,
    createServer: make
  })
  t.teardown(() => listener.close())
  return { listener, servers }
}

/** What a new client is told first; `null` when it is refused. */
async function greeting(port: number, host: string): Promise<string | null> {
  const socket = connect(port, host)
  try {
    return String(await once(socket, 'data'))
  } catch {
    return null
  } finally {
    socket.destroy()
  }
}

t.test('a listener on any port listens at the same one again', async (t) => {
  const { listener } = setUp(t, '127.0.0.1')
  const port = await listener.open()
  t.equal(await greeting(port, '127.0.0.1'), 'hello')
  await listener.close()
  t.equal(await greeting(port, '127.0.0.1'), null)
  t.equal(await listener.reopen(), true)
  t.equal(await greeting(port, '127.0.0.1'), 'hello')
})

t.test('all addresses of a name are closed and opened together', async (t) => {
  const { listener, servers } = setUp(t, 'localhost')
  const port = await listener.open()
  const hosts =
    servers.filter(({ listening }) => listening).length === 2 ? ['127.0.0.1', '::1'] : []
  for (const host of ['localhost', ...hosts]) t.equal(await greeting(port, host), 'hello', host)
  await listener.close()
  for (const host of ['localhost', ...hosts]) t.equal(await greeting(port, host), null, host)
  await listener.reopen()
  for (const host of ['localhost', ...hosts]) t.equal(await greeting(port, host), 'hello', host)
})

t.test('a port that is taken is tried again, until it is not wanted any more', async (t) => {
  const { listener } = setUp(t, '127.0.0.1')
  const port = await listener.open()
  await listener.close()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  const given = listener.reopen()
  await listener.close()
  t.equal(await given, false)
  const reopened = listener.reopen()
  other.close()
  t.equal(await reopened, true)
})
