import { once } from 'node:events'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { ClientConnections, type ConnectionsOptions } from '../../../src/server/http/connections.ts'
import { isInCrumbs, PacedRequest } from '../../../src/server/body/request-body.ts'
import { alivePeers, heldFor } from '../../chaos/kernel-view.ts'
import { serverUrl } from '../../helper/server-url.ts'

const GET = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'
/** More than the kernel takes for a client that reads nothing. */
const LARGE = Buffer.alloc(32 * 2 ** 20, 'x')

const NO_TABLE = process.platform === 'linux' ? false : 'only Linux says what is unsent'

interface Stand {
  readonly connections: ClientConnections
  readonly server: Server
  readonly port: number
  /** Requests that reached the handler. */
  readonly requests: { readonly request: IncomingMessage; readonly response: ServerResponse }[]
  /** A client that reads nothing before it is told to. */
  client(): Promise<Socket>
}

async function setUp(
  t: Test,
  handler: RequestListener = (_request, response) => response.end('ok'),
  options: Partial<ConnectionsOptions> = {}
): Promise<Stand> {
  const requests: Stand['requests'] = []
  const connections = new ClientConnections({
    maxConnections: 1000,
    socketBytes: 2 ** 30,
    stallTimeoutMs: () => 60_000,
    headersTimeoutMs: 60_000,
    describeError: () => 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n',
    refuse: () => false,
    ...options
  })
  const server = connections.createServer((request, response) => {
    requests.push({ request, response })
    handler(request, response)
  })
  const { port: text } = await serverUrl(server)
  const port = Number(text)
  t.teardown(() => {
    server.close()
    connections.destroy()
  })
  const client = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {}) // many are reset
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { connections, server, port, requests, client }
}

/** Everything up to the end of the connection; how it ended. */
async function rest(socket: Socket): Promise<{ text: string; isReset: boolean }> {
  let text = ''
  let isReset = false
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {
    isReset = true
  })
  await closed(socket)
  return { text, isReset }
}

/** Resolves once neither the server nor the system knows a connection to it any more. */
async function gone({ port, connections }: Stand): Promise<boolean> {
  while (alivePeers(port).size > 0 || connections.size > 0) await turn()
  return true
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10))
}

/** What is answered first, or nothing for a client that is cut off. */
async function ask(client: Socket): Promise<string> {
  client.write(GET)
  return String(await Promise.race([once(client, 'data'), once(client, 'close')]))
}

/** Reads more than so many bytes, unless it is cut off. Gives how many. */
async function readBeyond(client: Socket, bytes: number): Promise<number> {
  let got = 0
  const take = (chunk: Buffer): void => {
    got += chunk.byteLength
  }
  client.on('data', take).resume()
  while (got <= bytes && !client.destroyed) await turn()
  client.off('data', take).pause()
  return got
}

