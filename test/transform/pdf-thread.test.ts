import assert from 'node:assert'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { MemoryBudget } from '../../src/admission/memory-budget.ts'
import type { FetchedContent } from '../../src/dialects/request/attachments.ts'
import { BodyMemory } from '../../src/server/turn/body-memory.ts'
import { convertWithAttachments } from '../../src/server/turn/body.ts'
import type { ConvertJob } from '../../src/transform/transform-job.ts'
import { type JobOwner, TransformPool } from '../../src/transform/transform-pool.ts'
import { chatBody } from '../helper/agent-request.ts'
import { endlessPdf } from '../helper/endless-pdf.ts'
import { blankPdf, twicePackedPdf } from '../helper/packed-pdf.ts'
import { requestOptions } from '../helper/request-options.ts'
import { smallPdf } from '../helper/small-pdf.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(900_000) // threads that start anew, on a busy machine

const MEBIBYTE = 2 ** 20
/** Small, and found out only while it is read. */
const bomb = documentOf(twicePackedPdf(400))
const good = documentOf(smallPdf(['Hello from a PDF']))

t.test('a PDF that fills memory ends its thread, and only its own request', async (t) => {
  const pool = makePool(t)
  const before = process.memoryUsage.rss()
  let peak = before
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 5)
  const refused = convert(pool, [user(bomb)])
  const other = pool.run(largeJob(), idle())
  await t.rejects(refused, {
    code: 'GW_BODY_INVALID',
    param: '/messages/0/content/0',
    message: /the PDF takes too much to read/
  })
  t.ok(await other)
  clearInterval(watch)
  t.ok(peak - before < 500 * MEBIBYTE, `${(peak - before) / MEBIBYTE} MiB`)
  t.equal(pool.running, 0)
})

t.test("a 4 KB PDF that never ends is given up, and holds up nobody's requests", async (t) => {
  const pdf = endlessPdf()
  t.ok(pdf.byteLength < 4096, `${pdf.byteLength} bytes`)
  const pool = makePool(t)
  await pool.run(largeJob(), idle()) // its thread has been started
  let isOver = false
  const refused = convert(pool, [user(documentOf(pdf))]).finally(() => {
    isOver = true
  })
  const failed = t.rejects(refused, { code: 'GW_BODY_INVALID', message: /takes too much to read/ })
  let served = 0
  while (!isOver) {
    await pool.run(largeJob(), { ...idle(), key: 'other' })
    served++
    await delay(50) // the CPU is for the PDF
  }
  await failed
  t.ok(served > 3, `${served} others while it was read`)
})

t.test("of several of one key, the turns of another key's come in between", async (t) => {
  const pool = makePool(t)
  const order: string[] = []
  const read = async (key: string): Promise<void> => {
    await pool.readPdf(new Uint8Array(smallPdf(['a page'])), { ...idle(), key })
    order.push(key)
  }
  await Promise.all(['greedy', 'greedy', 'greedy', 'modest', 'modest'].map(read))
  t.same(order.slice(0, 2), ['greedy', 'modest'])
})

t.test('an old one becomes a note, and the others are read', { skip: skipByDay }, async (t) => {
  const pool = makePool(t)
  const messages = [user(good, bomb), { role: 'assistant', content: 'Yes.' }, user(good)]
  const { payload } = await convert(pool, messages)
  const text = Buffer.from(payload).toString()
  t.match(text, /This could not be read: the PDF takes too much to read/)
  t.equal(text.split('Hello from a PDF').length - 1, 2)
})

t.test(
  'the second one in a request that takes too much ends it',
  { skip: skipByDay },
  async (t) => {
    const pool = makePool(t)
    const messages = [user(bomb, bomb), { role: 'assistant', content: 'Yes.' }, user(good)]
    await t.rejects(convert(pool, messages), {
      code: 'GW_BODY_INVALID',
      message: /PDFs of this request take too long/
    })
  }
)

