import { readFileSync } from 'node:fs'
import t from 'tap'
import { SEARCH_FAULTS, searchStrictly } from '../strict-simulator/search-faults.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { call, jsonOf, TEST_PROFILE_ARN } from '../helper/simulator-request.ts'

const headers = { 'x-amzn-kiro-profile-arn': TEST_PROFILE_ARN }

function request(query: unknown, changes: object = {}) {
  const params = { name: 'web_search', arguments: { query } }
  return { id: 'w1', jsonrpc: '2.0', method: 'tools/call', params, ...changes }
}

t.test('searches are refused unless they are proper JSON-RPC', async (t) => {
  for (const [changes, code] of [
    [{ jsonrpc: '1.0' }, -32600],
    [{ id: 5 }, -32600],
    [{ id: '' }, -32600],
    [{ method: 'tools/cal' }, -32601],
    [{ params: { name: 'other', arguments: { query: 'x' } } }, -32602],
    [{ params: {} }, -32602]
  ] as const) {
    t.match(searchStrictly(request('x', changes)), { error: { code } })
  }
  t.match(searchStrictly(request('')), { error: { code: -32602 } })
  t.match(searchStrictly(request('x', { method: 'tools/list' })), {
    result: { tools: [{ name: 'web_search' }] }
  })
})

t.test('faults on demand', async (t) => {
  const { url } = await startSimulator(t)
  const search = (query: string, signal?: AbortSignal) =>
    fetch(`${url}/mcp`, {
      method: 'POST',
      headers: { authorization: 'Bearer good', ...headers },
      body: JSON.stringify(request(query)),
      ...(signal && { signal })
    })
  t.equal((await search('fault:refused')).status, 500)
  t.match(await jsonOf(search('fault:error')), { error: { code: -32603 } })
  t.match(await jsonOf(search(`fault:long ${'x'.repeat(200)}`)), { error: { code: -32602 } })
  t.match(await jsonOf(search('fault:long')), { result: { isError: false } })
  t.match(await jsonOf(search('fault:failed')), { result: { isError: true } })
  t.match(await jsonOf(search('fault:garbled')), { result: { content: [{ text: '{"results":' }] } })
  t.match(await jsonOf(search('fault:none')), { result: { content: [{ text: /"results":\[\]/ }] } })
  await t.rejects(search('fault:stall', AbortSignal.timeout(200)), { name: 'TimeoutError' })
  const withoutProfile = call(url, 'POST', '/mcp', { body: request('x') })
  t.equal((await withoutProfile).status, 400, 'a profile is needed as for a generation')
})

t.test('docs/lab/simulator.md lists every fault', async (t) => {
  const docs = readFileSync(new URL('../../docs/lab/simulator.md', import.meta.url), 'utf8')
  for (const fault of SEARCH_FAULTS) t.ok(docs.includes(`\`fault:${fault}\``), fault)
})