/** For those that may be reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })
}

t.test('requests that a client sends before it has an answer', (t) => {
  t.test('are answered one after the other, in order', async (t) => {
    const held: ServerResponse[] = []
    const stand = await setUp(t, (_request, response) => void held.push(response))
    const client = await stand.client()
    client.write(GET.replace('/', '/1') + GET.replace('/', '/2') + GET.replace('/', '/3'))
    let seen = ''
    client.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
    for (let i = 1; i <= 3; i++) {
      while (held.length < i) await once(stand.server, 'request').catch(() => {})
      t.equal(held.length, i, 'the next one has not begun')
      held[i - 1]?.end(`answer ${i}`)
      while (!seen.includes(`answer ${i}`)) await once(client, 'data')
      if (i < 3 && held.length === i) await new Promise((resolve) => setImmediate(resolve))
    }
    t.same(
      stand.requests.map(({ request }) => request.url),
      ['/1', '/2', '/3']
    )
  })

  t.test('are all answered as long as they are few', async (t) => {
    const stand = await setUp(t)
    const client = await stand.client()
    for (let round = 0; round < 3; round++) {
      if (round === 1)
        for (const { request } of stand.requests) stand.connections.vouch(request.socket)
      client.write(GET.repeat(16))
      let seen = ''
      while (seen.split('HTTP/1.1 200').length <= 16) seen += (await once(client, 'data'))[0]
    }
    t.equal(stand.requests.length, 48)
    t.equal(stand.connections.size, 1, 'and the connection stays')
  })

  t.test(
    'are answered behind one whose upgrade nobody takes, in the same read and in later ones',
    async (t) => {
      const stand = await setUp(t)
      const client = await stand.client()
      const h2c =
        'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n'
      const upgrade = GET.replace('\r\n\r\n', `\r\n${h2c}\r\n`)
      const unlisted = GET.replace('\r\n\r\n', '\r\nupgrade: h2c\r\n\r\n')
      const post = `POST / HTTP/1.1\r\nhost: a\r\n${h2c}content-length: 4\r\n\r\nbo`
      let seen = ''
      client.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
      })
      const answers = async (count: number): Promise<void> => {
        while (seen.split('HTTP/1.1 200').length <= count) await once(client, 'data')
      }
      client.write(upgrade + GET + unlisted + upgrade + GET)
      await answers(5)
      client.write(post)
      while (stand.requests.length < 6) await turn()
      client.write(`dy${GET}${upgrade}`)
      await answers(8)
      client.write(GET)
      await answers(9)
      t.equal(stand.requests.length, 9, 'each once')
      t.equal(stand.connections.size, 1, 'and the connection stays')
    }
  )

  t.test('end the connection when they are many, after the answers to the first', async (t) => {
    const stand = await setUp(t)
    const client = await stand.client()
    client.write(GET.repeat(100))
    const { text, isReset } = await rest(client)
    t.equal(text.split('HTTP/1.1 200').length - 1, 16)
    t.equal(stand.requests.length, 16)
    t.equal(isReset, false)
    t.ok(await gone(stand), 'no socket is left')
  })

  t.test('are answered although the one that is too many is not whole', async (t) => {
    const stand = await setUp(t, (_request, response) => {
      setTimeout(() => response.end('ok'), 5)
    })
    const client = await stand.client()
    client.write(`${GET.repeat(16)}POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc`)
    const { text, isReset } = await rest(client)
    t.equal(text.split('HTTP/1.1 200').length - 1, 16)
    t.equal(isReset, false)
    t.ok(await gone(stand), 'no socket is left')
  })

  t.test('are not even parsed behind the one that is too many', async (t) => {
    const stand = await setUp(t)
    const push: unknown = Reflect.get(PacedRequest.prototype, 'push')
    const pushed = t.capture(PacedRequest.prototype, 'push', push as PacedRequest['push'])
    const client = await stand.client()
    client.write(GET.repeat(1000))
    await rest(client)
    const parsed = pushed().filter(({ args: [chunk] }) => chunk === null).length
    t.ok(parsed <= 17, `${parsed}`)
  })

  t.test('never reach a handler by the thousand, as those did that ended a worker', async (t) => {
    const stand = await setUp(t, (_request, response) => response.end('ok'), { lingerMs: 200 })
    const before = process.memoryUsage().heapUsed
    const clients = await Promise.all(Array.from({ length: 20 }, () => stand.client()))
    for (const client of clients) client.write(GET.repeat(20_000))
    while (stand.requests.length < 20 * 16) await once(stand.server, 'request')
    t.ok(await gone(stand), 'no socket is left')
    t.equal(stand.requests.length, 20 * 16)
    t.equal(stand.connections.size, 0)
    const grownMb = (process.memoryUsage().heapUsed - before) / 2 ** 20
    t.ok(grownMb < 50, `${grownMb.toFixed(0)} MB`)
  })

  t.test('do not begin once their client has left', async (t) => {
    const stand = await setUp(t, () => {})
    const client = await stand.client()
    client.write(GET.repeat(3))
    while (stand.requests.length === 0) await once(stand.server, 'request')
    const [first] = stand.requests
    client.destroy()
    if (first?.response.closed === false) await once(first.response, 'close')
    t.ok(await gone(stand), 'no socket is left')
    t.equal(stand.requests.length, 1)
    t.equal(stand.connections.size, 0)
  })
  t.end()
})

t.test('a large answer on a connection that sent too much is whole', async (t) => {
  const stand = await setUp(t, (_request, response) => {
    const piece = LARGE.subarray(0, 2 ** 20)
    let left = 8
    const more = (): void => {
      while (left-- > 0) if (!response.write(piece)) return void response.once('drain', more)
      response.end()
    }
    more()
  })
  const client = await stand.client()
  client.write(GET.repeat(40))
  const { text, isReset } = await rest(client)
  t.equal(isReset, false)
  t.ok(text.length > 16 * 8 * 2 ** 20, `${text.length}`)
})

t.test('an answer that is not read', (t) => {
  for (const [what, answer] of [
    ['is given up with all that the system keeps of it', LARGE],
    ['is given up after the keep-alive time where the system took all of it', Buffer.from('ok')]
  ] as const) {
    t.test(what, async (t) => {
      const options = { stallTimeoutMs: () => 200, keepAliveTimeoutMs: 100, lingerMs: 200 }
      const stand = await setUp(t, (_request, response) => response.end(answer), options)
      const client = await stand.client()
      client.write(GET)
      t.ok(await gone(stand), 'no socket is left')
    })
  }

  t.test('is given up when it was the last one on its connection', async (t) => {
    const stand = await setUp(t, (_request, response) => response.end('x'.repeat(50_000)), {
      lingerMs: 200
    })
    const client = await stand.client()
    client.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
    while (stand.requests.length === 0) await once(stand.server, 'request')
    t.ok(await gone(stand), 'no socket is left')
  })
  t.end()
})

/** As the kernel has it. */
function unsentAt(port: number): number {
  return heldFor(port).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0)
}

