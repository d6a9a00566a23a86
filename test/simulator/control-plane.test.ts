import t from 'tap'
import { startSimulator } from '../helper/run-simulator.ts'
import { call, jsonOf, TEST_PROFILE_ARN } from '../helper/simulator-request.ts'

t.test('control plane', async (t) => {
  const { url } = await startSimulator(t)
  t.test('lists models by target and by path, page by page', async (t) => {
    const all = await jsonOf(call(url, 'GET', '/ListAvailableModels?origin=AI_EDITOR'))
    const models = all['models'] as Record<string, unknown>[]
    t.ok(models.length > 15)
    t.match(
      models.find((model) => model['modelId'] === 'claude-opus-4.8'),
      {
        tokenLimits: { maxInputTokens: 1_000_000, maxOutputTokens: 128_000 },
        supportedInputTypes: ['TEXT', 'IMAGE'],
        additionalModelRequestFieldsSchema: { type: 'object', additionalProperties: false }
      }
    )
    const paged: unknown[] = []
    let nextToken: unknown
    do {
      const body = { maxResults: 7, ...(nextToken ? { nextToken } : {}) }
      const headers = target('ListAvailableModels')
      const page = await jsonOf(call(url, 'POST', '/', { headers, body }))
      paged.push(...(page['models'] as unknown[]))
      nextToken = page['nextToken']
    } while (nextToken)
    t.same(paged, models)
  })

  t.test('lists profiles, but not for API keys', async (t) => {
    const answer = await jsonOf(call(url, 'POST', '/List-Available-Profiles', { body: {} }))
    t.match(answer, { profiles: [{ arn: /^arn:aws:codewhisperer:/ }] })
    const headers = { ...target('ListAvailableProfiles'), authorization: 'Bearer ksk_1' }
    t.equal((await call(url, 'POST', '/', { headers, body: {} })).status, 403)
  })

  t.test('tells usage limits, used up for quota-token', async (t) => {
    const path = '/getUsageLimits?origin=AI_EDITOR&resourceType=AGENTIC_REQUEST'
    t.match(await jsonOf(call(url, 'GET', path)), {
      nextDateReset: Number,
      usageBreakdownList: [{ resourceType: 'CREDIT', currentUsage: 42, usageLimit: 1000 }]
    })
    const headers = { authorization: 'Bearer quota-token', 'x-amz-target': 'X.GetUsageLimits' }
    t.match(await jsonOf(call(url, 'POST', '/', { headers, body: {} })), {
      usageBreakdownList: [{ currentUsage: 1000, usageLimit: 1000 }]
    })
  })

  t.test('searches the web over JSON-RPC', async (t) => {
    const params = { name: 'web_search', arguments: { query: 'kiro pricing' } }
    const body = { id: 'w1', jsonrpc: '2.0', method: 'tools/call', params }
    const headers = { 'x-amzn-kiro-profile-arn': TEST_PROFILE_ARN }
    const answer = await jsonOf(call(url, 'POST', '/mcp', { body, headers }))
    const { content } = answer['result'] as { content: { text: string }[] }
    t.match(answer, { id: 'w1', jsonrpc: '2.0', result: { isError: false } })
    t.match(JSON.parse(content[0]!.text), { query: 'kiro pricing', totalResults: 2, error: null })
    const unknown = { ...body, method: 'resources/list' }
    t.match(await jsonOf(call(url, 'POST', '/mcp', { body: unknown, headers })), {
      error: { code: -32601 }
    })
    t.equal((await call(url, 'POST', '/mcp', { body })).status, 400)
  })

  t.test('needs a token everywhere, and knows no other paths', async (t) => {
    for (const path of ['/ListAvailableModels', '/getUsageLimits']) {
      const headers = { authorization: 'Bearer expired-token' }
      t.equal((await call(url, 'GET', path, { headers })).status, 403)
    }
    t.equal((await call(url, 'GET', '/elsewhere')).status, 404)
  })
})

function target(action: string): Record<string, string> {
  return { 'x-amz-target': `AmazonCodeWhispererService.${action}` }
}

t.test('an account that is told what it has used', async (t) => {
  const { simulator, url } = await startSimulator(t, {
    account: { used: 998, limit: 1_000, isOverageEnabled: true, overageCap: 10 }
  })
  const limits = async () =>
    jsonOf(call(url, 'GET', '/getUsageLimits?origin=AI_EDITOR&resourceType=AGENTIC_REQUEST'))
  simulator.account.meter(5.5)
  t.match(await limits(), {
    overageConfiguration: { overageStatus: 'ENABLED' },
    usageBreakdownList: [
      {
        currentUsageWithPrecision: 1_000,
        currentOveragesWithPrecision: 3.5,
        overageCap: 10,
        overageRate: 0.04,
        overageCharges: 0.14
      }
    ]
  })
  t.equal(simulator.account.refusal, null)
  simulator.account.set({ used: 1_010 })
  t.match(simulator.account.refusal, { reason: 'OVERAGE_REQUEST_LIMIT_EXCEEDED' })
  simulator.account.set({ isOverageEnabled: false })
  t.match(simulator.account.refusal, { reason: 'MONTHLY_REQUEST_COUNT' })
})
