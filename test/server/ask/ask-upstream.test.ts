import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

const answer = Buffer.concat([textFrame('hello'), endFrame])

/** An upstream whose requests the test answers by hand, in the order of their coming. */
async function setUp(t: Test, env: Readonly<Record<string, string>>) {
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
  return { post, waited, upstreamCall: (index: number) => turn(index).promise }
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

t.test('HTTP_POOL_TIMEOUT', (t) => {
  t.test('bounds the waits of all attempts together', async (t) => {
    const { post, waited, upstreamCall } = await setUp(t, { HTTP_POOL_TIMEOUT: '0.6' })
    const holder = post()
    const first = await upstreamCall(0)
    const retried = post()
    setTimeout(() => first.end(answer), 400) // the retried one waits that long, and may wait 0.2 s more
    t.equal((await holder).status, 200)
    fail(await upstreamCall(1))
    const second = post() // has the permit when the retry comes
    await upstreamCall(2)
    const { status, text } = await retried
    t.equal(status, 503)
    t.match(text, 'PoolTimeout')
    t.match(text, 'HTTP_POOL_TIMEOUT=0.6s')
    t.match(text, /waited 0\.[67]\d*s/)
    const sum = await waited()
    t.ok(sum > 0.5 && sum < 0.9, `0.4 s and 0.2 s, not 0.6 s anew (${sum} s)`)
    ;(await upstreamCall(2)).end(answer)
    t.equal((await second).status, 200)
  })

  t.test('does not count the time that the upstream took', async (t) => {
    const { post, upstreamCall } = await setUp(t, { HTTP_POOL_TIMEOUT: '0.3' })
    const retried = post()
    const first = await upstreamCall(0)
    setTimeout(() => fail(first), 600)
    const other = post().then(({ status }) => status)
    t.equal(await other, 503, 'who came later has waited too long')
    const holder = post()
    void upstreamCall(1).then((response) => response.end(answer))
    void upstreamCall(2).then((response) => response.end(answer))
    t.same([(await retried).status, (await holder).status], [200, 200])
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
  t.notOk(primary.messages.some(({ type }) => type === 'credential.refused'))

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