t.test('all that lies unread', (t) => {
  const socketBytes = 8 * 2 ** 20
  t.test('with clients that have shown no key is bounded, whoever has one', async (t) => {
    const page = Buffer.alloc(400_000, 'x')
    const stand: Stand = await setUp(
      t,
      (request, response) => {
        if (request.url === '/known') stand.connections.vouch(request.socket)
        response.end(page)
      },
      { socketBytes }
    )
    const known = await stand.client()
    known.write(GET.replace('/', '/known'))
    const strangers = await Promise.all(Array.from({ length: 40 }, () => stand.client()))
    for (const stranger of strangers) stranger.write(GET)
    while (stand.requests.length < 41) await turn()
    await turn()
    // Of 400 KB the client's own side takes some 200.
    t.ok(stand.connections.size < 20, `${stand.connections.size} of 41 connections are left`)
    const mostBytes = socketBytes / 4 + 400_000 // and that of the one with a key
    t.ok(unsentAt(stand.port) < mostBytes, `${unsentAt(stand.port)} bytes`)
    const got = await readBeyond(known, page.byteLength)
    t.ok(got > page.byteLength, 'the client with a key has its answer')
  })

  t.test(
    'with others, too: the connections on which nothing is read are reset',
    { skip: NO_TABLE },
    async (t) => {
      const answer = Buffer.alloc(2 ** 20, 'x')
      const stand: Stand = await setUp(
        t,
        (request, response) => {
          stand.connections.vouch(request.socket)
          response.end(answer)
        },
        { socketBytes }
      )
      const reader = await stand.client()
      reader.write(GET)
      await readBeyond(reader, answer.byteLength)
      const silent = await Promise.all(Array.from({ length: 12 }, () => stand.client()))
      for (const client of silent) client.write(GET)
      while (stand.requests.length < 13) await turn()
      while (stand.connections.size > 9) await turn() // of a megabyte the client's own side has taken a part
      t.ok(unsentAt(stand.port) < socketBytes, `${unsentAt(stand.port)} bytes`)
      reader.write(GET)
      const got = await readBeyond(reader, answer.byteLength)
      t.ok(got > answer.byteLength, 'a client that reads keeps its connection')
    }
  )

  t.test('beyond all measure is looked for at once', { skip: NO_TABLE }, async (t) => {
    const answer = Buffer.alloc(2 ** 20, 'x')
    const stand: Stand = await setUp(
      t,
      (request, response) => {
        stand.connections.vouch(request.socket)
        response.end(answer)
      },
      { socketBytes }
    )
    const silent = await Promise.all(Array.from({ length: 60 }, () => stand.client()))
    for (const client of silent) client.write(GET)
    while (stand.requests.length < 60) await turn()
    while (unsentAt(stand.port) > 2 * socketBytes) await turn()
    t.ok(stand.connections.size < 60, `${stand.connections.size} of 60 connections are left`)
  })
  t.end()
})

