import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import type { ConnectionPool } from '../../../src/upstream/connections/pool.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { inTime, SETTLE_MS } from '../../helper/in-time.ts'
import { connectionPool, RecordedExchange } from '../../helper/recorded-exchange.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { serverUrl } from '../../helper/server-url.ts'

const never = new AbortController().signal

t.test('takeIdle()', (t) => {
  t.test('gives the most recently used connection first', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const [a, b, c] = await busyCalls(pool, upstream, 3)
    await b!.finish()
    await c!.finish()
    await a!.finish()
    const next = await busyCalls(pool, upstream, 4)
    t.same(
      next.map(({ socket }) => upstream.sockets.indexOf(socket)),
      [0, 2, 1, 3]
    )
  })

  t.test('gives only connections to the same origin', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const other = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    t.equal(pool.takeIdle(other.url), null)
    t.not(pool.takeIdle(new URL('/elsewhere', upstream.url)), null)
  })

  t.test('gives no connection that the peer has closed', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    upstream.sockets[0]!.end()
    await upstream.empty()
    t.equal(pool.takeIdle(upstream.url), null)
    await pool.trim(0)
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0, closed: { peer_fin: 1 } })
  })

  t.test('gives no connection on which bytes came that nobody asked for', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    upstream.sockets[0]!.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison')
    await upstream.empty()
    const next = await new RecordedExchange(pool, upstream.url).over()
    t.equal(next.text, 'ok')
    t.match(pool.stats(), { opened: 2, reused: 0 })
  })
  t.end()
})

t.test('a half-closed connection', (t) => {
  t.test('is dropped at once while idle, so that none stays in CLOSE_WAIT', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const calls = Array.from({ length: 5 }, () => new RecordedExchange(pool, upstream.url).over())
    await Promise.all(calls)
    t.equal(pool.stats().idle, 5)
    for (const socket of upstream.sockets) socket.end()
    await upstream.empty()
    t.equal(closeWaits(upstream.url), 0)
    await pool.trim(0)
    t.match(pool.stats(), { idle: 0, closed: { peer_fin: 5 } })
  })

  t.test('is dropped when it has carried its last answer', async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      response.end('ok', () => request.socket.end())
    })
    const pool = connectionPool(t)
    for (let i = 0; i < 5; i++) {
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.text, 'ok')
      await upstream.empty()
    }
    t.equal(upstream.max, 1)
    t.equal(closeWaits(upstream.url), 0)
    await pool.trim(0)
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
  })
  t.end()
})

