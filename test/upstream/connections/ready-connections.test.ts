import { createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Connection } from '../../../src/upstream/connections/connection.ts'
import { READY_FOR_MS, ReadyConnections } from '../../../src/upstream/connections/pool.ts'
import { countAlive } from '../../helper/alive-sockets.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { connectionPool, RecordedExchange } from '../../helper/recorded-exchange.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { selfSignedCertificate } from '../../helper/self-signed-certificate.ts'
import { serverUrl } from '../../helper/server-url.ts'

t.setTimeout(120_000) // real sockets, on a machine that may be busy

const origin = new URL('https://upstream.test')
const certificate = selfSignedCertificate()

/** A pool of which only counts are there; connections that are opened sit idle at once. */
class CountedPool {
  readonly idle: Connection[] = []
  busy = 0
  maxSockets = 10
  maxIdle = 10
  minIdle = 2
  expiryMs: number | null = 60_000
  isBroken = false
  readonly opened: number[] = []
  now = 1000
  readonly ready = new ReadyConnections({
    limits: {
      maxSockets: () => this.maxSockets,
      maxIdle: () => this.maxIdle,
      minIdle: () => this.minIdle
    },
    idle: this.idle,
    expiryMs: () => this.expiryMs,
    counts: () => ({ busy: this.busy, sockets: this.busy + this.idle.length }),
    establish: async (to) => {
      this.opened.push(this.now)
      if (this.isBroken) throw new Error('refused')
      return this.connection(to)
    },
    rest: (connection) => this.idle.push(connection)
  })

  connection(to: URL): Connection {
    const made = { origin: to, isIdle: true, isAhead: true, requests: 0, idleSince: this.now }
    return { ...made, rest: () => {} } as unknown as Connection
  }

  use(): void {
    this.ready.lastUse = { origin, at: this.now }
  }

  /** So many seconds pass. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.now += 1000
      this.ready.tick(this.now)
      await new Promise((resolve) => setImmediate(resolve)) // what it opens is open
    }
  }

  /** The peer closes the oldest. */
  end(openMs: number, reason: 'peer_fin' | 'reclaimed' = 'peer_fin'): void {
    const connection = this.idle.shift()
    if (connection !== undefined) this.ready.ended(connection, { reason, openMs })
  }
}

t.test('opens nothing before the first request', async (t) => {
  const pool = new CountedPool()
  await pool.pass(100)
  t.same(pool.opened, [])
})

t.test('opens what is missing after one, and no more', async (t) => {
  const pool = new CountedPool()
  pool.use()
  pool.idle.push(pool.connection(origin))
  await pool.pass(30)
  t.equal(pool.opened.length, 1)
  t.equal(pool.idle.length, 2)
})

t.test('counts neither what is busy nor what leads elsewhere', async (t) => {
  const pool = new CountedPool()
  pool.use()
  pool.busy = 3
  pool.idle.push(pool.connection(new URL('https://other.test')))
  await pool.pass(5)
  t.equal(pool.opened.length, 2)
})

t.test('keeps within the limits', async (t) => {
  const pool = new CountedPool()
  pool.use()
  pool.maxSockets = 4
  pool.busy = 3
  await pool.pass(5)
  t.equal(pool.opened.length, 1, 'room for one')
  const other = new CountedPool()
  other.use()
  other.maxIdle = 1
  await other.pass(5)
  t.equal(other.opened.length, 1, 'one may sit idle')
  const off = new CountedPool()
  off.use()
  off.minIdle = 0
  await off.pass(5)
  t.equal(off.opened.length, 0, 'none is wanted')
})

t.test('replaces what will soon be closed for its age', async (t) => {
  const pool = new CountedPool()
  pool.use()
  await pool.pass(57)
  t.equal(pool.opened.length, 2)
  await pool.pass(2)
  t.equal(pool.opened.length, 4)
})

t.test('ends half an hour after the last request', async (t) => {
  const pool = new CountedPool()
  pool.use()
  const lastUse = pool.now
  for (let minute = 0; minute < 120; minute++) {
    pool.end(60_000)
    await pool.pass(60)
  }
  t.ok(pool.opened.length > 25, `${pool.opened.length} opened`)
  t.ok((pool.opened.at(-1) ?? 0) <= lastUse + READY_FOR_MS)
})

t.test('asks an upstream that cannot be reached more and more seldom', async (t) => {
  const pool = new CountedPool()
  pool.use()
  pool.isBroken = true
  await pool.pass(1200)
  t.ok(pool.opened.length <= 20, `${pool.opened.length} attempts in 20 minutes`)
  pool.isBroken = false
  pool.use()
  await pool.pass(11)
  t.equal(pool.idle.length, 2, 'a request makes it look again')
})

t.test('opens less and less where the peer closes what is not used', async (t) => {
  const pool = new CountedPool()
  pool.use()
  for (let second = 0; second < 1200; second += 5) {
    await pool.pass(5)
    while (pool.idle.length > 0) pool.end(5000)
  }
  t.ok(pool.opened.length <= 20, `${pool.opened.length} opened in 20 minutes`)
})

t.test('what another worker took back is not held against the upstream', async (t) => {
  const pool = new CountedPool()
  pool.use()
  for (let round = 1; round <= 5; round++) {
    await pool.pass(1)
    t.equal(pool.opened.length, round * 2)
    while (pool.idle.length > 0) pool.end(500, 'reclaimed')
  }
})

