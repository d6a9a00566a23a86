import t, { type Test } from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import { farFromMidnight } from '../helper/far-from-midnight.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { PricedUpstream } from '../helper/priced-upstream.ts'
import { stateFolder } from '../helper/state-folder.ts'

t.setTimeout(600_000) // a real gateway, on a machine that may be busy

const UNIFIED = 'anthropic-ratelimit-unified-'

/** A gateway of two workers that knows some keys, each by its own name as its text. */
async function setUp(t: Test, keys: readonly Partial<NamedKey>[]) {
  await farFromMidnight()
  const stateDir = stateFolder(t)
  const { signal } = new AbortController()
  const all = keys.map(({ name = '', ...limits }) =>
    namedKey({ id: `k_${name}`, name, hashes: [hashOfKey(name)], ...limits })
  )
  await changeKeys(keysPath(stateDir), () => all, signal)
  const upstream = await PricedUpstream.start(t)
  const gateway = await startGateway({
    upstreamUrl: upstream.origin,
    env: { STATE_DIR: stateDir, WORKERS: '2' }
  })
  t.teardown(() => gateway.destroy())
  const ask = async (path: string, key: string, body: object = {}) => {
    const response = await fetch(gateway.url + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        connection: 'close' // any worker may answer
      },
      body: JSON.stringify({
        model: 'auto',
        max_tokens: 9,
        messages: [{ role: 'user', content: 'hi' }],
        ...body
      })
    })
    const text = await response.text()
    const { status, headers } = response
    const standing = Object.fromEntries(
      [...headers].flatMap(([name, value]) =>
        name.startsWith(UNIFIED) ? [[name.slice(UNIFIED.length), value]] : []
      )
    )
    return { status, text, headers, standing }
  }
  const usage = async (key: string) => {
    const headers = { authorization: `Bearer ${key}`, connection: 'close' }
    const response = await fetch(`${gateway.url}/api/oauth/usage`, { headers })
    const { status } = response
    return { status, headers: response.headers, json: await response.json() }
  }
  return { upstream, ask, usage }
}

const MIDNIGHT = new Date(Math.ceil(Date.now() / 86_400_000) * 86_400_000)

t.test('a client sees how much of its limit is used, until it is refused', async (t) => {
  const { upstream, ask, usage } = await setUp(t, [
    { name: 'anna', credits: { limit: 100, period: 'day' } },
    { name: 'ben' }
  ])
  upstream.cost = 1
  await ask('/v1/messages', 'ben') // from which the gateway learns the price

  await t.test('a key without a limit is told nothing', async (t) => {
    const { status, standing } = await ask('/v1/messages', 'ben')
    t.equal(status, 200)
    t.same(standing, {})
    t.match(await usage('ben'), { status: 200, json: { limits: [] } })
  })

  const resets = String(MIDNIGHT.getTime() / 1000)
  await t.test('streams and whole answers of Messages tell it, others nothing', async (t) => {
    upstream.cost = 40
    await ask('/v1/messages', 'anna')
    upstream.cost = 0 // asked until the worker that answers has heard of the 40
    for (const stream of [true, false]) {
      let reply = await ask('/v1/messages', 'anna', { stream })
      while (Number(reply.standing['overage-utilization']) < 0.4)
        reply = await ask('/v1/messages', 'anna', { stream })
      const { status, standing } = reply
      t.equal(status, 200)
      t.match(standing, {
        status: 'allowed',
        'representative-claim': 'overage',
        'overage-status': 'allowed',
        reset: resets,
        'overage-reset': resets
      })
      // The reservation of the answer itself counts.
      t.ok(Number(standing['overage-utilization']) >= 0.4, standing['overage-utilization'] ?? '')
      t.notOk('overage-surpassed-threshold' in standing)
    }
    upstream.cost = 3
    t.same((await ask('/v1/chat/completions', 'anna')).standing, {})
    t.same((await ask('/v1/messages/count_tokens', 'anna')).standing, {})
  })

  await t.test('the amounts are in hundredths, and reset in the same second', async (t) => {
    let seen = await usage('anna')
    while (!JSON.stringify(seen.json).includes('"used_credits":4300')) seen = await usage('anna')
    const { status, headers, json } = seen
    t.equal(status, 200)
    t.equal(headers.get('cache-control'), 'no-store')
    t.same(json, {
      extra_usage: {
        is_enabled: true,
        monthly_limit: 10_000,
        used_credits: 4_300,
        utilization: 43,
        currency: 'CRD'
      },
      limits: [
        {
          kind: 'spend',
          group: 'daily',
          percent: 43,
          resets_at: MIDNIGHT.toISOString(),
          severity: 'normal',
          is_active: true
        }
      ]
    })
  })

  await t.test('a refusal is one sentence, in Messages alone', async (t) => {
    upstream.cost = 57
    await ask('/v1/messages', 'anna')
    // Until the primary has its rest back, the other worker may let a request pass; such a one costs nothing here.
    upstream.cost = 0
    const refusal = async (path: string) => {
      let answer = await ask(path, 'anna')
      while (answer.status === 200) answer = await ask(path, 'anna')
      return answer
    }
    const { status, headers, standing, text } = await refusal('/v1/messages')
    t.equal(status, 429)
    t.equal(headers.get('x-should-retry'), 'false')
    t.ok(Number(headers.get('retry-after')) > 0)
    t.same(standing, {
      status: 'rejected',
      reset: resets,
      'overage-reset': resets,
      'overage-utilization': '1',
      'overage-surpassed-threshold': '1',
      'overage-period': 'daily',
      'overage-disabled-reason': 'org_spend_cap_reached'
    })
    t.match(text, /"billing_error".*The 100 credits a day for \\"anna\\" are used up · the limit/)
    const chat = await refusal('/v1/chat/completions')
    t.match(chat, { status: 429, standing: {}, text: /It resets at .*insufficient_quota/ })
    t.match(await usage('anna'), {
      json: { extra_usage: { used_credits: 10_000, utilization: 100 } }
    })
  })

  await t.test('a stranger is told so in the words of Messages', async (t) => {
    const { status, headers, json } = await usage('nobody')
    t.equal(status, 401)
    t.equal(headers.get('x-should-retry'), 'false')
    t.match(json, { type: 'error', error: { type: 'authentication_error' } })
  })
})