t.test('open()', (t) => {
  t.test('rejects with the cause when nothing listens, and forgets the attempt', async (t) => {
    const server = createServer()
    const url = await serverUrl(server)
    await new Promise((resolve) => server.close(resolve))
    const pool = connectionPool(t, { max: 1 })
    for (let i = 0; i < 3; i++) {
      const call = await new RecordedExchange(pool, url).over()
      t.match(call.cause, { code: 'ECONNREFUSED' })
      t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
    }
    t.match(pool.stats(), { busy: 0, connecting: 0, opened: 0 })
  })

  t.test('gives up a handshake that takes too long', async (t) => {
    const accepted: Socket[] = []
    const server = createServer((socket) => {
      socket.on('error', () => {}) // the attempt is reset
      accepted.push(socket)
    })
    const url = await serverUrl(server, 'https')
    t.teardown(() => server.close())
    const pool = connectionPool(t, { connectTimeoutMs: 30 })
    const call = await new RecordedExchange(pool, url).over()
    t.match(call.cause, { code: 'UND_ERR_CONNECT_TIMEOUT', message: /30 ms/ })
    t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
    t.match(pool.stats(), { connecting: 0, opened: 0 })
    accepted[0]!.resume()
    if (!accepted[0]!.destroyed) await new Promise((resolve) => accepted[0]!.once('close', resolve))
  })

  t.test('gives up a handshake whose client leaves', async (t) => {
    const left: Promise<unknown>[] = []
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume() // the attempt is reset
      left.push(new Promise((resolve) => socket.once('close', resolve)))
      server.emit('accepted')
    })
    const url = await serverUrl(server, 'https')
    t.teardown(() => server.close())
    const pool = connectionPool(t)
    await inTime(t, SETTLE_MS, async () => {
      const call = new RecordedExchange(pool, url)
      await once(server, 'accepted')
      const leftAt = performance.now()
      call.abort()
      await call.over()
      t.same([call.causes.length, call.settlements], [1, 1])
      return performance.now() - leftAt
    })
    t.equal(pool.stats().connecting, 0)
    await Promise.all(left) // none is left open, or the time is up
  })

  t.test(
    'makes room by closing the connection that was idle longest, to whatever host',
    async (t) => {
      const upstream = await CountingUpstream.start(t)
      const other = await CountingUpstream.start(t)
      const pool = connectionPool(t, { max: 2 })
      const [a, b] = await busyCalls(pool, upstream, 2)
      await a!.finish()
      await b!.finish()
      const call = await new RecordedExchange(pool, other.url).over()
      t.equal(call.text, 'ok')
      await a!.closed
      t.notOk(b!.socket.destroyed)
      t.equal(upstream.open + other.open, 2)
      t.match(pool.stats(), { idle: 2, closed: { excess_idle: 1 } })
    }
  )

  t.test('makes room for those that are connecting, too', async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume() // the attempt is reset
      server.emit('accepted')
    })
    const silent = await serverUrl(server, 'https')
    t.teardown(() => server.close())
    const [first, second] = [await CountingUpstream.start(t), await CountingUpstream.start(t)]
    const pool = connectionPool(t, { max: 2 })
    await new RecordedExchange(pool, first.url).over()
    const handshake = new RecordedExchange(pool, silent)
    await once(server, 'accepted')
    const call = await new RecordedExchange(pool, second.url).over()
    t.equal(call.text, 'ok')
    await first.empty()
    t.match(pool.stats(), { connecting: 1, idle: 1, closed: { excess_idle: 1 } })
    handshake.abort()
    await handshake.over()
  })

  t.test('waits for a socket that is closing', async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      if (request.url === '/') response.end('ok')
    })
    const pool = connectionPool(t, { max: 1 })
    const stuck = new RecordedExchange(pool, new URL('/silent', upstream.url))
    while (upstream.requests === 0) await turn()
    stuck.abort()
    const next = new RecordedExchange(pool, upstream.url)
    t.match(pool.stats(), { closing: 1, connecting: 0 })
    t.equal((await next.over()).text, 'ok')
    t.equal(upstream.max, 1)
  })

  t.test('takes what comes back idle after the limit was lowered', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const other = await CountingUpstream.start(t)
    let max = 3
    const limits = { maxSockets: () => max, maxIdle: () => 3 }
    const pool = connectionPool(t, { limits })
    const [a, b, c] = await busyCalls(pool, upstream, 3)
    max = 1
    const call = new RecordedExchange(pool, other.url)
    await a!.finish()
    await b!.finish()
    await c!.finish()
    t.equal((await call.over()).text, 'ok')
    await upstream.empty()
    t.match(pool.stats(), { busy: 0, idle: 1, closing: 0 })
  })

  t.test('stops waiting for room when its client leaves', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 1 })
    await busyCalls(pool, upstream, 1)
    const call = new RecordedExchange(pool, upstream.url)
    await turn()
    call.abort()
    await call.over()
    t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
    t.match(pool.stats(), { busy: 1, connecting: 0 })
  })
  t.end()
})

