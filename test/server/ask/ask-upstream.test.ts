import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { monotonicNow, WaitClock } from '../../../src/admission/clock.ts'
import { askUpstream } from '../../../src/server/ask/ask-upstream.ts'
import type { Wish } from '../../../src/server/primary/key-limits.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { replyPlan } from '../../helper/reply-plan.ts'
import { endFrame, eventFrame, textFrame } from '../../helper/upstream-frames.ts'

const answer = Buffer.concat([textFrame('hello'), endFrame])

/** An upstream whose requests the test answers by hand, in the order of their coming. */
async function setUp(t: Test, timeoutS: number) {
  const env = { HTTP_POOL_TIMEOUT: String(timeoutS) }
  const asked: PromiseWithResolvers<ServerResponse>[] = []
  let next = 0
  const turn = (index: number) => (asked[index] ??= Promise.withResolvers())
  const upstream = await CountingUpstream.start(t, (_request, response) =>
    turn(next++).resolve(response)
  )
  const primary = await FakePrimary.start(t, upstream.url, { permits: 1, env })
  const post = async (): Promise<{ status: number; text: string }> => {
    const response = await fetch(`${primary.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'hi' }]
      })
    })
    return { status: response.status, text: await response.text() }
  }
  /** Seconds that requests have waited for permits, all together. */
  const waited = async (): Promise<number> => {
    const snapshot = primary.heard('metrics.snapshot')
    primary.tell({ type: 'metrics.collect' })
    return sumOf((await snapshot).metrics, 'kiro_gateway_pool_wait_seconds')
  }
  /** Resolves when a request that comes from now on stands in line. */
  const isWaiting = async (): Promise<void> => {
    while ((await primary.heard('lease.report')).waiting === 0);
  }
  return { post, waited, isWaiting, upstreamCall: (index: number) => turn(index).promise }
}

function sumOf(metrics: unknown, name: string): number {
  const all = metrics as readonly {
    readonly name: string
    readonly values: readonly { readonly metricName?: string; readonly value: number }[]
  }[]
  const values = all.find((metric) => metric.name === name)?.values ?? []
  return values.find(({ metricName }) => metricName === `${name}_sum`)?.value ?? NaN
}

const fail = (response: ServerResponse): void => {
  response.writeHead(500).end('{"message":"try again"}')
}

/** Seconds. On a starved machine a short one may be over before what should come within it: then a longer one is tried. */
const TIMEOUTS = [0.6, 3, 12]

/** Whether the waits turn out as they should with one of the timeouts. */
async function holdsWithOne(scenario: (timeoutS: number) => Promise<boolean>): Promise<boolean> {
  for (const timeoutS of TIMEOUTS) if (await scenario(timeoutS)) return true
  return false
}

t.test('HTTP_POOL_TIMEOUT', (t) => {
  t.test('bounds the waits of all attempts together', async (t) => {
    const holds = await holdsWithOne(async (timeoutS) => {
      const { post, waited, isWaiting, upstreamCall } = await setUp(t, timeoutS)
      const holder = post()
      const first = await upstreamCall(0)
      const retried = post()
      setTimeout(() => first.end(answer), (timeoutS * 1000 * 2) / 3) // a third is left to it
      t.equal((await holder).status, 200)
      const failing = await Promise.race([upstreamCall(1), retried])
      if ('status' in failing) return false
      const isInLine = isWaiting()
      const second = post() // has the permit when the retry comes
      await Promise.race([isInLine, second])
      fail(failing)
      const held = await Promise.race([upstreamCall(2), second])
      if ('status' in held) return false
      const before = await waited()
      const { status, text } = await retried
      const waitedS = (await waited()) - before
      held.end(answer)
      t.equal((await second).status, 200)
      t.equal(status, 503)
      t.match(text, 'PoolTimeout')
      t.match(text, `HTTP_POOL_TIMEOUT=${timeoutS}s`)
      return waitedS < timeoutS
    })
    t.ok(holds, 'the second wait is shorter by the first')
  })

  t.test('does not count the time that the upstream took', async (t) => {
    const holds = await holdsWithOne(async (timeoutS) => {
      const { post, isWaiting, upstreamCall } = await setUp(t, timeoutS)
      const retried = post()
      const first = await upstreamCall(0)
      const other = await post()
      t.equal(other.status, 503, 'one that came later has waited too long')
      const isInLine = isWaiting()
      const holder = post()
      await Promise.race([isInLine, holder])
      fail(first)
      const held = await Promise.race([upstreamCall(1), holder])
      if ('status' in held) return false
      await Promise.race([isWaiting(), retried])
      // It would be refused at once if that time counted.
      await Promise.race([delay((timeoutS * 1000) / 3), retried])
      held.end(answer)
      t.equal((await holder).status, 200)
      const last = await Promise.race([upstreamCall(2), retried])
      if (!('status' in last)) last.end(answer)
      return (await retried).status === 200
    })
    t.ok(holds, 'the retry waits, and is answered')
  })

  t.test('bounds the wait for a price in the same way', async (t) => {
    const now = monotonicNow()
    const waited = new WaitClock(now - 20_000)
    waited.stop(now - 18_000) // then the round before was answered
    const wishes: Wish[] = []
    const limits = {
      reserve: (_: unknown, wish: Wish) => {
        wishes.push(wish)
        return Promise.reject(new Error('enough'))
      }
    }
    const { signal } = new AbortController()
    const plan = replyPlan({})
    const question = { limits, plan, waited, signal, waiter: { key: 'a', arrivedAt: now - 20_000 } }
    await t.rejects(askUpstream({} as never, question as never), /enough/)
    const hasWaitedMs = monotonicNow() - (wishes[0]?.arrivedAt ?? NaN)
    t.ok(hasWaitedMs >= 2000 && hasWaitedMs < 15_000, `${hasWaitedMs} ms`)
    await delay(5)
    const later = monotonicNow()
    t.ok(later - waited.resume(later) < hasWaitedMs + 5, 'what follows is no wait')
  })
  t.end()
})

t.test('a request that waited goes out with the credential of now', async (t) => {
  const tokens: (string | undefined)[] = []
  const first = Promise.withResolvers<ServerResponse>()
  const upstream = await CountingUpstream.start(t, ({ headers }, response) => {
    tokens.push(headers.authorization)
    if (tokens.length === 1) first.resolve(response)
    else response.end(answer)
  })
  const primary = await FakePrimary.start(t, upstream.url, { permits: 1 })
  const post = async (): Promise<number> => {
    const response = await fetch(`${primary.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify({
        model: 'auto',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'hi' }]
      })
    })
    await response.text()
    return response.status
  }
  const isWaiting = async (): Promise<void> => {
    while ((await primary.heard('lease.report')).waiting === 0);
  }
  const holder = post()
  const holding = await first.promise
  let waits = isWaiting()
  const waiting = post()
  await waits
  const renewed = credentialSnapshot({ token: 'token-2' })
  primary.tell({ type: 'credential.changed', news: { snapshot: renewed, problem: null } })
  holding.end(answer)
  t.same([await holder, await waiting], [200, 200])
  t.same(tokens, ['Bearer token-1', 'Bearer token-2'], 'no refusal, no second call')
  t.notOk(primary.messages.some(({ type }) => type === 'asked'))

  const again = Promise.withResolvers<ServerResponse>()
  upstream.onRequest = (_request, response) => again.resolve(response)
  const next = post()
  const held = await again.promise
  waits = isWaiting()
  const late = post()
  await waits
  const problem = { code: 'GW_NOT_READY', message: 'sign in again' } as const
  primary.tell({ type: 'credential.changed', news: { snapshot: null, problem } })
  upstream.onRequest = (_request, response) => response.end(answer)
  held.end(answer)
  t.same([await next, await late], [200, 503])
  primary.tell({ type: 'credential.changed', news: { snapshot: renewed, problem: null } })
  t.equal(await post(), 200, 'the permit of the one that failed is back')
})