for (const protocol of ['http', 'https'] as const) {
  const start = async (t: Test, changes: Parameters<typeof connectionPool>[1] = {}) => {
    const upstream = await CountingUpstream.start(
      t,
      undefined,
      protocol === 'https' ? certificate : undefined
    )
    const limits = { maxSockets: () => 10, maxIdle: () => 10, minIdle: () => 2 }
    const pool = connectionPool(t, { limits, ca: certificate.cert, ...changes })
    await new RecordedExchange(pool, upstream.url).over()
    return { upstream, pool }
  }

  t.test(`over ${protocol}`, (t) => {
    t.test('keeps two ready, and requests take them', async (t) => {
      const { upstream, pool } = await start(t)
      await until(() => pool.stats().idle === 2)
      t.match(pool.stats(), { opened: 2, openedFor: { first: 1, ahead: 1 }, connecting: 0 })
      const calls = [1, 2].map(() => new RecordedExchange(pool, upstream.url).over())
      for (const { text } of await Promise.all(calls)) t.equal(text, 'ok')
      t.match(pool.stats(), { opened: 2, reused: 2 })
    })

    t.test('opens another where the peer has closed one', async (t) => {
      const { upstream, pool } = await start(t)
      await until(() => pool.stats().idle === 2)
      for (const socket of upstream.sockets) socket.end()
      await until(() => pool.stats().closed.peer_fin === 2)
      await until(() => pool.stats().idle === 2 && upstream.open === 2)
    })

    t.test('drops one on which bytes come before its first request', async (t) => {
      const { upstream, pool } = await start(t)
      await until(() => pool.stats().idle === 2)
      const poison = 'HTTP/1.1 408 Request Timeout\r\ncontent-length: 6\r\n\r\npoison'
      upstream.sockets[1]?.write(poison)
      await until(() => (pool.stats().closed.error ?? 0) >= 1)
      const next = await new RecordedExchange(pool, upstream.url).over()
      t.same([next.text, next.statuses], ['ok', [200]])
    })

    t.test('sends a request again where one was closed just as it was written', async (t) => {
      const { upstream, pool } = await start(t)
      await until(() => pool.stats().idle === 2)
      upstream.onRequest = (request, response) => {
        if (upstream.requests === 2) {
          request.socket.destroy()
          return
        }
        response.end('ok')
      }
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.same([call.text, call.sent, call.causes], ['ok', 2, []])
    })
    t.end()
  })
}

t.test('trim() ends what is being opened', async (t) => {
  const accepted = new Set<Socket>()
  const deaf = createServer((socket) => {
    accepted.add(socket)
    socket.on('error', () => {}).once('close', () => accepted.delete(socket))
  })
  const url = await serverUrl(deaf, 'https')
  t.teardown(() => deaf.close())
  const upstream = await CountingUpstream.start(t)
  let max = 10
  const limits = { maxSockets: () => max, maxIdle: () => 10, minIdle: () => 2 }
  const pool = connectionPool(t, { limits, connectTimeoutMs: 60_000 })
  await new RecordedExchange(pool, upstream.url).over()
  const lost = new RecordedExchange(pool, url) // to where nothing is ever ready
  await until(() => pool.stats().connecting === 3)
  max = 1
  await pool.trim(1)
  t.match(pool.stats(), { idle: 0, connecting: 1 })
  t.ok(countAlive(accepted, Number(url.port), 1) <= 1, 'they are gone')
  lost.abort()
  await lost.over()
})

t.test('what is ready is given back when there may be fewer', async (t) => {
  const upstream = await CountingUpstream.start(t)
  let max = 2
  const limits = { maxSockets: () => max, maxIdle: () => 10, minIdle: () => 2 }
  const pool = connectionPool(t, { limits })
  await new RecordedExchange(pool, upstream.url).over()
  await until(() => pool.stats().idle === 2)
  max = 1
  await pool.trim(1)
  t.equal(pool.stats().idle, 1)
  t.equal(upstream.max, 2)
})

t.test('there are never more sockets than allowed, whatever happens', async (t) => {
  const seed = 20_261_126
  const random = seededRandom(seed)
  t.comment(`seed ${seed}`)
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    setTimeout(() => response.end('ok'), random() * 30)
  })
  let max = 6
  let permits = max
  const limits = { maxSockets: () => max, maxIdle: () => 3, minIdle: () => 3 }
  const pool = connectionPool(t, { limits, keepaliveExpiryMs: 300 })
  upstream.ceiling = max
  const running = new Set<Promise<unknown>>()
  const endsAt = performance.now() + 6000
  while (performance.now() < endsAt) {
    await delay(random() * 25)
    if (random() < 0.1) {
      const size = 2 + Math.floor(random() * 5)
      permits += size - max
      max = size
      while (permits < 0) await delay(5)
      await pool.trim(max)
      upstream.max = 0
      upstream.ceiling = max
    }
    for (const socket of upstream.sockets.slice(-3)) if (random() < 0.02) socket.end()
    if (permits <= 0) continue
    permits -= 1
    const call = new RecordedExchange(pool, upstream.url)
    if (random() < 0.2) setTimeout(() => call.abort(), random() * 10)
    const over = call.over().finally(() => {
      permits += 1
      running.delete(over)
    })
    running.add(over)
    if (upstream.max > max) break
  }
  t.ok(upstream.max <= max, `${upstream.max} of ${max}`)
  await Promise.all(running)
  t.ok((pool.stats().openedFor.ahead ?? 0) > 0, 'some were opened ahead')
})

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${condition.toString()}`)
    await delay(10)
  }
}