t.test('idle connections', (t) => {
  t.test('are closed when their time has passed, the others later', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { keepaliveExpiryMs: 40 })
    const [a, b] = await busyCalls(pool, upstream, 2)
    await a!.finish()
    const idleFrom = performance.now()
    await a!.closed
    t.ok(performance.now() - idleFrom >= 39, 'not before')
    t.notOk(b!.socket.destroyed, 'what is busy does not grow old')
    await b!.finish()
    await upstream.empty()
    await pool.trim(0)
    t.match(pool.stats(), { idle: 0, closing: 0, closed: { expired: 2 } })
  })

  t.test('stay for ever when they never expire, until that changes', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { keepaliveExpiryMs: null })
    await new RecordedExchange(pool, upstream.url).over()
    pool.setKeepaliveExpiry(60_000)
    await turn()
    t.equal(pool.stats().idle, 1)
    pool.setKeepaliveExpiry(0)
    await pool.trim(0)
    t.equal(upstream.open, 0)
    t.match(pool.stats(), { idle: 0, closed: { expired: 1 } })
  })

  t.test('are kept below their limit: the one that was idle longest goes', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 3, maxIdle: 2 })
    const [a, b, c] = await busyCalls(pool, upstream, 3)
    for (const call of [a!, b!, c!]) await call.finish()
    t.equal(pool.stats().idle, 2)
    await a!.closed
    await pool.trim(3)
    t.equal(upstream.open, 2)
    t.match(pool.stats(), { closed: { excess_idle: 1 } })
  })

  t.test('are trimmed when fewer are allowed than before', async (t) => {
    const upstream = await CountingUpstream.start(t)
    let maxIdle = 3
    const pool = connectionPool(t, { limits: { maxSockets: () => 3, maxIdle: () => maxIdle } })
    for (const call of await busyCalls(pool, upstream, 3)) await call.finish()
    maxIdle = 0
    pool.trimIdle()
    t.equal(pool.stats().idle, 0)
    await upstream.empty()
  })

  t.test('may not exist at all when their limit is 0', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 1, maxIdle: 0 })
    for (let i = 0; i < 3; i++) {
      t.equal((await new RecordedExchange(pool, upstream.url).over()).text, 'ok')
    }
    t.same([upstream.sockets.length, upstream.max], [3, 1])
  })
  t.end()
})

t.test('trim()', (t) => {
  t.test('closes the oldest idle ones and resolves when they are gone', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 5 })
    const calls = await busyCalls(pool, upstream, 5)
    for (const call of calls.slice(0, 4)) await call.finish()
    await pool.trim(3)
    t.equal(upstream.open, 3)
    t.same(
      calls.map(({ socket }) => socket.destroyed),
      [true, true, false, false, false]
    )
    t.match(pool.stats(), { busy: 1, idle: 2, closing: 0, closed: { reclaimed: 2 } })
  })

  t.test('closes the oldest over all origins', async (t) => {
    const here = await CountingUpstream.start(t)
    const there = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const [a, b] = await busyCalls(pool, here, 2)
    const [c, d] = await busyCalls(pool, there, 2)
    for (const call of [a!, c!, b!, d!]) await call.finish()
    await pool.trim(2)
    const left = [a!, b!, c!, d!].map(({ socket }) => !socket.destroyed)
    t.same(left, [false, true, false, true])
    t.match(pool.stats(), { idle: 2, closed: { reclaimed: 2 } })
  })

  t.test('closes nothing at or above what is open', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    for (const call of await busyCalls(pool, upstream, 2)) await call.finish()
    await pool.trim(2)
    await pool.trim(3)
    t.equal(pool.stats().idle, 2)
  })

  t.test('leaves what is busy, however low the number', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const [a] = await busyCalls(pool, upstream, 1)
    await pool.trim(0)
    t.notOk(a!.socket.destroyed)
    t.equal(pool.stats().busy, 1)
  })

  t.test('waits for those that were told to close before', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 2 })
    const [a, b] = await busyCalls(pool, upstream, 2)
    await b!.finish()
    a!.call.abort()
    await pool.trim(1)
    t.equal(upstream.open, 1)
    t.notOk(b!.socket.destroyed, 'the one that was closing has sufficed')
  })
  t.end()
})

t.test('close()', async (t) => {
  const upstream = await CountingUpstream.start(t)
  const pool = connectionPool(t)
  const [idle, busy] = await busyCalls(pool, upstream, 2)
  await idle!.finish()
  await pool.close()
  t.equal(upstream.open, 1)
  t.equal(pool.takeIdle(upstream.url), null)
  await t.rejects(pool.open(upstream.url, never), /closed/)
  await busy!.finish()
  t.equal(busy!.call.text, 'ok', 'what was busy ends')
  t.equal(pool.stats().idle, 0, 'and closes then')
  await upstream.empty()
})