t.test('what the upstream says that is new is counted, and told of once', async (t) => {
  const strange = Buffer.concat([
    eventFrame('initial-response', {}),
    eventFrame('followupPromptEvent', { followupPrompt: {} }),
    eventFrame('ofTheFutureEvent', { a: 1 }),
    eventFrame('ofTheFutureEvent', { a: 2 }),
    eventFrame('meteringEvent', { unit: 'token', usage: 9 }),
    answer
  ])
  let calls = 0
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    const isAnswered = ++calls % 2 === 1
    if (isAnswered) response.end(strange)
    else response.writeHead(400).end('{"message":"no","reason":"OF_THE_FUTURE"}')
  })
  const lines: string[] = []
  const env = { LOG_LEVEL: 'warn' }
  const primary = await FakePrimary.start(t, upstream.url, { lines, env })
  const statuses: number[] = []
  for (let count = 0; count < 4; count++) {
    const response = await fetch(`${primary.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: '{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
    })
    statuses.push(response.status)
    await response.text()
  }
  t.same(statuses, [200, 400, 200, 400])
  const told = lines
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ msg }) => msg === 'unknown event or reason from the upstream')
  t.same(
    told.map(({ event, reason }) => event ?? reason),
    ['ofTheFutureEvent', 'meteringEvent', 'OF_THE_FUTURE']
  )
  const snapshot = primary.heard('metrics.snapshot')
  primary.tell({ type: 'metrics.collect' })
  const { metrics } = await snapshot
  t.equal(countOf(metrics, 'kiro_gateway_upstream_unknown_events_total'), 6)
  t.equal(countOf(metrics, 'kiro_gateway_upstream_unknown_reasons_total'), 2)
})

function countOf(metrics: unknown, name: string): number | undefined {
  const all = metrics as readonly {
    readonly name: string
    readonly values: readonly { readonly value: number }[]
  }[]
  return all.find((metric) => metric.name === name)?.values[0]?.value
}

t.test(
  'a percentage is one of the window that a setting gives to the model that answers',
  async (t) => {
    const model = 'claude-haiku-4.5'
    const upstream = await CountingUpstream.start(t, (_request, response) =>
      response.end(
        Buffer.concat([
          eventFrame('assistantResponseEvent', { content: 'hello', modelId: model }),
          eventFrame('contextUsageEvent', { contextUsagePercentage: 1 }),
          endFrame
        ])
      )
    )
    const env = { MODEL_CONTEXT_WINDOWS: `${model}=3000000` }
    const primary = await FakePrimary.start(t, upstream.url, { env })
    for (const asked of ['auto', model]) {
      const response = await fetch(`${primary.url}/v1/messages`, {
        method: 'POST',
        headers: { authorization: 'Bearer good-key' },
        body: JSON.stringify({
          model: asked,
          max_tokens: 10,
          messages: [{ role: 'user', content: 'hi' }]
        })
      })
      const { usage } = (await response.json()) as { usage: { input_tokens: number } }
      t.ok(usage.input_tokens > 29_900, `${asked}: ${usage.input_tokens}`)
    }
  }
)
