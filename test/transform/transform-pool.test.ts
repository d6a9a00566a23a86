import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Conversion } from '../../src/dialects/dialect.ts'
import type { ConvertedRequest } from '../../src/dialects/request/to-upstream.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import type { ConvertJob } from '../../src/transform/transform-job.ts'
import {
  type JobOwner,
  TransformPool,
  type TransformPoolOptions
} from '../../src/transform/transform-pool.ts'
import { chatBody } from '../helper/agent-request.ts'
import { skipByDay } from '../helper/nightly.ts'
import { requestOptions, toAnswer } from '../helper/request-options.ts'

t.setTimeout(900_000) // threads that fill their heaps, on a machine that may be busy

const OPTIONS: TransformPoolOptions = {
  threads: 1,
  inlineMaxBytes: 1024,
  maxQueue: 2,
  timeoutMs: 60_000,
  threadHeapMb: 64,
  pdfHeapMb: 32,
  pdfBufferBytes: 32 * 2 ** 20,
  threadSemiSpaceMb: 4,
  idleTimeoutMs: 1000,
  closeTimeoutMs: 10_000
}

t.test('rewrite()', async (t) => {
  const inline = makePool(t, { inlineMaxBytes: 10_000_000 })
  const threaded = makePool(t, { inlineMaxBytes: 0 })
  const { payload } = converted(await inline.run(largeJob(), idle()))
  const before = Buffer.from(payload).toString('latin1')
  for (const rewrite of [
    { kind: 'reasoning' },
    { kind: 'trim', share: 0.5 },
    { kind: 'documents', texts: [] },
    {
      kind: 'follow-up',
      followUp: {
        answer: { text: 'Let me see.', toolCalls: [] },
        reply: { text: 'Go on.', toolResults: [] }
      }
    }
  ] as const) {
    const here = await inline.rewrite(payload, rewrite, idle())
    const there = await threaded.rewrite(payload, rewrite, idle())
    t.ok(
      here !== null && there !== null && Buffer.from(here.bytes).equals(there.bytes),
      rewrite.kind
    )
    t.same(here?.tokens, there?.tokens)
    t.equal(
      Buffer.from(payload).toString('latin1'),
      before,
      'a socket may still send the old bytes'
    )
  }
  t.same(await threaded.documents(payload, idle()), await inline.documents(payload, idle()))
})

