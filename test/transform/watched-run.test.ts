import t from 'tap'
import { FairQueue } from '../../src/admission/fair-queue.ts'
import type { TransformJob } from '../../src/transform/transform-job.ts'
import { type JobOwner, TransformPool } from '../../src/transform/transform-pool.ts'
import { chatBody } from '../helper/agent-request.ts'
import { blankPdf, twicePackedPdf } from '../helper/packed-pdf.ts'
import { requestOptions } from '../helper/request-options.ts'
import { smallPdf } from '../helper/small-pdf.ts'

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
  const start = performance.now()
  const refused = pool.run(jobOf([user(bomb)]), idle())
  const other = pool.run(largeJob(), idle())
  await t.rejects(refused, {
    code: 'GW_BODY_INVALID',
    param: '/messages/0/content/0',
    message: /the PDF takes too much to read/
  })
  t.ok(await other)
  clearInterval(watch)
  t.ok(performance.now() - start < 20_000, `${performance.now() - start} ms`)
  t.ok(peak - before < 500 * MEBIBYTE, `${(peak - before) / MEBIBYTE} MiB`)
  t.equal(pool.running, 0)
})

t.test('an old one becomes a note, and the others are read', async (t) => {
  const pool = makePool(t)
  const messages = [user(good, bomb), { role: 'assistant', content: 'Yes.' }, user(good)]
  const { payload } = await pool.run(jobOf(messages), idle())
  const text = Buffer.from(payload).toString()
  t.match(text, /This could not be read: the PDF takes too much to read/)
  t.equal(text.split('Hello from a PDF').length - 1, 2)
})

t.test('the second one in a request ends it', async (t) => {
  const pool = makePool(t)
  const messages = [user(bomb, bomb), { role: 'assistant', content: 'Yes.' }, user(good)]
  await t.rejects(pool.run(jobOf(messages), idle()), {
    code: 'GW_BODY_INVALID',
    message: /PDFs of this request take too much/
  })
})

t.test('a client that leaves takes its thread along', async (t) => {
  const pool = makePool(t)
  await pool.run(largeJob(), idle())
  const leaving = new AbortController()
  const left = pool.run(jobOf([user(bomb)]), ownedBy(leaving.signal))
  const other = pool.run(largeJob(), idle())
  // By now it is being read.
  setTimeout(() => leaving.abort(), 100)
  await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
  t.ok(await other)
})

t.test('PDFs found out beforehand cost no thread', async (t) => {
  const pool = makePool(t)
  const messages = [user(documentOf(blankPdf(250)), good), { role: 'assistant', content: 'Yes.' }]
  const { payload } = await pool.run(jobOf([...messages, user(good)]), idle())
  t.match(Buffer.from(payload).toString(), /takes too much to read/)
})

function makePool(t: { teardown(tearDown: () => unknown): void }): TransformPool {
  const pool = new TransformPool({
    threads: 1,
    inlineMaxBytes: 1024,
    maxQueue: 4,
    queue: new FairQueue(),
    threadHeapMb: 64,
    threadSemiSpaceMb: 4,
    idleTimeoutMs: 1000,
    closeTimeoutMs: 10_000
  })
  t.teardown(() => pool.close())
  return pool
}

function documentOf(pdf: Buffer) {
  const source = { type: 'base64', media_type: 'application/pdf', data: pdf.toString('base64') }
  return { type: 'document', source }
}

function user(...content: readonly unknown[]) {
  return { role: 'user', content }
}

function jobOf(messages: readonly unknown[]): TransformJob {
  const body = Buffer.from(JSON.stringify({ model: 'auto', max_tokens: 9, messages }))
  return { dialect: 'anthropic-messages', body, options: requestOptions(), attachments: {} }
}

function largeJob(): TransformJob {
  const body = chatBody({ bytes: 30_000, tools: 2 })
  return { dialect: 'openai-chat', body, options: requestOptions() }
}

function idle(): JobOwner {
  return ownedBy(new AbortController().signal)
}

function ownedBy(signal: AbortSignal): JobOwner {
  return { key: 'one', signal }
}
