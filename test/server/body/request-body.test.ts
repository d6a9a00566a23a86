import { once } from 'node:events'
import {
  Agent,
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse
} from 'node:http'
import type { Socket } from 'node:net'
import t from 'tap'
import { MemoryBudget } from '../../../src/admission/memory-budget.ts'
import { BodyMemory } from '../../../src/server/turn/body-memory.ts'
import { type BodyLimits, readBody } from '../../../src/server/body/request-body.ts'
import { collectGarbage } from '../../helper/cost.ts'
import { failingAllocation, failingConcat } from '../../helper/failing-memory.ts'
import { serverUrl } from '../../helper/server-url.ts'

const KIB = 1024
const LIMITS: BodyLimits = { maxBytes: 2048 * KIB, timeoutMs: 10_000 }
const { signal } = new AbortController()

t.test('a body of undeclared length', (t) => {
  t.test('is read whole, in steps of memory', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const { client, incoming } = await upload(t)
    const body = Buffer.alloc(1500 * KIB, 'x')
    client.end(body)
    using memory = makeMemory(budget)
    const read = await readBody(incoming, LIMITS, memory, signal)
    t.ok(body.equals(read))
    t.equal(budget.reservedBytes, 2 * 1536 * KIB)
  })
  t.test('takes no more memory where it comes a byte at a time', async (t) => {
    const bytes = 100 * KIB
    const { client, incoming } = await upload(t)
    using memory = makeMemory(new MemoryBudget(4096 * KIB, 10))
    const read = readBody(incoming, LIMITS, memory, signal)
    const before = heapInUse()
    let came = 0
    const all = Promise.withResolvers<void>()
    incoming.on('data', (chunk: Buffer) => {
      came += chunk.byteLength
      if (came === bytes) all.resolve()
    })
    client.socket?.write('1\r\nx\r\n'.repeat(bytes))
    await all.promise
    const each = (heapInUse() - before) / bytes
    t.ok(each < 20, `${each.toFixed(1)} bytes of the heap for each`)
    client.end()
    t.equal((await read).byteLength, bytes)
  })
  t.test('waits for memory, but not where two would wait for each other', async (t) => {
    const budget = new MemoryBudget(2048 * KIB, 10)
    const [first, second] = [await upload(t), await upload(t)]
    const bodies = [first, second].map(async ({ client, incoming }) => {
      using memory = makeMemory(budget)
      client.write(Buffer.alloc(800 * KIB))
      return await readBody(incoming, LIMITS, memory, signal)
    })
    const refused = await Promise.race(bodies).catch((error: unknown) => error)
    t.match(refused, { code: 'GW_MEMORY_FULL', status: 503 })
    first.client.end()
    second.client.end()
    const results = await Promise.allSettled(bodies)
    t.ok(
      results.some(({ status }) => status === 'fulfilled'),
      'the other one is served'
    )
    t.equal(budget.reservedBytes, 0)
    t.equal(budget.waiting, 0)
  })
  t.test('that waits for memory until its time is over is told so', async (t) => {
    const budget = new MemoryBudget(1024 * KIB, 10)
    const { client, incoming } = await upload(t)
    client.write(Buffer.alloc(400 * KIB))
    using memory = makeMemory(budget)
    const read = readBody(incoming, { ...LIMITS, timeoutMs: 2000 }, memory, signal)
    using other = await budget.reserve(512 * KIB, { signal, timeoutMs: 60_000 })
    t.equal(other.bytes, 512 * KIB)
    await t.rejects(read, { code: 'GW_MEMORY_FULL' })
  })
  t.test('is refused when it outgrows the settings, or the memory there is', async (t) => {
    for (const [totalBytes, message] of [
      [1024 * 1024 * KIB, /larger than 2097152 bytes \(MAX_BODY_BYTES\)/],
      [1024 * KIB, /larger than 524288 bytes.*MEMORY_LIMIT/]
    ] as const) {
      const budget = new MemoryBudget(totalBytes, 10)
      const { client, incoming } = await upload(t)
      client.write(Buffer.alloc(2049 * KIB))
      {
        using memory = makeMemory(budget)
        const body = readBody(incoming, LIMITS, memory, signal)
        await t.rejects(body, { code: 'GW_BODY_TOO_LARGE', message })
      }
      incoming.resume()
      t.equal(budget.reservedBytes, 0)
      t.equal(budget.waiting, 0)
    }
  })
  t.test('that does not arrive leaves nothing behind', async (t) => {
    const budget = new MemoryBudget(1024 * KIB, 10)
    const { client, incoming } = await upload(t)
    client.write(Buffer.alloc(300 * KIB))
    {
      using memory = makeMemory(budget)
      const body = readBody(incoming, { ...LIMITS, timeoutMs: 50 }, memory, signal)
      await t.rejects(body, { code: 'GW_BODY_TIMEOUT' })
    }
    t.equal(budget.reservedBytes, 0)
    t.equal(budget.waiting, 0)
    for (const event of ['data', 'end', 'error']) t.equal(incoming.listenerCount(event), 0, event)
  })
  t.end()
})