t.test('run()', async (t) => {
  t.test('gives the same inline and through a thread', async (t) => {
    const inline = makePool(t, { inlineMaxBytes: 1_000_000 })
    const threaded = makePool(t, { inlineMaxBytes: 0 })
    const results = await Promise.all(
      [inline, threaded].map(async (pool) => converted(await pool.run(largeJob(), idle())))
    )
    const [first, second] = results.map(({ payload, plan }) => ({
      payload: Buffer.from(payload).toString(),
      plan
    }))
    t.strictSame(first, second)
    t.ok(first?.payload.startsWith('{"conversationState"'))
  })

  t.test('transforms at the threshold inline and above it in a thread', async (t) => {
    const job = largeJob()
    const at = makePool(t, { inlineMaxBytes: job.body.byteLength })
    const atRun = at.run(largeJob(), idle())
    t.equal(at.running, 0)
    await atRun

    const below = makePool(t, { inlineMaxBytes: job.body.byteLength - 1 })
    const belowRun = below.run(largeJob(), idle())
    t.equal(below.running, 1)
    await belowRun
  })

  t.test(
    'in threads that leave the CPU to the event loop',
    { skip: process.platform !== 'linux' },
    async (t) => {
      const pool = makePool(t, { inlineMaxBytes: 0 })
      await pool.run(largeJob(), idle())
      t.ok(nicenessOfThreads().includes(Math.min(19, getPriority() + 10)))
    }
  )

  t.test('that clear up what a large body took before the next one', async (t) => {
    const threads: Worker[] = []
    const onThread = (thread: Worker): void => void threads.push(thread)
    process.on('worker', onThread)
    t.teardown(() => process.off('worker', onThread))
    const pool = makePool(t, { inlineMaxBytes: 0 })
    await pool.run(largeJob(), idle())
    t.equal(threads.length, 1)
    // It answers with its next job, or at once, which may be before it has cleared up.
    const heapBytes = async (): Promise<number> => {
      let least = Infinity
      for (let jobs = 0; jobs < 3; jobs++) {
        const statistics = threads[0]?.getHeapStatistics()
        await pool.run(largeJob(), idle())
        least = Math.min(least, (await statistics)?.used_heap_size ?? Infinity)
      }
      return least
    }
    const before = await heapBytes()
    await pool.run({ ...largeJob(), body: chatBody({ bytes: 8_000_000, tools: 1 }) }, idle())
    const grownBytes = (await heapBytes()) - before
    t.ok(grownBytes < 4_000_000, `its heap has grown by ${grownBytes} bytes`)
  })

  t.test('answers are moved to a thread, and come back where more room is needed', async (t) => {
    const pool = makePool(t, { inlineMaxBytes: 0 })
    const content = '"'.repeat(400_000)
    const call = { type: 'function_call', name: 'f', call_id: 'c', arguments: content }
    const answer = new Uint8Array(toAnswer({ fc_1: call }))
    const { byteLength } = answer
    const input = [{ type: 'item_reference', id: 'fc_1' }]
    const body = Buffer.from(JSON.stringify({ model: 'auto', input }))
    const options = requestOptions({ answers: [answer], payloadRoomBytes: 0 })
    const job = { type: 'convert', dialect: 'openai-responses', body, options } as const
    const needed = await pool.run(job, idle())
    if (needed.type !== 'room-needed') throw new Error(needed.type)
    t.equal(answer.byteLength, 0)
    t.equal(needed.answers[0]?.byteLength, byteLength)
  })

  t.test('and counts the answers that a body refers to, however small that is', async (t) => {
    const input = [
      { type: 'item_reference', id: 'msg_1' },
      { role: 'user', content: 'go on' }
    ]
    const body = Buffer.from(JSON.stringify({ model: 'auto', input }))
    for (const [chars, running] of [
      [10, 0],
      [10_000, 1]
    ] as const) {
      const pool = makePool(t, { inlineMaxBytes: 1024 })
      const message = { type: 'message', role: 'assistant', content: 'x'.repeat(chars) }
      const options = requestOptions({ answers: [toAnswer({ msg_1: message })] })
      const run = pool.run({ type: 'convert', dialect: 'openai-responses', body, options }, idle())
      t.equal(pool.running, running)
      t.match(Buffer.from(converted(await run).payload).toString(), message.content)
    }
  })

  t.test(
    'moves the body out of a buffer of its own and copies it out of a shared one',
    async (t) => {
      const pool = makePool(t, { inlineMaxBytes: 0 })
      const own = new Uint8Array(chatBody({ bytes: 20_000, tools: 1 }))
      await pool.run({ ...largeJob(), body: own }, idle())
      t.equal(own.byteLength, 0, 'detached')

      const shared = Buffer.alloc(40_000)
      const body = shared.subarray(0, chatBody({ bytes: 20_000, tools: 1 }).copy(shared))
      await pool.run({ ...largeJob(), body }, idle())
      t.equal(shared.byteLength, 40_000, 'still there')
    }
  )

  for (const inlineMaxBytes of [0, 1_000_000]) {
    t.test(`refuses with the request's own error, threshold ${inlineMaxBytes}`, async (t) => {
      const pool = makePool(t, { inlineMaxBytes })
      await t.rejects(pool.run(jobOf({ model: 'auto', messages: [] }), idle()), {
        code: 'GW_BODY_INVALID',
        param: 'messages',
        message: 'messages: must not be empty'
      })
      const options = requestOptions({ isCatalogueLive: true })
      const unknown = { ...jobOf({ model: 'nope', messages: [{ role: 'user' }] }), options }
      await t.rejects(pool.run(unknown, idle()), { code: 'GW_MODEL_UNKNOWN', status: 404 })
      const threaded = {
        ...jobOf({ model: 'auto', thread: { type: 'create' }, messages: [{ role: 'user' }] }),
        dialect: 'anthropic-messages' as const
      }
      const error: unknown = await pool.run(threaded, idle()).catch((cause: unknown) => cause)
      t.match(error, {
        code: 'GW_BODY_INVALID',
        details: { error_code: 'thread_unsupported_request' }
      })
    })
  }

  t.test('refuses at once when too many wait, and none of those that do', async (t) => {
    const pool = makePool(t, {})
    const admitted = [1, 2, 3].map(() => pool.run(largeJob(), idle()))
    t.equal(pool.running, 1)
    t.equal(pool.waiting, 2)
    await t.rejects(pool.run(largeJob(), idle()), {
      code: 'GW_TRANSFORM_QUEUE_FULL',
      retryAfterS: 1
    })
    t.equal((await Promise.all(admitted)).length, 3)
    t.equal(pool.running, 0)
    t.equal(pool.waiting, 0)
  })

  t.test("one key's expensive requests delay another key by one of them, not by all", async (t) => {
    const pool = makePool(t, { maxQueue: 20 })
    const order: string[] = []
    const run = async (key: string): Promise<void> => {
      await pool.run(largeJob(), { ...idle(), key })
      order.push(key)
    }
    const greedy = Array.from({ length: 10 }, () => run('greedy'))
    await Promise.all([...greedy, run('modest'), run('modest')])
    t.equal(order[1], 'modest')
    t.ok(order.slice(0, 6).filter((key) => key === 'modest').length === 2, order.join())
  })

  t.test('a full queue of one key has room for another key', async (t) => {
    const pool = makePool(t, { maxQueue: 2 })
    const run = (key: string) => pool.run(largeJob(), { ...idle(), key })
    const [first, second, third] = [run('greedy'), run('greedy'), run('greedy')]
    const refused = t.rejects(third, { code: 'GW_TRANSFORM_QUEUE_FULL', retryAfterS: 1 })
    const modest = run('modest')
    await t.rejects(run('modest'), { code: 'GW_TRANSFORM_QUEUE_FULL' }, 'which has its share')
    await refused
    t.equal((await Promise.all([first, second, modest])).length, 3)
    t.equal(pool.waiting, 0)
  })

  t.test('writes another round of an answer even when the queue is full', async (t) => {
    const pool = makePool(t, { maxQueue: 0 })
    const { payload } = converted(await pool.run(largeJob(), idle()))
    const running = pool.run(largeJob(), idle())
    await t.rejects(pool.rewrite(payload, { kind: 'reasoning' }, idle()), {
      code: 'GW_TRANSFORM_QUEUE_FULL'
    })
    const followUp = {
      answer: { text: 'Let me see.', toolCalls: [] },
      reply: { text: 'Go on.', toolResults: [] }
    }
    const round = await pool.rewrite(payload, { kind: 'follow-up', followUp }, idle())
    t.match(Buffer.from(round?.bytes ?? []).toString(), /"content":"Let me see\."/)
    await running
  })

  t.test('still serves small bodies when the queue is full', async (t) => {
    const pool = makePool(t, { maxQueue: 0 })
    const large = pool.run(largeJob(), idle())
    await t.rejects(pool.run(largeJob(), idle()), { code: 'GW_TRANSFORM_QUEUE_FULL' })
    t.ok(await pool.run(jobOf({ model: 'auto', messages: [{ role: 'user' }] }), idle()))
    await large
  })

  t.test('forgets who leaves while waiting and gives the place to another', async (t) => {
    const pool = makePool(t, { maxQueue: 1 })
    const first = pool.run(largeJob(), idle())
    const leaving = new AbortController()
    const left = pool.run(largeJob(), ownedBy(leaving.signal))
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    t.equal(pool.waiting, 0)
    const next = pool.run(largeJob(), idle())
    t.ok(await first)
    t.ok(await next)
  })

  t.test('lets go at once of who leaves while in a thread', async (t) => {
    const pool = makePool(t, {})
    const leaving = new AbortController()
    const left = pool.run(largeJob(), ownedBy(leaving.signal))
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    t.ok(await pool.run(largeJob(), idle()))
  })

  t.test('fails with the error that ended the turn, waiting, running or not begun', async (t) => {
    const pool = makePool(t, {})
    const turn = new AbortController()
    const jobs = [
      pool.run(largeJob(), ownedBy(turn.signal)),
      pool.run(largeJob(), ownedBy(turn.signal))
    ]
    const failed = Promise.all(jobs.map((job) => t.rejects(job, { code: 'GW_DRAINING' })))
    turn.abort(new GatewayError('GW_DRAINING'))
    await failed
    await t.rejects(pool.run(largeJob(), ownedBy(turn.signal)), { code: 'GW_DRAINING' })
  })

  t.test('does not begin for who has left already', async (t) => {
    const pool = makePool(t, {})
    await t.rejects(pool.run(largeJob(), ownedBy(AbortSignal.abort())), {
      code: 'GW_CLIENT_CLOSED'
    })
    t.equal(pool.running, 0)
  })

  t.test(
    'refuses a million names in 11 MB before they end the process',
    { skip: skipByDay },
    async (t) => {
      const pool = makePool(t, { threadHeapMb: 48 })
      const names = Array.from({ length: 1_000_000 }, (_, index) => `"k${index}":1`).join(',')
      const body = Buffer.from(
        `{"model":"auto","messages":[{"role":"user"}],"metadata":{${names}}}`
      )
      const results = await Promise.allSettled([
        pool.run({ ...largeJob(), body: new Uint8Array(body) }, idle()),
        pool.lint(new Uint8Array(body), { request: requestOptions() }, idle())
      ])
      const reason = { code: 'GW_BODY_TOO_LARGE', status: 413, message: /with 1000004 members/ }
      t.match(results, [{ reason }, { reason }])
      t.ok(await pool.run(largeJob(), idle()))
    }
  )

  t.test('fails only the request whose thread runs out of memory', async (t) => {
    const pool = makePool(t, { threadHeapMb: 48 })
    // Small enough to be trusted, but many times as large in objects as in bytes.
    const bomb = Buffer.from(`{"model":"auto","messages":[${'{},'.repeat(340_000)}{}]}`)
    const jobs = [largeJob(), { ...largeJob(), body: bomb }, largeJob()]
    const [before, killed, after] = await Promise.allSettled(
      jobs.map((job) => pool.run(job, idle()))
    )
    t.equal(before?.status, 'fulfilled')
    t.match(killed, {
      status: 'rejected',
      reason: { code: 'GW_BODY_TOO_LARGE', status: 413, message: /shorter conversation/ }
    })
    t.equal(after?.status, 'fulfilled')
    t.equal(pool.running, 0)
  })
})