t.test('a client without a key keeps no connection on which much may be unread', async (t) => {
  const stand: Stand = await setUp(
    t,
    (request, response) => {
      if (request.url === '/known') stand.connections.vouch(request.socket)
      response.end(request.url === '/short' ? 'ok' : 'x'.repeat(20_000))
    },
    { lingerMs: 200 }
  )
  const [known, short, long] = [await stand.client(), await stand.client(), await stand.client()]
  known.write(GET.replace('/', '/known'))
  short.write(GET.replace('/', '/short'))
  long.write(GET)
  await closed(long.resume())
  while (stand.connections.size > 2) await turn()
  t.equal(stand.connections.size, 2)
})

t.test('a client that never shows a key gets only so many answers on a connection', async (t) => {
  const stand: Stand = await setUp(t, (request, response) => {
    if (request.url === '/known') stand.connections.vouch(request.socket)
    response.end('ok')
  })
  const stranger = await stand.client()
  const known = await stand.client()
  known.write(GET.replace('/', '/known'))
  await once(known, 'data')
  for (let answers = 1; answers <= 100; answers++) {
    known.write(GET)
    await once(known, 'data')
    if (answers > 32) continue
    stranger.write(GET)
    const [text] = (await once(stranger, 'data')) as [Buffer]
    t.match(text.toString(), answers < 32 ? /connection: keep-alive/i : /connection: close/i)
  }
  await closed(stranger)
  t.equal(stand.connections.size, 1)
})

t.test('a client that reads slowly gets all of its last answer', async (t) => {
  const stand = await setUp(t, (_request, response) => response.end(LARGE.subarray(0, 2 ** 20)), {
    lingerMs: 50
  })
  const client = await stand.client()
  client.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  while (stand.requests.length === 0) await once(stand.server, 'request')
  await new Promise((resolve) => setTimeout(resolve, 300)) // several times as long as a short answer has
  const { text, isReset } = await rest(client)
  t.equal(isReset, false)
  t.ok(text.length > 2 ** 20)
})

t.test(
  'a client that says nothing is let go without a word, as a spare connection is no mistake',
  async (t) => {
    const errors: Error[] = []
    const stand = await setUp(t, undefined, {
      headersTimeoutMs: 200,
      lingerMs: 200,
      describeError: (error) => {
        errors.push(error)
        return 'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n'
      }
    })
    const client = await stand.client()
    t.equal((await rest(client)).text, '')
    t.ok(await gone(stand), 'no socket is left')
    t.same(errors, [])
    t.equal(stand.connections.size, 0)
  }
)

t.test('a client that says half of what it must is told and let go', (t) => {
  for (const [what, sent] of [
    ['half a line', 'GET /he'],
    ['headers that do not end', 'GET / HTTP/1.1\r\nhost: x\r\nx-more: '],
    ['half of the next request', `${GET}GET / HT`]
  ] as const) {
    t.test(what, async (t) => {
      const errors: unknown[] = []
      const stand = await setUp(t, undefined, {
        headersTimeoutMs: 200,
        lingerMs: 200,
        describeError: (error) => {
          errors.push('code' in error ? error.code : error)
          return 'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n'
        }
      })
      const client = await stand.client()
      client.write(sent)
      const [data] = (await once(client, 'data')) as [Buffer]
      let seen = data.toString()
      client.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
      })
      client.on('end', () => {}) // it does not close its end
      t.ok(await gone(stand), 'no socket is left')
      t.match(seen, /HTTP\/1\.1 408/)
      t.same(errors, ['ERR_HTTP_REQUEST_TIMEOUT'])
      t.equal(stand.connections.size, 0)
    })
  }
  t.end()
})

