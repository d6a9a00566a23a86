import t from 'tap'
import { Metrics } from '../../../src/observe/metrics.ts'
import { Progress } from '../../../src/server/worker/open-turns.ts'
import { recordTurn, type TurnRecord } from '../../../src/server/worker/turn-record.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { replyPlan } from '../../helper/reply-plan.ts'

function record(
  t: { teardown(close: () => unknown): void },
  changes: Partial<TurnRecord>,
  isTold = true
) {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  const { log, lines } = recordedLog()
  const progress = new Progress()
  progress.end('queue', progress.startedAt + 3)
  progress.spend({ inputTokens: 5, outputTokens: 7 })
  recordTurn(
    { metrics, log, refusals: { note: () => isTold } },
    {
      requestId: 'req_1',
      route: '/v1/messages',
      keyName: null,
      status: 200,
      error: null,
      plan: replyPlan({ repairs: ['merged'] }),
      bodyBytes: 11,
      bytesOut: 0,
      method: 'POST',
      keyHash: null,
      client: 'claude-code',
      progress,
      ...changes
    }
  )
  return { line: JSON.parse(lines.join('') || '{}'), lines: lines.length, metrics }
}

interface Countable {
  get(): Promise<{
    readonly values: readonly { readonly labels: object; readonly value: number }[]
  }>
}

/** Labels and values of one metric. */
async function valuesOf(metric: Countable) {
  return (await metric.get()).values.map(({ labels, value }) => ({ ...labels, value }))
}

t.test('recordTurn()', (t) => {
  t.test('says how many times the usual price a long request costs', async (t) => {
    const lineOf = (upstreamModel: string, inputTokens: number, cacheReadTokens = 0) => {
      const progress = new Progress()
      progress.spend({ inputTokens, outputTokens: 1, cacheReadTokens })
      return record(t, { progress, plan: replyPlan({ upstreamModel }) }).line
    }
    t.equal(lineOf('gpt-5.6-sol', 272_001).price_factor, 2)
    t.equal(lineOf('claude-haiku-5.5', 100_001).price_factor, 5)
    t.equal(lineOf('claude-haiku-5.5', 50_000, 50_001).price_factor, 5, 'cached ones count')
    t.notOk('price_factor' in lineOf('claude-haiku-5.5', 100_000))
    t.notOk('price_factor' in lineOf('claude-opus-5.5', 900_000))
  })

  t.test('says whose request it was, where its key has a name', async (t) => {
    t.match(record(t, { keyName: 'anna' }).line, { key: 'anna' })
    t.notOk('key' in record(t, {}).line)
  })
  t.test('writes one line and counts once', async (t) => {
    const call = {
      startedAt: 0,
      url: new URL('http://127.0.0.1:9'),
      status: 200,
      code: null,
      chunks: 3,
      phase: 'answering',
      isMeasured: true,
      lostCalls: 0
    } as const
    const progress = new Progress()
    progress.end('queue', progress.startedAt + 3)
    progress.spend({ inputTokens: 5, outputTokens: 7 })
    progress.meter(250_000, 'metered')
    progress.account = 'a1'
    progress.noteCall({ ...call, stopReason: null, upstreamId: null })
    progress.noteCall({ ...call, stopReason: 'stop', upstreamId: 'up-1' })
    const changes = { progress, keyHash: '0123456789abcdef', bytesOut: 22 }
    const { line, lines, metrics } = record(t, changes)
    t.equal(lines, 1)
    t.match(line, {
      level: 'info',
      msg: 'request completed',
      request_id: 'req_1',
      route: '/v1/messages',
      status: 200,
      event: 'request.completed',
      method: 'POST',
      model_requested: 'claude-haiku-4.5',
      model_upstream: 'claude-haiku-4.5',
      stream: true,
      bytes_in: 11,
      bytes_out: 22,
      client_key_hash: '0123456789abcdef',
      account_hash: 'a1',
      attempt: 2,
      input_tokens: 5,
      output_tokens: 7,
      token_source: 'upstream',
      credits: 0.25,
      stop_reason: 'stop',
      upstream_request_id: 'up-1',
      repairs: ['merged'],
      phase_ms: { queue: 3, total: Number }
    })
    t.notOk('client_aborted' in line)
    t.notOk('error' in line)
    t.same(await valuesOf(metrics.requests), [], 'the primary counts it')
  })
  t.test(
    'is a warning where a tool call was lost, which the client may have waited for',
    async (t) => {
      const progress = new Progress()
      const call = {
        startedAt: 0,
        url: new URL('http://127.0.0.1:9'),
        status: 200,
        code: null,
        chunks: 1,
        phase: 'answering',
        isMeasured: false,
        upstreamId: null
      } as const
      progress.noteCall({ ...call, stopReason: 'length', lostCalls: 1 })
      progress.noteCall({ ...call, stopReason: 'stop', lostCalls: 1 })
      const { line } = record(t, { progress })
      t.match(line, { level: 'warn', msg: 'tool call lost', lost_calls: 2, status: 200 })
    }
  )
  t.test('has no line for one of many refusals, but counts it', async (t) => {
    const error = new GatewayError('GW_KEY_RATE')
    const cheap = { error, status: 429, isLocal: true, progress: new Progress() }
    const { lines, metrics } = record(t, cheap, false)
    t.equal(lines, 0)
    t.match(await valuesOf(metrics.requests), [{ code: 'GW_KEY_RATE', value: 1 }])
    t.equal(record(t, { ...cheap, error: new GatewayError('GW_INTERNAL') }, false).lines, 1)
    t.equal(record(t, {}, false).lines, 1, 'nor is what went well left out')
    const asked = new Progress()
    asked.noteCall({
      startedAt: 0,
      url: new URL('http://127.0.0.1:9'),
      status: 500,
      code: null,
      chunks: 0,
      phase: 'answering',
      isMeasured: false,
      stopReason: null,
      upstreamId: null,
      lostCalls: 0
    })
    t.equal(record(t, { ...cheap, progress: asked }, false).lines, 1, 'nor what the upstream saw')
  })
  t.test('counts what is answered here', async (t) => {
    const { metrics } = record(t, { isLocal: true })
    t.match(await valuesOf(metrics.requests), [
      { route: '/v1/messages', status: 200, code: 'none', value: 1 }
    ])
  })
  for (const [error, level, msg] of [
    [new GatewayError('GW_BODY_INVALID'), 'info', 'request refused'],
    [new GatewayError('GW_CLIENT_CLOSED'), 'info', 'request refused'],
    [
      new GatewayError('GW_UPSTREAM_RESET', 'why', { cause: new Error('socket') }),
      'warn',
      'request failed'
    ],
    [new GatewayError('GW_INTERNAL'), 'error', 'request failed'],
    [new GatewayError('GW_POOL_TIMEOUT'), 'warn', 'PoolTimeout']
  ] as const) {
    t.test(`says how much ${error.code} matters, and why it happened`, async (t) => {
      const { line, metrics } = record(t, {
        status: error.status,
        error,
        plan: null,
        isLocal: true,
        progress: new Progress()
      })
      t.match(line, { level, msg, code: error.code, reason: error.message })
      t.equal(line.detail, error.detail)
      t.equal(line.err !== undefined, error.cause !== undefined)
      t.match(line.error, { type: error.source, code: error.code, phase: 'request' })
      t.equal(line.client_aborted, error.status === 499 ? true : undefined)
      t.equal('model_requested' in line, false)
      t.match(await valuesOf(metrics.requests), [
        { code: error.code, status: error.status, value: 1 }
      ])
    })
  }
  t.end()
})