t.test('one that a URL leads to is read like one in the body', async (t) => {
  const pool = makePool(t)
  const url = 'https://example.com/a.pdf'
  const block = { type: 'document', source: { type: 'url', url } }
  const base64 = smallPdf(['Hello from the web']).toString('base64')
  const { payload } = await convert(pool, [user(good, block)], { kind: 'pdf', base64 })
  t.match(Buffer.from(payload).toString(), /Hello from a PDF.*Hello from the web/s)
})

t.test('a client that leaves takes its thread along', async (t) => {
  const pool = makePool(t)
  await pool.readPdf(new Uint8Array(smallPdf(['a page'])), idle()) // its thread has been started
  const leaving = new AbortController()
  const left = pool.readPdf(new Uint8Array(endlessPdf()), ownedBy(leaving.signal))
  t.equal(pool.running, 1)
  const other = pool.readPdf(new Uint8Array(smallPdf(['a page'])), idle())
  t.equal(pool.waiting, 1, 'the next one waits for it')
  leaving.abort()
  await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
  t.equal(pool.running, 1, 'it is still being read')
  t.match(await other, { kind: 'utf8' })
})

t.test('PDFs found out beforehand cost no thread', async (t) => {
  const pool = makePool(t)
  const messages = [user(documentOf(blankPdf(250)), good), { role: 'assistant', content: 'Yes.' }]
  const { payload } = await convert(pool, [...messages, user(good)])
  t.match(Buffer.from(payload).toString(), /takes too much to read/)
})

t.test('texts of PDFs are held in the memory for bodies', async (t) => {
  const pool = makePool(t)
  const budget = new MemoryBudget(64 * 1024, 10)
  const page = documentOf(smallPdf(['a page', 'another']))
  await t.rejects(convert(pool, [user(page)], undefined, budget), { code: 'GW_MEMORY_FULL' })
})

function makePool(t: { teardown(tearDown: () => unknown): void }): TransformPool {
  const pool = new TransformPool({
    threads: 1,
    inlineMaxBytes: 1024,
    maxQueue: 6,
    timeoutMs: 60_000,
    threadHeapMb: 96,
    pdfHeapMb: 80, // twice what it needs by itself: the test runner loads much into a thread, too
    pdfBufferBytes: 32 * MEBIBYTE,
    threadSemiSpaceMb: 4,
    idleTimeoutMs: 1000,
    closeTimeoutMs: 10_000
  })
  t.teardown(() => pool.close())
  return pool
}

/** As a turn does it; URLs lead to `fetched`. */
async function convert(
  pool: TransformPool,
  messages: readonly unknown[],
  fetched: FetchedContent = { kind: 'failed', reason: 'there is no web' },
  budget = new MemoryBudget(64 * MEBIBYTE, 10)
) {
  const { signal } = new AbortController()
  const body = Buffer.from(JSON.stringify({ model: 'auto', max_tokens: 9, messages }))
  const options = requestOptions()
  const job: ConvertJob = { type: 'convert', dialect: 'anthropic-messages', body, options }
  const plane = {
    transforms: pool,
    fetcher: { fetch: async () => fetched },
    current: {
      config: {
        fetch: { isEnabled: true, maxBytes: 10 * MEBIBYTE, timeoutMs: 20_000, maxConcurrent: 40 }
      }
    }
  }
  const empty = new MemoryBudget(0, 0)
  const room = new BodyMemory({
    budget,
    smallLane: empty,
    kept: empty,
    inlineMaxBytes: 0,
    key: 'one',
    signal,
    timeoutMs: 60_000
  })
  const made = await convertWithAttachments(plane, job, room, idle())
  return made.type === 'converted' ? made : assert.fail(made.type)
}

function documentOf(pdf: Buffer) {
  const source = { type: 'base64', media_type: 'application/pdf', data: pdf.toString('base64') }
  return { type: 'document', source }
}

function user(...content: readonly unknown[]) {
  return { role: 'user', content }
}

function largeJob(): ConvertJob {
  const body = chatBody({ bytes: 30_000, tools: 2 })
  return { type: 'convert', dialect: 'openai-chat', body, options: requestOptions() }
}

function idle(): JobOwner {
  return ownedBy(new AbortController().signal)
}

function ownedBy(signal: AbortSignal): JobOwner {
  return { key: 'one', signal }
}