t.test('bytes that are no request', (t) => {
  t.test('are answered, and whatever comes after them is not in the way', async (t) => {
    const stand = await setUp(t)
    const client = await stand.client()
    client.write('SSH-2.0-client\r\n\r\n')
    client.write('x'.repeat(100_000))
    const { text, isReset } = await rest(client)
    t.match(text, /^HTTP\/1\.1 400/)
    t.equal(isReset, false)
  })
  t.test('do not break into the answer before them', async (t) => {
    const held: ServerResponse[] = []
    const stand = await setUp(t, (_request, response) => {
      response.write('begun')
      held.push(response)
    })
    const client = await stand.client()
    client.write(GET)
    await once(client, 'data')
    client.write('nonsense\r\n\r\n')
    await once(stand.server, 'clientError')
    held[0]?.end(' and whole')
    const { text } = await rest(client)
    t.match(text, / and whole\r\n0\r\n\r\n$/)
  })
  t.test('lose the connection when they never end', async (t) => {
    const stand = await setUp(t)
    const client = await stand.client()
    client.write('SSH-2.0-client\r\n\r\n')
    const flood = setInterval(() => client.write('x'.repeat(65_536)), 1)
    t.teardown(() => clearInterval(flood))
    await closed(client)
    t.ok(await gone(stand), 'no socket is left')
  })
  t.end()
})

/** Reads all, with pauses. */
async function echoLength(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let bytes = 0
  for await (const chunk of request) {
    bytes += (chunk as Buffer).byteLength
    if (bytes % 7 === 0) await turn()
  }
  response.end(`${bytes} bytes`)
}
const pausing: RequestListener = (request, response) => {
  echoLength(request, response).catch(() => {}) // it was cut off
}

/** Answers without a look at the body, once it is known to be in crumbs. */
const late: RequestListener = (request, response) => {
  if (isInCrumbs(request)) response.end('in crumbs')
  else setTimeout(() => late(request, response), 10)
}

t.test('a body that is not wanted yet', (t) => {
  const BYTES = 300_000
  const PIECE = `3e8\r\n${'x'.repeat(1_000)}\r\n`
  for (const [framing, body] of [
    [`content-length: ${BYTES}`, 'x'.repeat(BYTES)],
    ['transfer-encoding: chunked', `${PIECE.repeat(BYTES / 1_000)}0\r\n\r\n`]
  ] as const) {
    t.test(`is in memory as far as one read of its socket gave it (${framing})`, async (t) => {
      const stand = await setUp(t, () => {})
      const client = await stand.client()
      client.write(`POST / HTTP/1.1\r\nhost: x\r\n${framing}\r\n\r\n`)
      client.write(body)
      const has = (bytes: number): boolean =>
        (stand.requests[0]?.request.readableLength ?? 0) >= bytes
      while (!has(1)) await turn()
      for (let turns = 0; turns < 100; turns++) await new Promise(setImmediate)
      t.notOk(has(65_537))
      const [held] = stand.requests
      let bytes = 0
      held?.request.on('data', (chunk: Buffer) => (bytes += chunk.byteLength))
      if (held !== undefined) await once(held.request, 'end')
      t.equal(bytes, BYTES, 'all of it comes when it is wanted')
      held?.response.end('ok')
      t.match(String(await once(client, 'data')), 'ok')
      client.write(GET)
      while (stand.requests.length < 2) await turn()
    })
  }
  t.test('and is small comes whole, so that its client is seen to leave', async (t) => {
    const stand = await setUp(t, () => {})
    const client = await stand.client()
    client.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n')
    client.write('x'.repeat(20_000))
    while ((stand.requests[0]?.request.readableLength ?? 0) < 20_000) await turn()
    client.write('x'.repeat(40_000))
    while ((stand.requests[0]?.request.readableLength ?? 0) < 60_000) await turn()
    client.destroy()
    const [held] = stand.requests
    if (held?.response.destroyed === false) await once(held.response, 'close')
    t.ok(held?.response.destroyed)
  })
  t.end()
})