t.test('a body of declared length', (t) => {
  t.test('is read whole at the largest size there is memory for', async (t) => {
    const budget = new MemoryBudget(1024 * KIB, 10)
    const body = Buffer.alloc(512 * KIB, 'x')
    const { client, incoming } = await upload(t, { 'content-length': body.byteLength })
    client.end(body)
    using memory = makeMemory(budget)
    t.ok(body.equals(await readBody(incoming, LIMITS, memory, signal)))
  })
  t.test(
    'that came with its head is taken without listening for it, and its request ends',
    async (t) => {
      const server = createServer()
      t.teardown(() => server.close())
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      t.teardown(() => agent.destroy())
      const url = await serverUrl(server)
      const sockets = new Set<Socket>()
      for (const body of [Buffer.alloc(20 * KIB, 'x'), Buffer.from('{"second": true}')]) {
        const sent = httpRequest(url, { method: 'POST', agent }).end(body)
        const [incoming, response] = (await once(server, 'request')) as [
          IncomingMessage,
          ServerResponse
        ]
        const listened: (string | symbol)[] = []
        incoming.on('newListener', (event) => listened.push(event))
        using memory = makeMemory(new MemoryBudget(1024 * KIB, 10))
        t.ok(body.equals(await readBody(incoming, LIMITS, memory, signal)))
        t.notOk(listened.includes('data'))
        if (!incoming.readableEnded) await once(incoming, 'end')
        response.end()
        const [answer] = (await once(sent, 'response')) as [IncomingMessage]
        answer.resume()
        await once(answer, 'end')
        sockets.add(incoming.socket)
      }
      t.equal(sockets.size, 1)
    }
  )
  t.test('is whole although the memory of its chunks is freed as they come', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const body = Buffer.from(Array.from({ length: 1000 * KIB }, (_, index) => index % 251))
    const { client, incoming } = await upload(t, { 'content-length': body.byteLength })
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    client.end(body)
    using memory = makeMemory(budget)
    t.ok(body.equals(await readBody(incoming, LIMITS, memory, signal)))
    await new Promise((resolve) => setImmediate(resolve))
    t.ok(chunks.length > 1)
    t.ok(chunks.every(({ byteLength }) => byteLength < 16 * KIB))
  })
  t.test('has no memory before it comes', async (t) => {
    const body = Buffer.alloc(1024 * KIB, 'x')
    const { client, incoming } = await upload(t, { 'content-length': body.byteLength })
    using memory = makeMemory(new MemoryBudget(4096 * KIB, 10))
    const before = process.memoryUsage().arrayBuffers
    const read = readBody(incoming, LIMITS, memory, signal)
    await new Promise((resolve) => setImmediate(resolve))
    t.ok(process.memoryUsage().arrayBuffers - before < 512 * KIB)
    client.end(body)
    t.ok(body.equals(await read))
  })
  t.test('that does not come does not hold up another one', async (t) => {
    const budget = new MemoryBudget(2048 * KIB, 10)
    const body = Buffer.from(Array.from({ length: 1024 * KIB }, (_, index) => index % 251))
    const slow = await upload(t, { 'content-length': body.byteLength })
    using memory = makeMemory(budget)
    const read = readBody(slow.incoming, { ...LIMITS, timeoutMs: 60_000 }, memory, signal)
    const other = await upload(t, { 'content-length': body.byteLength })
    other.client.end(body)
    {
      using otherMemory = makeMemory(budget)
      t.ok(body.equals(await readBody(other.incoming, LIMITS, otherMemory, signal)))
      t.equal(budget.reservedBytes, 2 * body.byteLength, 'not even one that needs all memory')
    }
    slow.client.end(body)
    t.ok(body.equals(await read), 'and is read whole when it comes at last')
    t.equal(budget.reservedBytes, 2 * body.byteLength)
  })
  t.test('that stopped gives way to one that does not fit beside it', async (t) => {
    const budget = new MemoryBudget(2048 * KIB, 10)
    const slow = await upload(t, { 'content-length': 1024 * KIB })
    using memory = makeMemory(budget)
    slow.client.write(Buffer.alloc(10 * KIB))
    const read = readBody(slow.incoming, { ...LIMITS, timeoutMs: 60_000 }, memory, signal)
    const gone = t.rejects(
      read.finally(() => memory.release()),
      { code: 'GW_MEMORY_FULL' }
    )
    const other = await upload(t, { 'content-length': 1024 * KIB })
    other.client.end(Buffer.alloc(1024 * KIB))
    using otherMemory = makeMemory(budget)
    t.equal((await readBody(other.incoming, LIMITS, otherMemory, signal)).byteLength, 1024 * KIB)
    await gone
  })
  t.test('has room for what has come when it stops in the middle', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const slow = await upload(t, { 'content-length': 1024 * KIB })
    using memory = makeMemory(budget)
    const read = readBody(slow.incoming, { ...LIMITS, timeoutMs: 60_000 }, memory, signal)
    slow.client.write(Buffer.alloc(100 * KIB))
    using rest = await budget.reserve(3584 * KIB, { signal, timeoutMs: 60_000 })
    t.equal(budget.reservedBytes - rest.bytes, 4 * 128 * KIB)
    slow.client.write(Buffer.alloc(300 * KIB))
    while (budget.waiting === 0) await new Promise((done) => setImmediate(done))
    rest.release()
    slow.client.end(Buffer.alloc(624 * KIB))
    t.equal((await read).byteLength, 1024 * KIB)
    t.equal(budget.reservedBytes, 2048 * KIB)
  })
  t.test('is what was sent, however many pieces it came in before it was wanted', async (t) => {
    for (const bytes of [2, 1000, 65_536, 200 * KIB]) {
      for (const pieces of [1, 2, 7]) {
        const body = Buffer.from(Array.from({ length: bytes }, (_, index) => 1 + (index % 251)))
        const { client, incoming } = await upload(t, { 'content-length': bytes })
        await sendInPieces(client, incoming, body, pieces)
        using memory = makeMemory(new MemoryBudget(4096 * KIB, 10))
        const read = await readBody(incoming, LIMITS, memory, signal)
        t.ok(body.equals(read), `${bytes} bytes in ${pieces}`)
      }
    }
  })
  t.test('is refused one byte above it before anything is read', async (t) => {
    const budget = new MemoryBudget(1024 * KIB, 10)
    const { incoming } = await upload(t, { 'content-length': 512 * KIB + 1 })
    using memory = makeMemory(budget)
    await t.rejects(readBody(incoming, LIMITS, memory, signal), {
      code: 'GW_BODY_TOO_LARGE',
      message: /524288 bytes.*MEMORY_LIMIT/
    })
    t.equal(incoming.readableFlowing, null)
  })
  t.end()
})

