import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { allocateWithHeadroom, freeMemory } from '../../../src/shared/own-memory.ts'
import { chooseProxy } from '../../../src/upstream/proxy/proxy.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { CountingProxy } from '../../helper/counting-proxy.ts'
import { inTime, SETTLE_MS } from '../../helper/in-time.ts'
import { connectionPool, RecordedExchange } from '../../helper/recorded-exchange.ts'
import { selfSignedCertificate } from '../../helper/self-signed-certificate.ts'
import { serverUrl } from '../../helper/server-url.ts'

/** So long a peer may take to answer our FIN, here always more than it needs. */
const PATIENCE_MS = 30

t.test('Exchange', (t) => {
  t.test('sends the request as it is and gives the answer on', async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      void bodyOf(request).then((body) => response.end(`${request.method} ${request.url} ${body}`))
    })
    const pool = connectionPool(t)
    const url = new URL('/a/b?c=%20d', upstream.url)
    const call = await new RecordedExchange(pool, url, { body: Buffer.from('hello') }).over()
    t.same(call.statuses, [200])
    t.equal(call.text, 'POST /a/b?c=%20d hello')
    t.same([call.ends, call.causes.length, call.settlements], [1, 0, 1])
    t.match(pool.stats(), { busy: 0, idle: 1, opened: 1, reused: 0 })
  })

  t.test('uses a connection again', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const calls: RecordedExchange[] = []
    for (let i = 0; i < 5; i++) calls.push(await new RecordedExchange(pool, upstream.url).over())
    t.equal(upstream.sockets.length, 1)
    t.same(
      calls.map((call) => call.text),
      ['ok', 'ok', 'ok', 'ok', 'ok']
    )
    t.match(pool.stats(), { opened: 1, reused: 4 })
  })

  t.test('never uses one again for what works once, not even where there is no room', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t, { max: 2 })
    const twice = [0, 1].map(() => new RecordedExchange(pool, upstream.url).over())
    await Promise.all(twice)
    t.match(pool.stats(), { idle: 2, opened: 2 })
    const call = await new RecordedExchange(pool, upstream.url, { isOnce: true }).over()
    t.equal(call.text, 'ok')
    t.match(pool.stats(), { opened: 3, busy: 0 })
    t.equal(upstream.sockets.length, 3, 'it has one of its own')
  })

  t.test('does not take an interim answer for the answer', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.writeEarlyHints({ link: '</x>; rel=preload' })
      response.writeHead(201).end('made')
    })
    const call = await new RecordedExchange(connectionPool(t), upstream.url).over()
    t.same(call.statuses, [201])
    t.equal(call.text, 'made')
  })

  t.test('closes the connection after an answer that says so', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.setHeader('connection', 'close')
      response.end('bye')
    })
    const pool = connectionPool(t)
    const call = await new RecordedExchange(pool, upstream.url).over()
    t.same([call.text, call.ends, call.settlements], ['bye', 1, 1])
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0, closed: { server_close: 1 } })
    await upstream.empty()
  })

  t.test('takes an answer whose end is the end of the connection', async (t) => {
    const url = await rawUpstream(t, (socket) => {
      socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end')
    })
    const pool = connectionPool(t)
    const call = await new RecordedExchange(pool, url).over()
    t.same([call.text, call.ends, call.settlements], ['until the end', 1, 1])
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
  })

  t.test('fails when the request cannot be written', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const headers = { 'x-bad': 'a\r\nb' }
    const call = await new RecordedExchange(pool, upstream.url, { headers }).over()
    t.match(call.cause, { code: 'UND_ERR_INVALID_ARG' })
    t.equal(call.settlements, 1)
    t.match(pool.stats(), { busy: 0, idle: 0 })
  })
  t.end()
})