t.test('bodies in chunks', (t) => {
  const CHUNKED = 'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n'
  t.test('arrive whole, however many turns they take', async (t) => {
    const stand = await setUp(t, pausing)
    const client = await stand.client()
    for (const bytes of [24, 100, 5_000]) {
      const chunk = `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
      client.write(`${CHUNKED}${chunk.repeat(20_000 / Math.sqrt(bytes))}0\r\n\r\n`)
      const [answer] = (await once(client, 'data')) as [Buffer]
      t.match(answer.toString(), `${Math.floor(20_000 / Math.sqrt(bytes)) * bytes} bytes`)
    }
  })
  t.test(
    'of a byte each are read no further, and whoever reads or answers hears of it',
    async (t) => {
      const errors: Error[] = []
      const told: RequestListener = (request, response) => {
        request.resume().once('error', (error) => {
          errors.push(error)
          response.end('in crumbs')
        })
      }
      for (const [name, serve] of Object.entries({ told, late })) {
        const stand = await setUp(t, serve, { lingerMs: 200 })
        const client = await stand.client()
        client.write(CHUNKED)
        client.write('1\r\nx\r\n'.repeat(1_000_000))
        const { text } = await rest(client)
        t.match(text, /in crumbs/, name)
        const request = stand.requests[0]?.request
        t.ok((request?.socket.bytesRead ?? 0) < 512 * 1024, 'most of it is never read')
        t.ok(await gone(stand), 'no socket is left')
      }
      t.match(errors, [{ code: 'BODY_IN_CRUMBS' }])
      t.equal(errors.length, 1)
    }
  )
  t.test('of any sizes arrive in order and to the byte, small ones put together', async (t) => {
    const bodies: Buffer[] = []
    let events = 0
    const stand = await setUp(t, (request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => {
        events += 1
        parts.push(part)
        if (events % 5 !== 0) return
        request.pause()
        setTimeout(() => request.resume(), 1)
      })
      request.once('end', () => {
        bodies.push(Buffer.concat(parts))
        response.end('ok')
      })
    })
    const client = await stand.client()
    let seed = 2311
    const next = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed % below
    }
    for (const sizes of [[17], [1, 200], [40, 9_000, 3, 70_000]]) {
      let sent = ''
      client.write(CHUNKED)
      for (let at = 0; at < 3_000 && sent.length < 2_000_000; at++) {
        const length = 16 + next(sizes[next(sizes.length)] ?? 1)
        const text = String.fromCodePoint(97 + (at % 26)).repeat(length)
        sent += text
        client.write(`${length.toString(16)}\r\n${text}\r\n`)
        if (next(200) === 0) await new Promise(setImmediate)
      }
      client.write('0\r\n\r\n')
      await once(client, 'data')
      t.ok(bodies.pop()?.toString() === sent, `${sent.length} bytes`)
    }
    t.ok(events < 2_000, `${events} parts of some 9,000 chunks`)
  })
  t.test('of a few bytes each wait in little memory', async (t) => {
    const stand = await setUp(t, () => {}) // it does not want the body
    const client = await stand.client()
    client.write(`${CHUNKED}${`11\r\n${'x'.repeat(17)}\r\n`.repeat(10_000)}`)
    const waiting = (): IncomingMessage | undefined => stand.requests[0]?.request
    while ((waiting()?.readableLength ?? 0) < 10_000) await turn()
    const part: unknown = waiting()?.read(10_000)
    t.ok(part instanceof Buffer)
    const parts: Buffer[] = []
    for (let more = waiting()?.read(); more !== null; more = waiting()?.read()) parts.push(more)
    t.ok(parts.length < 10, `${parts.length} parts`)
  })
  t.test('of a byte each are refused sooner without a key', async (t) => {
    const answers: string[] = []
    for (const hasKey of [true, false]) {
      const stand = await setUp(t, (request, response) => {
        if (hasKey) stand.connections.vouch(request.socket)
        request.resume().once('end', () => response.end('whole'))
        request.once('error', () => response.end('in crumbs'))
      })
      const client = await stand.client()
      client.write(`${CHUNKED}${'1\r\nx\r\n'.repeat(3_000)}0\r\n\r\n`)
      const [answer] = (await once(client, 'data')) as [Buffer]
      answers.push(answer.toString().split('\r\n').at(-1) ?? '')
    }
    t.same(answers, ['whole', 'in crumbs'])
  })
  t.test('of many connections leave the event loop to others', async (t) => {
    const stand = await setUp(t, (request, response) => {
      request.resume().once('end', () => response.end('ok'))
    })
    const clients = await Promise.all(Array.from({ length: 8 }, () => stand.client()))
    let bytesBefore = 0
    let most = 0
    let isOver = false
    const read = (): number =>
      stand.requests.reduce((sum, { request }) => sum + request.socket.bytesRead, 0)
    const onTurn = (): void => {
      most = Math.max(most, read() - bytesBefore)
      bytesBefore = read()
      if (!isOver) setImmediate(onTurn)
    }
    setImmediate(onTurn)
    for (const client of clients)
      client.write(`${CHUNKED}${'18\r\n0123456789abcdef01234567\r\n'.repeat(20_000)}0\r\n\r\n`)
    await Promise.all(clients.map((client) => once(client, 'data')))
    isOver = true
    t.ok(most <= clients.length * 128 * 1024, `${most} bytes in one turn`)
  })
  t.end()
})

t.test('CONNECT and strange expectations leave no socket', async (t) => {
  const stand = await setUp(t, undefined, { lingerMs: 200, keepAliveTimeoutMs: 100 })
  for (const [request, status] of [
    ['CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n', 405],
    [GET.replace('host', 'expect: a-pony\r\nhost'), 200],
    [GET.replace('host', 'expect: 100-continue\r\nhost'), 200],
    [GET.replace('host', 'connection: upgrade\r\nupgrade: h2c\r\nhost'), 200],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 0]
  ] as const) {
    const client = await stand.client()
    client.write(request)
    const { text } = await rest(client)
    if (status > 0) t.equal(text.slice(0, 12), `HTTP/1.1 ${status}`, request)
    if (status === 405) t.match(text, /^x-kiro-gateway-code: GW_METHOD_NOT_ALLOWED\r$/m)
    t.ok(await gone(stand), 'no socket is left')
  }
})

t.test('more connections than there may be', (t) => {
  t.test('take the place of those that nobody with a key uses', async (t) => {
    const stand = await setUp(t, undefined, { maxConnections: 3 })
    const [silent, asked, known] = [
      await stand.client(),
      await stand.client(),
      await stand.client()
    ]
    asked.write(GET)
    await once(asked, 'data')
    known.write(GET)
    await once(known, 'data')
    const [, last] = stand.requests
    if (last !== undefined) stand.connections.vouch(last.request.socket)
    await new Promise((resolve) => setTimeout(resolve, 1_100)) // a second for its first words
    for (const loser of [silent, asked]) {
      const next = await stand.client()
      await closed(loser)
      next.write(GET)
      await once(next, 'data')
    }
    known.write(GET)
    await once(known, 'data')
    t.equal(stand.connections.size, 3)
  })

  t.test('get a place when they ask for something, in a burst as well', async (t) => {
    const stand = await setUp(t, undefined, { maxConnections: 4 })
    const clients = await Promise.all(Array.from({ length: 30 }, () => stand.client()))
    const statuses: string[] = []
    for (const client of clients) {
      client.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
      statuses.push((await rest(client)).text.slice(0, 12))
    }
    t.same(new Set(statuses), new Set(['HTTP/1.1 200']))
  })

  t.test('that say nothing in the end never cost a client with a key its own', async (t) => {
    const refusals: IncomingMessage[] = []
    const stand: Stand = await setUp(
      t,
      (request, response) => {
        stand.connections.vouch(request.socket)
        response.end('ok')
      },
      {
        maxConnections: 20,
        refuse: (request, response) => {
          refusals.push(request)
          response.writeHead(503).end()
          return true
        }
      }
    )
    const flood = async (clients: number): Promise<void> => {
      for (let i = 0; i < clients; i++) (await stand.client()).write(GET.slice(0, -2))
      await new Promise((resolve) => setTimeout(resolve, 150)) // a tenth of a second for first words
    }
    const known = await stand.client()
    await ask(known)
    await flood(19)
    for (let round = 0; round < 3; round++) {
      await flood(15)
      const next = await stand.client()
      t.match(await ask(next), /^HTTP\/1\.1 200/)
      next.destroy()
    }
    t.match(await ask(known), /^HTTP\/1\.1 200/)
    t.same(refusals, [])
  })

  t.test('are refused while all are in use, but health checks are answered', async (t) => {
    const stand: Stand = await setUp(
      t,
      (request, response) => {
        if (request.url === '/health') return response.end('healthy')
        stand.connections.vouch(request.socket)
        return response.write('streaming')
      },
      {
        maxConnections: 2,
        refuse: (request, response) => {
          if (request.url === '/health') return false
          response.writeHead(503, { 'retry-after': '1' }).end('full')
          return true
        }
      }
    )
    for (let i = 0; i < 2; i++) {
      const busy = await stand.client()
      busy.write(GET)
      await once(busy, 'data')
    }
    for (let i = 0; i < 50; i++) {
      const refused = await stand.client()
      refused.write(GET)
      t.match((await rest(refused)).text, /^HTTP\/1\.1 503 [\s\S]*connection: close/i)
      const check = await stand.client()
      check.write(GET.replace('/', '/health'))
      t.match((await rest(check)).text, /^HTTP\/1\.1 200 [\s\S]*healthy$/)
    }
    const silent = await Promise.all(Array.from({ length: 100 }, () => stand.client()))
    t.ok(stand.connections.size <= 2 + 32, 'and are few even when they say nothing')
    const check = await stand.client()
    check.write(GET.replace('/', '/health'))
    t.match((await rest(check)).text, /healthy$/)
    t.equal(silent.length, 100)
    t.equal(stand.requests.filter(({ response }) => response.headersSent).length, 2 + 51)
  })
  t.end()
})

t.test('headers that are never completed are few bytes in all', async (t) => {
  const stand = await setUp(t)
  const head = `GET / HTTP/1.1\r\nhost: x\r\nx-more: ${'y'.repeat(14_000)}`
  const brief = await stand.client()
  brief.write(GET.slice(0, -2))
  for (let i = 0; i < 600; i++) (await stand.client()).write(head)
  while (stand.connections.size >= 400) await turn()
  t.ok(stand.connections.size > 200, `${stand.connections.size} of 600 times 14 KB are kept`)
  brief.write('\r\n')
  const [answer] = (await once(brief, 'data')) as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 200/, 'those of few bytes are left alone')
})

t.test('300 streams and 3,000 idle connections are nothing special', async (t) => {
  const stand: Stand = await setUp(
    t,
    (request, response) => {
      stand.connections.vouch(request.socket)
      response.write('one')
      if (request.url !== '/stream') response.end()
    },
    { maxConnections: 3_400 }
  )
  const ask = async (path: string): Promise<Socket> => {
    const client = await stand.client()
    client.write(GET.replace('/', path))
    await once(client, 'data')
    return client
  }
  const streams = await Promise.all(Array.from({ length: 300 }, () => ask('/stream')))
  const idle: Socket[] = []
  for (let i = 0; i < 30; i++) {
    idle.push(...(await Promise.all(Array.from({ length: 100 }, () => ask('/')))))
  }
  t.equal(stand.connections.size, 3_300)
  for (const { response, request } of stand.requests) if (request.url === '/stream') response.end()
  const ends = await Promise.all(streams.map((stream) => once(stream, 'data')))
  t.equal(ends.length, 300)
  await Promise.all(
    idle.map(async (client) => {
      client.write(GET)
      await once(client, 'data')
    })
  )
  t.equal(stand.connections.size, 3_300)
})

t.test(
  'only pages and idle clients are looked at once a second, others at once again',
  async (t) => {
    let looks = 0
    const load = { arrived: () => {}, rest: () => {}, look: () => void looks++ }
    const stand = await setUp(
      t,
      (request, response) => {
        if (request.url === '/page') stand.connections.vouch(request.socket, true)
        else stand.connections.vouch(request.socket)
        if (request.url === '/idle') response.end('ok')
        else response.write('a part')
      },
      { load }
    )
    const ask = async (path: string): Promise<void> => {
      const client = await stand.client()
      client.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
      await once(client, 'data')
    }
    const looksIn = async (ms: number): Promise<number> => {
      const before = looks
      await new Promise((resolve) => setTimeout(resolve, ms))
      return looks - before
    }
    await Promise.all(['/page', '/page', '/idle'].map(ask))
    await looksIn(600)
    t.ok((await looksIn(3_100)) <= 4, 'a second each')
    const from = performance.now()
    await ask('/stream')
    const before = looks
    while (looks < before + 12) await turn()
    t.ok(performance.now() - from < 9_000, 'four in a second')
  }
)
