import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { MemoryBudget } from '../../../src/admission/memory-budget.ts'
import type { Conversion } from '../../../src/dialects/dialect.ts'
import { BodyMemory } from '../../../src/server/turn/body-memory.ts'
import { UrlFetcher } from '../../../src/server/body/url-fetcher.ts'
import { convertWithAttachments } from '../../../src/server/turn/body.ts'
import type { ConvertJob } from '../../../src/transform/transform-job.ts'
import { TransformPool } from '../../../src/transform/transform-pool.ts'
import { createNameLookup } from '../../../src/upstream/names/name-lookup.ts'
import { bytesInUse } from '../../helper/cost.ts'
import { requestOptions } from '../../helper/request-options.ts'

t.setTimeout(600_000) // threads and large bodies, on a machine that may be very busy

const MIB = 1024 * 1024
const never = new AbortController().signal

/** A web server whose images are so large, and how many requests it is answering. */
async function serveImages(t: Test, bytes: number) {
  const image = Buffer.alloc(bytes, 1)
  const count = { open: 0 }
  const server = createServer((_, response) => {
    count.open++
    response.once('close', () => count.open--)
    response.writeHead(200, { 'content-type': 'image/png' }).end(image)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, count }
}

/** Converts a body that names `images` URLs, with so much memory for all bodies. */
function convert(
  t: Test,
  { url, images, totalBytes }: Record<'images' | 'totalBytes', number> & { url: string }
) {
  const fetcher = new UrlFetcher({
    limits: () => ({ maxBytes: 10 * MIB, timeoutMs: 20_000, maxConcurrent: 40 }),
    isAllowedAddress: () => true,
    lookUp: createNameLookup(),
    chooseProxy: () => null
  })
  t.teardown(() => fetcher.close())
  const urls = Array.from({ length: images }, (_, index) => `${url}/${index}`)
  const body = new Uint8Array(1000)
  const success = { type: 'converted', payload: body, plan: {} } as unknown as Conversion
  let given: ConvertJob['attachments']
  const run = async (job: ConvertJob): Promise<Conversion> => {
    given = job.attachments
    if (given !== undefined) return success
    return { type: 'attachments-needed', needs: { urls, pdfs: [] }, body, answers: [] }
  }
  const budget = new MemoryBudget(totalBytes, 10)
  const memory = new BodyMemory({
    budget,
    smallLane: new MemoryBudget(0, 0),
    kept: new MemoryBudget(0, 0),
    inlineMaxBytes: 0,
    key: 'one',
    signal: never,
    timeoutMs: 60_000
  })
  t.teardown(() => memory.release())
  const plane = {
    fetcher,
    transforms: { run, readPdf: () => Promise.reject(new Error('there is no PDF')) },
    current: {
      config: {
        fetch: { isEnabled: true, maxBytes: 10 * MIB, timeoutMs: 20_000, maxConcurrent: 40 }
      }
    }
  }
  const job = { dialect: 'openai-chat', body, options: {} } as unknown as ConvertJob
  const outcome = convertWithAttachments(plane, job, memory, { key: 'one', signal: never })
  return { outcome, budget, given: () => given }
}

t.test('what is fetched is held within the memory for bodies', async (t) => {
  const { url } = await serveImages(t, MIB)
  const { outcome, budget, given } = convert(t, { url, images: 5, totalBytes: 40 * MIB })
  await outcome
  t.equal(Object.keys(given()?.fetched ?? {}).length, 5)
  // As base64, and once more in the thread that converts it.
  t.ok(budget.reservedBytes >= (5 * MIB * 4 * 2) / 3, `${budget.reservedBytes} bytes`)
})

t.test(
  'more than there is memory for is refused while it arrives, and the rest is not fetched',
  async (t) => {
    const { url, count } = await serveImages(t, 5 * MIB)
    const { outcome, budget } = convert(t, { url, images: 20, totalBytes: 20 * MIB })
    await t.rejects(outcome, { code: 'GW_MEMORY_FULL' })
    t.ok(budget.reservedBytes <= 20 * MIB)
    while (count.open > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.equal(count.open, 0)
  }
)

const INLINE_MAX_BYTES = 128 * 1024

/** Half of what the result of a tool says is escaped once more when it becomes text. */
function growingBody(bytes: number): Uint8Array {
  const input = { command: 'cat' }
  const content = { output: '\\é'.repeat(bytes / 4) }
  const messages = [
    { role: 'user', content: 'Read it.' },
    { role: 'assistant', content: [{ type: 'tool_use', id: 'call', name: 'bash', input }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call', content }] }
  ]
  const body = JSON.stringify({ model: 'claude-haiku-4.5', max_tokens: 100, messages })
  return new Uint8Array(Buffer.from(body))
}

/** Converts a body for real, with memory for it, and so much beside it. */
async function convertGrowing(t: Test, body: Uint8Array, freeBytes: number) {
  const transforms = new TransformPool({
    threads: 1,
    inlineMaxBytes: INLINE_MAX_BYTES,
    maxQueue: 2,
    timeoutMs: 60_000,
    threadHeapMb: 128,
    pdfHeapMb: 32,
    pdfBufferBytes: 32 * 2 ** 20,
    threadSemiSpaceMb: 4,
    idleTimeoutMs: 1000,
    closeTimeoutMs: 10_000
  })
  t.teardown(() => transforms.close())
  const isInline = body.byteLength <= INLINE_MAX_BYTES
  const reservedBytes = body.byteLength * (isInline ? 4 : 2)
  const budget = new MemoryBudget(64 * MIB, 10)
  const memory = new BodyMemory({
    budget,
    smallLane: new MemoryBudget(0, 0),
    kept: new MemoryBudget(0, 0),
    inlineMaxBytes: isInline ? INLINE_MAX_BYTES : 0,
    key: 'one',
    signal: never,
    timeoutMs: 60_000
  })
  t.teardown(() => memory.release())
  await memory.reserve(body.byteLength)
  budget.grow(64 * MIB - reservedBytes - freeBytes)
  const plane = {
    transforms,
    fetcher: { fetch: () => Promise.reject(new Error('there is no URL')) },
    current: {
      config: {
        fetch: { isEnabled: true, maxBytes: 10 * MIB, timeoutMs: 20_000, maxConcurrent: 40 }
      }
    }
  }
  const options = requestOptions()
  const job = { type: 'convert', dialect: 'anthropic-messages', body, options } as const
  const outcome = convertWithAttachments(plane, job, memory, { key: 'one', signal: never })
  return { outcome, memory, budget, reservedBytes }
}

for (const [how, bytes] of [
  ['in a thread', 3 * MIB],
  ['inline', 100 * 1024]
] as const) {
  t.test(`a payload that is much larger than its body, made ${how}`, async (t) => {
    t.test('has memory before it is there', async (t) => {
      const body = growingBody(bytes)
      const bodyBytes = body.byteLength
      const { outcome, budget, reservedBytes } = await convertGrowing(t, body, 6 * MIB)
      const made = await outcome
      if (made.type !== 'converted') throw new Error(made.type)
      const { payload } = made
      t.ok(payload.byteLength > bodyBytes * 1.3, `${payload.byteLength} bytes of ${bodyBytes}`)
      const grownBytes = budget.reservedBytes - (64 * MIB - 6 * MIB)
      t.ok(reservedBytes + grownBytes >= bodyBytes + payload.byteLength)
      t.ok(grownBytes >= payload.byteLength - bodyBytes)
    })

    t.test('is never made where there is none', async (t) => {
      const before = await bytesInUse()
      const body = growingBody(bytes)
      const bodyBytes = body.byteLength
      const { outcome, budget } = await convertGrowing(t, body, bytes / 20)
      await t.rejects(outcome, { code: 'GW_MEMORY_FULL' })
      const heldBytes = (await bytesInUse()).outside - before.outside
      t.ok(heldBytes <= bodyBytes * 1.1 + 100_000, `${heldBytes} bytes are held`)
      t.ok(budget.reservedBytes <= 64 * MIB - bytes / 20)
    })

    t.test('is refused for good where there could never be any', async (t) => {
      const body = growingBody(bytes)
      const bodyBytes = body.byteLength
      const { outcome, memory } = await convertGrowing(t, body, 0)
      await t.rejects(outcome, { code: 'GW_MEMORY_FULL' })
      t.throws(() => memory.growForPayload(40 * MIB, bodyBytes), {
        code: 'GW_BODY_TOO_LARGE',
        message: /more than the gateway has memory for/
      })
    })
  })
}

const pdf = (chars: number) => ({ kind: 'pdf', base64: 'A'.repeat(chars) }) as const

t.test('of PDFs by URL as many go up as they are as fit together', async (t) => {
  const urls = ['https://a/1', 'https://a/2', 'https://a/3']
  const contents = new Map([
    ['https://a/1', pdf(800_000)],
    ['https://a/2', pdf(800_000)],
    ['https://a/3', pdf(400_000)]
  ])
  const body = new Uint8Array(10)
  let given: ConvertJob['attachments']
  const run = async (job: ConvertJob): Promise<Conversion> => {
    given = job.attachments
    if (given !== undefined) return { type: 'converted', payload: body, plan: {} } as never
    const needs = { urls, documentUrls: urls, pdfs: [] }
    return { type: 'attachments-needed', needs, body, answers: [] }
  }
  const plane = {
    fetcher: { fetch: async (url: string) => contents.get(url) ?? pdf(0) },
    transforms: { run, readPdf: async () => ({ kind: 'utf8', bytes: body }) as const },
    current: {
      config: {
        fetch: { isEnabled: true, maxBytes: 10 * MIB, timeoutMs: 20_000, maxConcurrent: 40 }
      }
    }
  }
  const room = {
    largestBytes: 100 * MIB,
    isContested: false,
    reserve: async () => {},
    extend: async () => {},
    loosenTo: () => {},
    grow: () => {},
    growForPayload: () => {}
  }
  const job: ConvertJob = {
    type: 'convert',
    dialect: 'anthropic-messages',
    body,
    options: requestOptions()
  }
  await convertWithAttachments(plane, job, room, { key: 'k', signal: never })
  t.same(
    urls.map((url) => given?.fetched[url]?.kind),
    ['pdf', 'utf8', 'pdf']
  )
})