t.test('a body for which there is no memory is refused, and no more', async (t) => {
  const bytes = 300 * KIB
  const body = Buffer.alloc(bytes, 'x')
  for (const [what, headers, fails] of [
    ['declared', { 'content-length': bytes }, (size: number) => size === bytes],
    ['undeclared', {}, (size: number) => size === 64 * KIB],
    ['undeclared, when it is put together', {}, null]
  ] as const) {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const { client, incoming } = await upload(t, headers)
    {
      using memory = makeMemory(budget)
      const read = readBody(incoming, LIMITS, memory, signal)
      using _ = fails === null ? failingConcat() : failingAllocation(fails)
      client.end(body)
      await t.rejects(read, { code: 'GW_MEMORY_FULL', status: 503 }, what)
    }
    t.equal(budget.reservedBytes, 0)
    for (const event of ['data', 'end', 'error']) t.equal(incoming.listenerCount(event), 0, event)
  }
  const whole = await upload(t, { 'content-length': 10 })
  await sendInPieces(whole.client, whole.incoming, body.subarray(0, 10), 1)
  using memory = makeMemory(new MemoryBudget(4096 * KIB, 10))
  using _ = failingAllocation((size) => size === 10)
  const read = readBody(whole.incoming, LIMITS, memory, signal)
  await t.rejects(read, { code: 'GW_MEMORY_FULL', status: 503 }, 'one that has come whole')
})