t.test('a connection that breaks', (t) => {
  for (const reset of [false, true]) {
    const how = reset ? 'reset' : 'closed'
    t.test(`is replaced once if it was reused and ${how} before any byte`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      await new RecordedExchange(pool, upstream.url).over()
      let breaks = 1
      upstream.onRequest = (request, response) => {
        if (breaks-- > 0) breakOff(request, reset)
        else response.end('second')
      }
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.sent, 2)
      t.equal(call.text, 'second')
      t.same([call.ends, call.causes.length, call.settlements], [1, 0, 1])
      t.equal(upstream.max, 1, 'the broken one had gone before')
    })
    t.test(`is not replaced twice (${how})`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      await new RecordedExchange(pool, upstream.url).over()
      upstream.onRequest = (request) => breakOff(request, reset)
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.sent, 2)
      t.match(call.cause, { code: reset ? 'ECONNRESET' : 'UND_ERR_SOCKET' })
      t.same([call.causes.length, call.settlements], [1, 1])
      t.equal(upstream.requests, 3)
    })
    t.test(`fails the request at once if it was fresh (${how})`, async (t) => {
      const upstream = await CountingUpstream.start(t, (request) => breakOff(request, reset))
      const call = await new RecordedExchange(connectionPool(t), upstream.url).over()
      t.equal(call.sent, 1)
      t.equal(upstream.requests, 1)
      t.same([call.causes.length, call.settlements], [1, 1])
    })
    t.test(`fails an answer that has begun (${how})`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      await new RecordedExchange(pool, upstream.url).over()
      upstream.onRequest = (request, response) => {
        response.write('begun', () => breakOff(request, reset))
      }
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.sent, 1)
      t.same([call.ends, call.causes.length, call.settlements], [0, 1, 1])
      t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
    })
  }

  for (const [what, bytes] of [
    ['a part of the status line', 'HTTP/1.1 2'],
    ['a part of the headers', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n']
  ] as const) {
    t.test(`is not replaced once ${what} had come`, async (t) => {
      let requests = 0
      const url = await rawUpstream(t, (socket) => {
        requests += 1
        if (requests === 1) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
        else socket.end(bytes)
      })
      const pool = connectionPool(t)
      await new RecordedExchange(pool, url).over()
      const call = await new RecordedExchange(pool, url).over()
      t.equal(call.sent, 1)
      t.equal(requests, 2)
      t.same([call.causes.length, call.settlements], [1, 1])
    })
  }

  t.test('is replaced if it was idle for too long and nobody has noticed yet', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.setHeader('keep-alive', 'timeout=3') // the engine takes two seconds off
      response.end('ok')
    })
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    await new Promise((resolve) => setTimeout(resolve, 10)) // by then the engine knows that it is idle
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_200) // no timer fires meanwhile
    const body = Buffer.alloc(300_000, 'x')
    const call = await new RecordedExchange(pool, upstream.url, { body }).over()
    t.same(call.causes, [])
    t.same([call.sent, call.text, call.ends, call.settlements], [2, 'ok', 1, 1])
    t.equal(upstream.max, 1, 'the old one had gone before')
  })

  t.test('is not replaced for a client that has left', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    const call: RecordedExchange = new RecordedExchange(pool, upstream.url)
    upstream.onRequest = (request) => {
      request.socket.once('close', () => call.abort())
      breakOff(request, false)
    }
    await call.over()
    t.same([call.causes.length, call.settlements, call.ends], [1, 1, 0])
    t.equal(upstream.requests, 2)
  })

  t.test('fails an answer shorter than it was declared', async (t) => {
    const url = await rawUpstream(t, (socket) => {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort')
    })
    const call = await new RecordedExchange(connectionPool(t), url).over()
    t.match(call.cause, { code: /UND_ERR/ })
    t.equal(call.ends, 0)
  })

  t.test('fails an answer that is no HTTP', async (t) => {
    const url = await rawUpstream(t, (socket) => void socket.write('SSH-2.0-server\r\n'))
    const pool = connectionPool(t)
    const call = await new RecordedExchange(pool, url).over()
    t.match(call.cause, { name: 'HTTPParserError' })
    t.equal(call.settlements, 1)
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
  })

  t.end()
})