t.test('lint()', async (t) => {
  t.test('gives the same inline and through a thread', async (t) => {
    const inline = makePool(t, { inlineMaxBytes: 8_000_000 })
    const threaded = makePool(t, { inlineMaxBytes: 0 })
    const { body, options } = largeJob()
    const [first, second] = await Promise.all(
      [inline, threaded].map((pool) =>
        pool.lint(new Uint8Array(body), { request: options }, idle())
      )
    )
    t.strictSame(first, second)
    t.match(first, { ok: true, dialect: 'openai-chat' })
  })

  t.test('explains on the event loop only an eighth of what is converted there', async (t) => {
    const { body, options } = largeJob()
    for (const [inlineMaxBytes, running] of [
      [body.byteLength * 8, 0],
      [body.byteLength * 8 - 8, 1]
    ] as const) {
      const pool = makePool(t, { inlineMaxBytes })
      const report = pool.lint(new Uint8Array(body), { request: options }, idle())
      t.equal(pool.running, running)
      t.equal((await report).ok, true)
    }
  })

  t.test('waits in the same queue, and is refused and given up like any job', async (t) => {
    const pool = makePool(t, { inlineMaxBytes: 0, maxQueue: 0 })
    const { body, options } = largeJob()
    const lint = (owner: JobOwner) => pool.lint(new Uint8Array(body), { request: options }, owner)
    const first = pool.run(largeJob(), idle())
    await t.rejects(lint(idle()), { code: 'GW_TRANSFORM_QUEUE_FULL' })
    await first
    await t.rejects(lint(ownedBy(AbortSignal.abort())), { code: 'GW_CLIENT_CLOSED' })
    await pool.close()
    await t.rejects(lint(idle()), { code: 'GW_DRAINING' })
  })
})

