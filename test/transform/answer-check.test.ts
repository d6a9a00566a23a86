import t from 'tap'
import { type JsonForm, readJsonForm } from '../../src/dialects/plan/json-answer.ts'
import { type JobOwner, TransformPool } from '../../src/transform/transform-pool.ts'
import { chatBody } from '../helper/agent-request.ts'
import { requestOptions } from '../helper/request-options.ts'

const nested = formOf({
  $defs: {
    n: {
      anyOf: [
        { type: 'string' },
        {
          type: 'object',
          properties: { c: { type: 'array', items: { $ref: '#/$defs/n' } } },
          required: ['c'],
          additionalProperties: false
        }
      ]
    }
  },
  $ref: '#/$defs/n'
})

t.test('check()', async (t) => {
  const pool = makePool(t)

  t.test('finds the same on the event loop and in a thread', async (t) => {
    const form = formOf({ type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] })
    const pad = ' '.repeat(10_000)
    for (const text of ['{"a":1}', '{"a":"x"}', '{}', '{"ä":"€😀"}', '{"a":1']) {
      const here = await pool.check(text, form, idle())
      const there = pool.check(`${text}${pad}`, form, idle())
      t.equal(pool.running, 1)
      t.equal((await there).problems.length, here.problems.length)
      t.equal(here.isComplete, true)
    }
  })

  t.test(
    'takes a long valid answer with a recursive schema, and leaves the loop free',
    async (t) => {
      let value: unknown = 'x'
      for (let depth = 0; depth < 12; depth++) value = { c: [value, value] }
      const text = JSON.stringify(value)
      t.ok(text.length > 40_000)
      await pool.check(' '.repeat(10_000), nested, idle())
      const before = process.threadCpuUsage()
      const checks = await Promise.all([1, 2, 3].map(() => pool.check(text, nested, idle())))
      const { user, system } = process.threadCpuUsage(before)
      for (const { problems } of checks) t.same(problems, [])
      t.ok((user + system) / 1000 < 200, `${(user + system) / 1000} ms of the loop's CPU`)
    }
  )

  for (const [name, text] of [
    ['short', `"${'a'.repeat(50)}!"`],
    ['long', `"${'a'.repeat(10_000)}!"`]
  ] as const) {
    t.test(`gives no verdict on a ${name} answer that a pattern never ends with`, async (t) => {
      const form = formOf({ type: 'string', pattern: '^(a+)+$' })
      const ticks = { count: 0 }
      const timer = setInterval(() => ticks.count++, 20)
      t.same(await pool.check(text, form, idle()), { problems: [], isComplete: false })
      clearInterval(timer)
      t.ok(ticks.count > 10, 'meanwhile all else went on')
    })
  }

  t.test('waits even where no other job may, and ends with its client', async (t) => {
    const full = makePool(t)
    const running = full.run(largeJob(), idle())
    await t.rejects(full.run(largeJob(), idle()), { code: 'GW_TRANSFORM_QUEUE_FULL' })
    const text = `"${'x'.repeat(10_000)}"`
    const leaving = new AbortController()
    const left = full.check(text, nested, ownedBy(leaving.signal))
    const stays = full.check(text, nested, idle())
    leaving.abort()
    await t.rejects(left, { code: 'GW_CLIENT_CLOSED' })
    t.same(await stays, { problems: [], isComplete: true })
    t.ok(await running)
  })

  t.test('keeps its place when another key comes to a full queue', async (t) => {
    const full = makePool(t)
    const running = full.run(largeJob(), idle())
    const text = `"${'x'.repeat(10_000)}"`
    const checks = Array.from({ length: 3 }, () => full.check(text, nested, idle()))
    const other = { ...idle(), key: 'other' }
    await t.rejects(full.run(largeJob(), other), { code: 'GW_TRANSFORM_QUEUE_FULL' })
    for (const check of await Promise.all(checks)) t.ok(check.isComplete)
    t.ok(await running)
  })
})

function makePool(t: { teardown(tearDown: () => unknown): void }): TransformPool {
  const pool = new TransformPool({
    threads: 1,
    inlineMaxBytes: 1024,
    maxQueue: 0,
    timeoutMs: 60_000,
    threadHeapMb: 48,
    pdfHeapMb: 32,
    pdfBufferBytes: 32 * 2 ** 20,
    threadSemiSpaceMb: 4,
    idleTimeoutMs: 1000,
    closeTimeoutMs: 10_000
  })
  t.teardown(() => pool.close())
  return pool
}

function formOf(schema: object): JsonForm {
  const form = readJsonForm({ type: 'json_schema', schema }, 'schema')
  if (form === undefined) throw new Error('no form')
  return form
}

function largeJob() {
  const body = chatBody({ bytes: 30_000, tools: 2 })
  return { type: 'convert', dialect: 'openai-chat', body, options: requestOptions() } as const
}

function idle(): JobOwner {
  return ownedBy(new AbortController().signal)
}

function ownedBy(signal: AbortSignal): JobOwner {
  return { key: 'one', signal }
}