t.test('abort()', (t) => {
  const reason = new Error('nothing more is wanted')

  t.test('ends a call whose connection is being opened', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const call = new RecordedExchange(pool, upstream.url)
    call.exchange.abort(reason)
    await call.over()
    t.same([call.sent, call.causes, call.settlements], [0, [reason], 1])
    t.match(pool.stats(), { busy: 0, connecting: 0 })
    await upstream.empty()
  })

  t.test('ends a call between a connection that broke and a fresh one', async (t) => {
    let requests = 0
    const upstream = await CountingUpstream.start(t, (request, response) => {
      requests += 1
      if (requests === 1) response.end('a')
      else request.socket.destroy()
    })
    const pool = connectionPool(t)
    await new RecordedExchange(pool, upstream.url).over()
    const call = new RecordedExchange(pool, upstream.url)
    const discard = pool.discard.bind(pool)
    pool.discard = (connection) => {
      call.exchange.abort(reason)
      return discard(connection)
    }
    await call.over()
    t.same([call.sent, call.causes, call.settlements], [1, [reason], 1])
    t.equal(requests, 2, 'it is not sent again')
  })

  t.test('by the reader that is told of the sending sends nothing', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    const call = new RecordedExchange(pool, upstream.url, {
      onSent: ({ exchange }) => exchange.abort(reason)
    })
    await call.over()
    t.same([call.causes, call.settlements, upstream.requests], [[reason], 1, 0])
  })

  t.test('does nothing after the end', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => response.end('a'))
    const pool = connectionPool(t)
    const call = await new RecordedExchange(pool, upstream.url).over()
    call.exchange.abort(reason)
    t.same([call.ends, call.causes, call.settlements], [1, [], 1])
    t.match(pool.stats(), { busy: 0, idle: 1 })
  })
  t.end()
})

