import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { inTime } from '../helper/in-time.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

/** So long the upstream is not asked again. */
const FRESH_MS = 15_000

t.test(
  'GET /v1/usage tells what the account has used, while streams hold all connections',
  async (t) => {
    const { simulator, url } = await startSimulator(t)
    const env = { WORKERS: '2', HTTP_MAX_CONNECTIONS: '32', PROXY_API_KEY: 'my-key' }
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const headers = { 'x-api-key': 'my-key' }
    const usage = (): Promise<Response> => fetch(`${gateway.url}/v1/usage`, { headers })

    t.equal((await fetch(`${gateway.url}/v1/usage`)).status, 401, 'not without a key')
    const calls = Array.from({ length: 40 }, () =>
      startChat(gateway.url, 'sim:stall', { headers: { authorization: 'Bearer my-key' } })
    )
    t.teardown(() => calls.forEach(({ request }) => request.destroy()))
    while (simulator.stats().inFlight < 30) await delay(5)
    let answer = new Response()
    let tries = 0
    await inTime(t, 200, async () => {
      if (tries++ > 0) await delay(FRESH_MS) // or the last answer would do
      const askedAt = performance.now()
      answer = await usage()
      return performance.now() - askedAt
    })
    t.equal(answer.status, 200)
    t.match(await answer.json(), {
      object: 'usage',
      plan: 'KIRO SIMULATOR',
      unit: 'credits',
      used: 42.5,
      limit: 1000,
      remaining: 957.5,
      resets_at: /^\d{4}-\d\d-01T00:00:00\.000Z$/,
      allowances: [{ kind: 'plan', name: 'Credits', used: 42.5, limit: 1000 }],
      overage: { enabled: false, used: 0, charges: 0, currency: 'USD' }
    })
    t.ok(simulator.stats().connections.max <= 32)
  }
)