t.test('close()', async (t) => {
  t.test('lets what runs finish and refuses what waits and what comes', async (t) => {
    const pool = new TransformPool(OPTIONS)
    const running = pool.run(largeJob(), idle())
    const waiting = pool.run(largeJob(), idle())
    const closing = pool.close()
    t.equal(pool.close(), closing)
    await t.rejects(waiting, { code: 'GW_DRAINING' })
    await t.rejects(pool.run(largeJob(), idle()), { code: 'GW_DRAINING' })
    t.ok(await running)
    await closing
  })

  t.test('does not wait for a job that takes too long', async (t) => {
    const pool = new TransformPool({ ...OPTIONS, closeTimeoutMs: 1 })
    const body = Buffer.from(`{"model":"auto","messages":[${'{},'.repeat(300_000)}{}]}`)
    const running = t.rejects(pool.run({ ...largeJob(), body }, idle()), { code: 'GW_DRAINING' })
    await pool.close()
    t.equal(pool.running, 0)
    await running
  })

  t.test('is done at once when nothing ever ran', async () => {
    await new TransformPool(OPTIONS).close()
  })
})

t.test('destroy() fails what runs and what waits with its error', async (t) => {
  const pool = new TransformPool(OPTIONS)
  const jobs = [pool.run(largeJob(), idle()), pool.run(largeJob(), idle())]
  const failed = Promise.all(jobs.map((job) => t.rejects(job, { message: 'the end' })))
  await pool.destroy(new Error('the end'))
  await failed
  await t.rejects(pool.run(largeJob(), idle()), { message: 'the end' })
})