t.test('a client that leaves', (t) => {
  t.test('while the upstream is silent', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await inTime(t, SETTLE_MS, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      upstream.onRequest = () => resolve()
      const call = new RecordedExchange(pool, upstream.url)
      await promise
      const tookMs = await leave(t, call)
      await upstream.empty()
      return tookMs
    })
  })

  t.test('in the middle of an answer', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      const timer = setInterval(() => response.write('tick'), 1)
      response.once('close', () => clearInterval(timer))
    })
    const pool = connectionPool(t)
    await inTime(t, SETTLE_MS, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const call = new RecordedExchange(pool, upstream.url, { onChunk: () => resolve() })
      await promise
      const tookMs = await leave(t, call)
      await upstream.empty()
      return tookMs
    })
  })

  // The answer to our FIN is seen behind what was not read.
  t.test('while the answer is paused for it', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => flood(response))
    const pool = connectionPool(t)
    await inTime(t, PATIENCE_MS, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const call: RecordedExchange = new RecordedExchange(pool, upstream.url, {
        onChunk: () => {
          call.exchange.pause()
          resolve()
        }
      })
      await promise
      const tookMs = await leave(t, call)
      await upstream.empty()
      return tookMs
    })
  })

  // Nobody waits for a FIN that cannot arrive.
  t.test('while its body is still being written to an upstream that does not read', async (t) => {
    const body = Buffer.alloc(32 * 1024 * 1024, 'x')
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await inTime(t, PATIENCE_MS, async () => {
      const { promise, resolve } = Promise.withResolvers<IncomingMessage>()
      upstream.onRequest = (request) => resolve(request.pause())
      const call = new RecordedExchange(pool, upstream.url, { body })
      const request = await promise
      const tookMs = await leave(t, call)
      request.resume() // one that does not read does not see that we have gone either
      await upstream.empty()
      return tookMs
    })
  })

  t.test('and whose upstream does not answer our FIN', async (t) => {
    let requests = 0
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.on('data', () => {
        requests += 1
        server.emit('sent')
      })
    })
    const url = await serverUrl(server)
    t.teardown(() => server.close())
    const pool = connectionPool(t)
    let calls = 0
    await inTime(t, SETTLE_MS, async () => {
      const call = new RecordedExchange(pool, url)
      await once(server, 'sent')
      calls += 1
      return leave(t, call)
    })
    t.equal(requests, calls)
    t.match(pool.stats(), { busy: 0, closing: 0, closed: { abandoned: calls } })
  })

  for (const isReused of [false, true]) {
    const which = isReused ? 'reused' : 'fresh'
    t.test(`before it began (${which})`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      if (isReused) await new RecordedExchange(pool, upstream.url).over()
      const call = new RecordedExchange(pool, upstream.url, { isAborted: true })
      await call.over()
      t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
      t.equal(upstream.requests, isReused ? 1 : 0)
      t.match(pool.stats(), { busy: 0, idle: 0, connecting: 0, closing: 0 })
    })
    t.test(`at the moment of sending (${which})`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      if (isReused) await new RecordedExchange(pool, upstream.url).over()
      const call = new RecordedExchange(pool, upstream.url, { onSent: (call) => call.abort() })
      await call.over()
      t.same([call.sent, call.causes.length, call.settlements], [1, 1, 1])
      t.match(pool.stats(), { busy: 0, idle: 0, connecting: 0, closing: 0 })
    })
  }

  t.test('while connecting', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const pool = connectionPool(t)
    await inTime(t, SETTLE_MS, async () => {
      const call = new RecordedExchange(pool, upstream.url)
      t.equal(pool.stats().connecting, 1)
      const reason = new Error('left')
      const leftAt = performance.now()
      call.abort(reason)
      await call.over()
      const tookMs = performance.now() - leftAt
      t.same(call.causes, [reason])
      t.same([call.sent, call.settlements], [0, 1])
      await upstream.empty()
      return tookMs
    })
    t.match(pool.stats(), { busy: 0, idle: 0, connecting: 0 })
  })
  t.end()
})

t.test('pause() and resume()', (t) => {
  t.test('stop an answer and let it go on', async (t) => {
    const total = 16 * 1024 * 1024
    const upstream = await CountingUpstream.start(t, (_request, response) => flood(response, total))
    const { promise: paused, resolve } = Promise.withResolvers<void>()
    const call: RecordedExchange = new RecordedExchange(connectionPool(t), upstream.url, {
      onChunk: () => {
        if (call.bytes > 1_000_000) return
        call.exchange.pause()
        resolve()
      }
    })
    await paused
    const before = call.bytes
    const [socket] = upstream.sockets
    // The upstream can write no more: kernel buffers are full and nobody reads.
    await stuck(socket!)
    t.ok(call.bytes - before < 1_000_000, 'what was read already may still come')
    t.ok(call.bytes < total)
    while (call.bytes < 1_000_000) {
      call.exchange.resume()
      await new Promise((resolve) => setImmediate(resolve))
    }
    call.exchange.resume()
    await call.over()
    t.same([call.bytes, call.ends], [total, 1])
  })

  for (const which of ['fresh', 'reused']) {
    t.test(`stop an answer before it has begun, on a ${which} connection`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const pool = connectionPool(t)
      if (which === 'reused') await new RecordedExchange(pool, upstream.url).over()
      const total = 16 * 1024 * 1024
      upstream.onRequest = (_request, response) => flood(response, total)
      const call = new RecordedExchange(pool, upstream.url)
      call.exchange.pause()
      while (call.statuses.length === 0) await new Promise((resolve) => setImmediate(resolve))
      const [socket] = upstream.sockets
      await stuck(socket!)
      t.equal(call.bytes, 0)
      call.exchange.resume()
      await call.over()
      t.same([call.bytes, call.ends], [total, 1])
    })
  }
  t.end()
})