t.test('bodies that stall', (t) => {
  const limits = { ...LIMITS, timeoutMs: 60_000 }
  /** One that stops in the middle; gives what becomes of it. */
  async function stall(t: Tap, budget: MemoryBudget, sentBytes: number) {
    const { client, incoming } = await upload(t, { 'content-length': 200 * KIB })
    client.write(Buffer.alloc(sentBytes))
    const memory = makeMemory(budget, 'greedy')
    const read = readBody(incoming, limits, memory, signal)
    return { outcome: read.catch((error: unknown) => error).finally(() => memory.release()) }
  }
  t.test("of one key hold up another key's for a moment only", async (t) => {
    const budget = new MemoryBudget(2048 * KIB, 400)
    const greedy = [await stall(t, budget, 100 * KIB)]
    for (let more = 0; more < 29; more++) greedy.push(await stall(t, budget, 100 * KIB))
    t.equal(budget.reservedBytes, 2048 * KIB)
    t.ok(budget.waiting > 20)
    const other = await upload(t, { 'content-length': 200 * KIB })
    other.client.end(Buffer.alloc(200 * KIB))
    using memory = makeMemory(budget, 'modest')
    t.equal((await readBody(other.incoming, limits, memory, signal)).byteLength, 200 * KIB)
    const [first] = greedy
    t.match(await first?.outcome, { code: 'GW_MEMORY_FULL', message: /too slowly/, retryAfterS: 1 })
    t.ok(budget.waiting > 20, 'and no more of them than had to')
  })
  t.test('hold what has come of them, however little', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 400)
    for (let index = 0; index < 4; index++) await stall(t, budget, 60 * KIB)
    while (budget.reservedBytes > 4 * 4 * 92 * KIB) await turn()
    t.equal(budget.reservedBytes, 4 * 4 * 92 * KIB)
  })
  t.test('before a byte of them has come hold nothing, with or without a length', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const silent = [await upload(t, { 'content-length': 200 * KIB }), await upload(t)]
    const memories = silent.map(() => makeMemory(budget))
    const gone = new AbortController()
    const reads = silent.map(async ({ incoming }, index) => {
      const memory = memories[index]
      if (memory !== undefined) await readBody(incoming, limits, memory, gone.signal)
    })
    const failed = Promise.all(reads.map((read) => t.rejects(read, { code: 'GW_CLIENT_CLOSED' })))
    await turn()
    t.ok(budget.reservedBytes > 0)
    while (budget.reservedBytes > 0) await turn()
    t.equal(budget.reservedBytes, 0)
    gone.abort()
    await failed
  })
  t.end()
})

t.test('a body that has come whole of a client that has left', async (t) => {
  const bytes = 20 * KIB
  for (const headers of [{}, { 'content-length': bytes }]) {
    const { client, incoming } = await upload(t, headers)
    client.end(Buffer.alloc(bytes))
    while (!incoming.complete) await turn()
    client.destroy()
    while (!incoming.destroyed) await turn()
    using memory = makeMemory(new MemoryBudget(4096 * KIB, 10))
    const read = readBody(incoming, LIMITS, memory, AbortSignal.abort())
    await t.rejects(read, { code: 'GW_CLIENT_CLOSED' }, JSON.stringify(headers))
  }
})

/** Resolves when all that Node buffers of it has come; nobody has read any. */
async function sendInPieces(
  client: ClientRequest,
  incoming: IncomingMessage,
  body: Buffer,
  pieces: number
): Promise<void> {
  const step = Math.ceil(body.byteLength / pieces)
  for (let at = 0; at < body.byteLength; at += step) {
    const piece = body.subarray(at, at + step)
    const wanted = Math.min(incoming.readableLength + piece.byteLength, 64 * KIB)
    client.write(piece)
    while (incoming.readableLength < wanted) await turn()
  }
  client.end()
  while (!incoming.complete && incoming.readableLength < incoming.readableHighWaterMark)
    await turn()
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5))
}

interface Upload {
  readonly client: ClientRequest
  readonly incoming: IncomingMessage
}

/** A request whose headers have arrived. */
async function upload(t: Tap, headers: Record<string, number> = {}): Promise<Upload> {
  const server = createServer()
  const url = await serverUrl(server)
  const client = httpRequest(url, { method: 'POST', headers })
  client.on('error', () => {}) // the test ends before the upload does
  client.flushHeaders()
  const [incoming] = (await once(server, 'request')) as [IncomingMessage]
  t.teardown(() => {
    client.destroy()
    server.close()
    server.closeAllConnections()
  })
  return { client, incoming }
}

interface Tap {
  teardown(close: () => unknown): void
}

function makeMemory(budget: MemoryBudget, key = 'one'): BodyMemory {
  return new BodyMemory({
    budget,
    smallLane: new MemoryBudget(2048 * KIB, 0),
    kept: new MemoryBudget(0, 0),
    inlineMaxBytes: 128 * KIB,
    key,
    signal,
    timeoutMs: 60_000
  })
}

/** What is left after a collection. */
function heapInUse(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