/** Clients come, go at any moment and in any phase; the upstream does what upstreams do. */
t.test('any storm of clients and failures', (t) => {
  for (const seed of [1, 2, 3]) {
    t.test(`never takes more sockets than allowed (seed ${seed})`, async (t) => {
      const random = seededRandom(seed)
      const upstream = await CountingUpstream.start(t, (request, response) => {
        request.resume()
        const fate = random()
        if (fate < 0.1) request.socket.destroy()
        else if (fate < 0.2) request.socket.resetAndDestroy()
        else if (fate < 0.3) response.setHeader('connection', 'close').end('bye')
        else if (fate < 0.4) response.end('ok', () => request.socket.end())
        else answerSlowly(response, random)
      })
      // The same upstream under another name: idle connections to one have to make room for the other.
      const other = new URL(`http://[::ffff:127.0.0.1]:${upstream.url.port}/`)
      const max = 8
      upstream.ceiling = max
      const pool = connectionPool(t, { max, maxIdle: 5, keepaliveExpiryMs: 15 })
      const calls: RecordedExchange[] = []
      const client = async (): Promise<void> => {
        for (let i = 0; i < 25; i++) {
          const call: RecordedExchange = new RecordedExchange(
            pool,
            random() < 0.5 ? upstream.url : other,
            {
              body: Buffer.alloc(random() < 0.1 ? 3_000_000 : 100, 'x'),
              onChunk: () => {
                if (random() < 0.2) call.exchange.pause()
                else if (random() < 0.1) call.abort()
              }
            }
          )
          calls.push(call)
          const timer = setTimeout(() => call.abort(), random() * 40)
          await call.over()
          clearTimeout(timer)
          if (random() < 0.1) void pool.trim(Math.floor(random() * max))
        }
      }
      await Promise.all(Array.from({ length: max }, client)) // as many as there are permits
      t.ok(upstream.max <= max, `${upstream.max} sockets at once, ${max} allowed`)
      t.ok(calls.some(({ ends }) => ends === 1) && calls.some(({ causes }) => causes.length === 1))
      t.same(
        calls.filter(
          ({ ends, causes, settlements }) => ends + causes.length !== 1 || settlements !== 1
        ),
        [],
        'each ended once and gave its permit back once'
      )
      await pool.trim(0)
      await upstream.empty()
      t.match(pool.stats(), { busy: 0, idle: 0, connecting: 0, closing: 0 })
      t.equal(closeWaits(upstream.url), 0)
    })
  }
  t.end()
})

interface BusyCall {
  readonly call: RecordedExchange
  /** The upstream's end of its connection. */
  readonly socket: Socket
  readonly closed: Promise<unknown>
  /** Lets the upstream answer; resolves when the permit is back. */
  readonly finish: () => Promise<unknown>
}

/** So many calls, one after the other, that the upstream answers when it is told to. */
async function busyCalls(
  pool: ConnectionPool,
  upstream: CountingUpstream,
  count: number
): Promise<readonly BusyCall[]> {
  const { onRequest } = upstream
  const calls: BusyCall[] = []
  for (let i = 0; i < count; i++) {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>()
    upstream.onRequest = (_request, response) => resolve(response)
    const call = new RecordedExchange(pool, upstream.url)
    const response = await promise
    const socket = response.socket!
    const finish = (): Promise<unknown> => {
      response.end('ok')
      return call.over()
    }
    calls.push({ call, socket, closed: new Promise((done) => socket.once('close', done)), finish })
  }
  upstream.onRequest = onRequest
  return calls
}

/** Lets what is due happen. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function answerSlowly(response: ServerResponse, random: () => number): void {
  let chunks = Math.floor(random() * 5)
  const next = (): void => {
    if (response.destroyed) return
    if (chunks-- <= 0) response.end('end')
    else
      response.write(Buffer.alloc(random() < 0.2 ? 200_000 : 20, 'x'), () =>
        setTimeout(next, random() * 6)
      )
  }
  setTimeout(next, random() * 10)
}

/** Sockets of this process to a port whose peer has closed and that we have not. */
function closeWaits({ port }: URL): number {
  const remote = `0100007F:${Number(port).toString(16).toUpperCase().padStart(4, '0')}`
  const CLOSE_WAIT = '08'
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , peer, state]) => peer === remote && state === CLOSE_WAIT).length
}