function makePool(t: Tap, changes: Partial<TransformPoolOptions>): TransformPool {
  const pool = new TransformPool({ ...OPTIONS, ...changes })
  t.teardown(() => pool.close())
  return pool
}

type Tap = { teardown(tearDown: () => unknown): void }

function converted(result: Conversion): ConvertedRequest {
  if (result.type !== 'converted') throw new Error(result.type)
  return result
}

function largeJob(): ConvertJob {
  const body = chatBody({ bytes: 30_000, tools: 2 })
  return { type: 'convert', dialect: 'openai-chat', body, options: requestOptions() }
}

function jobOf(body: unknown): ConvertJob {
  return {
    type: 'convert',
    dialect: 'openai-chat',
    body: Buffer.from(JSON.stringify(body)),
    options: requestOptions()
  }
}

/** A client that stays. */
function idle(): JobOwner {
  return ownedBy(new AbortController().signal)
}

function ownedBy(signal: AbortSignal): JobOwner {
  return { key: 'one', signal }
}

/** Of all threads of this process, as Linux has it. */
function nicenessOfThreads(): number[] {
  return readdirSync('/proc/self/task').map((id) => {
    const afterName = readFileSync(`/proc/self/task/${id}/stat`, 'utf8').split(') ').at(-1) ?? ''
    return Number(afterName.split(' ')[16])
  })
}