t.test('silence inside an answer', { jobs: 2 }, (t) => {
  t.test('ends it after the timeout', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.write('and then')
    })
    const call = new RecordedExchange(connectionPool(t), upstream.url, { bodyTimeoutMs: 100 })
    await call.over()
    t.equal(call.text, 'and then')
    t.match(call.cause, { code: 'UND_ERR_BODY_TIMEOUT' })
    t.equal(call.settlements, 1)
  })

  t.test('is not counted while its client does not read', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => flood(response))
    const pool = connectionPool(t)
    const call: RecordedExchange = new RecordedExchange(pool, upstream.url, {
      bodyTimeoutMs: 100,
      onChunk: () => call.exchange.pause()
    })
    // The engine looks at its clock about once a second; this one has fallen silent and times out.
    upstream.onRequest = (_request, response) => void response.write('x')
    const witness = new RecordedExchange(pool, upstream.url, { bodyTimeoutMs: 100 })
    await witness.over()
    t.match(witness.cause, { code: 'UND_ERR_BODY_TIMEOUT' })
    t.same([call.causes.length, call.ends], [0, 0])
    t.ok(call.bytes > 0)
    call.abort()
    await call.over()
  })
  t.end()
})

/** Lets the client of a call leave: nothing is told twice. Gives the milliseconds until its permit was back. */
async function leave(t: Test, call: RecordedExchange): Promise<number> {
  const reason = new Error('left')
  const leftAt = performance.now()
  call.abort(reason)
  t.same(call.causes, [reason], 'the reader hears of it at once')
  await call.settled
  const tookMs = performance.now() - leftAt
  call.abort()
  t.same([call.ends, call.causes.length, call.settlements], [0, 1, 1])
  return tookMs
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

function breakOff({ socket }: IncomingMessage, reset: boolean): void {
  if (reset) socket.resetAndDestroy()
  else socket.destroy()
}

/** Writes as fast as it is read, up to a total. */
function flood(response: ServerResponse, total = Infinity): void {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let left = total
  const write = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= chunk.byteLength
      if (!response.write(chunk)) return void response.once('drain', write)
    }
    response.end()
  }
  write()
}

/** A TCP server that acts once for each request, which must come in one piece. */
async function rawUpstream(t: Test, onRequest: (socket: Socket) => void): Promise<URL> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => onRequest(socket))
  })
  t.teardown(() => server.close())
  return serverUrl(server)
}

/** Resolves when the kernel takes no more of what is written to a socket. */
async function stuck(socket: Socket): Promise<void> {
  let before = -1
  for (let rounds = 0; rounds < 20; rounds++) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    const written = socket.bytesWritten - socket.writableLength
    if (written !== before) rounds = 0
    before = written
  }
}

const certificate = selfSignedCertificate()

t.test('an upstream that resets a connection over TLS', async (t) => {
  for (const [when, begins] of [
    ['before its answer', false],
    ['in the middle of it', true]
  ] as const) {
    t.test(`${when} fails that exchange alone`, async (t) => {
      const upstream = await CountingUpstream.start(
        t,
        (_request, response) => {
          if (begins) response.writeHead(200).write('half')
          setImmediate(() => upstream.sockets.at(-1)?.resetAndDestroy())
        },
        certificate
      )
      const pool = connectionPool(t, { ca: certificate.cert })
      for (let i = 0; i < 20; i++) {
        const { causes, settlements } = await new RecordedExchange(pool, upstream.url, {
          body: Buffer.alloc(300_000, 'x')
        }).over()
        t.same([causes.length, settlements], [1, 1])
      }
      t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
    })
  }
})

function refuseUnread(socket: Socket): void {
  socket.on('error', () => {})
  socket.once('data', () => {
    socket.pause()
    socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno')
  })
}

