import { once } from 'node:events'
import { createServer, request as httpRequest, type ClientRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { MemoryBudget } from '../../src/admission/memory-budget.ts'
import { BodyMemory } from '../../src/server/body-memory.ts'
import { type BodyLimits, readBody } from '../../src/server/request-body.ts'
import { serverUrl } from '../helper/server-url.ts'

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
  t.test('that comes slowly or not at all does not hold up another one', async (t) => {
    const budget = new MemoryBudget(2048 * KIB, 10)
    const body = Buffer.from(Array.from({ length: 1024 * KIB }, (_, index) => index % 251))
    const slow = await upload(t, { 'content-length': body.byteLength })
    using memory = makeMemory(budget)
    const read = readBody(slow.incoming, { ...LIMITS, timeoutMs: 60_000 }, memory, signal)
    slow.client.write(body.subarray(0, 10 * KIB))
    const other = await upload(t, { 'content-length': body.byteLength })
    other.client.end(body)
    {
      using otherMemory = makeMemory(budget)
      t.ok(body.equals(await readBody(other.incoming, LIMITS, otherMemory, signal)))
      t.equal(budget.reservedBytes, 2 * body.byteLength, 'not even one that needs all memory')
    }
    slow.client.end(body.subarray(10 * KIB))
    t.ok(body.equals(await read), 'and is read whole when it comes at last')
    t.equal(budget.reservedBytes, 2 * body.byteLength)
  })
  t.test('has room for what has come when it stops in the middle', async (t) => {
    const budget = new MemoryBudget(4096 * KIB, 10)
    const slow = await upload(t, { 'content-length': 1024 * KIB })
    using memory = makeMemory(budget)
    const read = readBody(slow.incoming, { ...LIMITS, timeoutMs: 60_000 }, memory, signal)
    slow.client.write(Buffer.alloc(100 * KIB))
    using rest = await budget.reserve(3384 * KIB, { signal, timeoutMs: 60_000 })
    t.equal(budget.reservedBytes - rest.bytes, 2 * 356 * KIB)
    slow.client.write(Buffer.alloc(300 * KIB))
    while (budget.waiting === 0) await new Promise((done) => setImmediate(done))
    rest.release()
    slow.client.end(Buffer.alloc(624 * KIB))
    t.equal((await read).byteLength, 1024 * KIB)
    t.equal(budget.reservedBytes, 2048 * KIB)
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

function makeMemory(budget: MemoryBudget): BodyMemory {
  return new BodyMemory({
    budget,
    smallLane: new MemoryBudget(2048 * KIB, 0),
    inlineMaxBytes: 128 * KIB,
    signal,
    timeoutMs: 60_000
  })
}
