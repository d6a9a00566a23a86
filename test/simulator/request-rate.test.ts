import t from 'tap'
import { startSimulator } from '../helper/run-simulator.ts'
import { generate, upstreamRequest } from '../helper/simulator-request.ts'

t.test('a rate', (t) => {
  t.test('refuses more requests in any window, and says when there is room again', async (t) => {
    let now = Date.parse('2026-11-26T00:00:00Z')
    const { url, simulator } = await startSimulator(t, { rate: { requests: 2 }, now: () => now })
    const ask = async () => {
      const response = await generate(url, upstreamRequest('hi'))
      await response.text()
      return [response.status, response.headers.get('retry-after')]
    }
    t.same(await ask(), [200, null])
    now += 20_000
    t.same(await ask(), [200, null])
    now += 30_500
    t.same(await ask(), [429, '10'])
    now += 9_500
    t.same(await ask(), [200, null])
    t.same(await ask(), [429, '20'])
    t.match(simulator.stats().rate, { most: 2, refused: 2 })
    simulator.resetStats()
    const stats = await fetch(`${url}/__simulator/stats`)
    t.match(await stats.json(), { rate: { most: 0, refused: 0 } })
  })
  t.test('is of generations and searches alone', async (t) => {
    const { url } = await startSimulator(t, { rate: { requests: 1 } })
    await generate(url, upstreamRequest('hi'))
    const headers = { authorization: 'Bearer good' }
    const search = await fetch(`${url}/mcp`, { method: 'POST', headers, body: '{}' })
    t.equal(search.status, 429)
    const usage = await fetch(`${url}/getUsageLimits`, { headers })
    t.equal(usage.status, 200)
  })
  t.end()
})