t.test('an upstream that answers before it has read a request, and ends at once', async (t) => {
  for (const isTls of [false, true]) {
    t.test(isTls ? 'over TLS' : 'in the clear', async (t) => {
      const server = isTls ? createTlsServer(certificate, refuseUnread) : createServer(refuseUnread)
      t.teardown(() => server.close())
      const url = await serverUrl(server, isTls ? 'https' : 'http')
      const pool = connectionPool(t, { ca: certificate.cert })
      const body = allocateWithHeadroom(16 * 1024 * 1024).fill('x')
      for (let i = 0; i < 5; i++) {
        const call = new RecordedExchange(pool, url, { body })
        await call.over()
        t.same([call.statuses, call.text], [[400], 'no'])
        t.match(pool.stats(), { busy: 0, idle: 0, closing: 0, opened: i + 1 })
      }
      freeMemory(body)
      t.equal(body.byteLength, 0, 'nobody sends it any more')
    })
  }
})

t.test('an upstream that ends a connection whose request it has not read', async (t) => {
  for (const isTls of [false, true]) {
    t.test(isTls ? 'over TLS' : 'in the clear', async (t) => {
      const ends: (() => void)[] = []
      const onSocket = (socket: Socket): void => {
        socket.on('error', () => {})
        socket.once('data', () => {
          socket.pause()
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
          ends.push(() => socket.end())
        })
      }
      const server = isTls ? createTlsServer(certificate, onSocket) : createServer(onSocket)
      t.teardown(() => server.close())
      const url = await serverUrl(server, isTls ? 'https' : 'http')
      const pool = connectionPool(t, { ca: certificate.cert })
      for (let i = 0; i < 5; i++) {
        const body = Buffer.alloc(16 * 1024 * 1024, 'x')
        const call = await new RecordedExchange(pool, url, { body }).over()
        t.same([call.text, call.ends, call.settlements], ['ok', 1, 1])
        t.match(pool.stats(), { idle: 0 }, 'no other request goes behind the rest of this one')
        ends.pop()?.()
        while (pool.stats().idle + pool.stats().closing > 0) await delay(5)
      }
      t.match(pool.stats(), { busy: 0, idle: 0, closing: 0, opened: 5 })
    })
  }
})

for (const way of ['in the clear', 'over TLS', 'through a proxy'] as const) {
  t.test(
    `memory that one connection still sends is not freed by the answer on another, ${way}`,
    async (t) => {
      const sockets: Socket[] = []
      const onSocket = (socket: Socket): void => {
        sockets.push(socket)
        socket.on('error', () => {})
        socket.pause()
      }
      const isTls = way === 'over TLS'
      const server = isTls ? createTlsServer(certificate, onSocket) : createServer(onSocket)
      t.teardown(() => server.close())
      const url = await serverUrl(server, isTls ? 'https' : 'http')
      const proxy = way === 'through a proxy' ? await CountingProxy.start(t, 'http') : null
      const proxies = { url: proxy?.url ?? null, httpsUrl: null, exceptions: null }
      const pool = connectionPool(t, { ca: certificate.cert, chooseProxy: chooseProxy(proxies) })
      const body = allocateWithHeadroom(16 * 1024 * 1024).fill('x')
      const first = new RecordedExchange(pool, url, { body })
      while (first.sent === 0 || sockets.length === 0) await delay(5)
      const second = new RecordedExchange(pool, url, {
        body,
        onHeaders: () => second.exchange.releaseBody()
      })
      while (sockets.length < 2) await delay(5)
      sockets[1]?.resume()
      let read = 0
      sockets[1]?.on('data', (chunk: Buffer) => {
        read += chunk.byteLength
        if (read < body.byteLength) return
        sockets[1]?.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      })
      await second.over()
      t.equal(second.text, 'ok')
      t.equal(body.byteLength, 16 * 1024 * 1024, 'the first has not sent all of it')
      first.abort()
      await first.over()
      while (pool.stats().closing > 0) await delay(5)
      freeMemory(body)
      t.equal(body.byteLength, 0, 'once that is closed, nobody reads it')
    }
  )
}
