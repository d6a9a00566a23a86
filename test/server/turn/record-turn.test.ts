import t from 'tap'
import { Metrics } from '../../../src/observe/metrics.ts'
import { Progress } from '../../../src/server/plane/open-turns.ts'
import { recordTurn, type TurnRecord } from '../../../src/server/turn/turn-record.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { recordedLog } from '../../helper/recorded-log.ts'
import { replyPlan } from '../../helper/reply-plan.ts'

function record(t: { teardown(close: () => unknown): void }, changes: Partial<TurnRecord>) {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  const { log, lines } = recordedLog()
  const progress = new Progress()
  progress.end('queue', progress.startedAt + 3)
  progress.spend({ inputTokens: 5, outputTokens: 7 })
  recordTurn(
    { metrics, log },
    {
      requestId: 'req_1',
      route: '/v1/messages',
      keyName: null,
      status: 200,
      error: null,
      plan: replyPlan({ repairs: ['merged'] }),
      bodyBytes: 11,
      progress,
      ...changes
    }
  )
  return { line: JSON.parse(lines.join('')), lines: lines.length, metrics }
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
  t.test('says whose request it was, where its key has a name', async (t) => {
    t.match(record(t, { keyName: 'anna' }).line, { key: 'anna' })
    t.notOk('key' in record(t, {}).line)
  })
  t.test('writes one line and counts once', async (t) => {
    const { line, lines, metrics } = record(t, {})
    t.equal(lines, 1)
    t.match(line, {
      level: 'info',
      msg: 'request completed',
      reqId: 'req_1',
      route: '/v1/messages',
      status: 200,
      model: 'claude-haiku-4.5',
      isStream: true,
      bodyBytes: 11,
      repairs: ['merged'],
      usage: { inputTokens: 5, outputTokens: 7 },
      phaseMs: { queue: 3 }
    })
    t.same(await valuesOf(metrics.requests), [], 'the primary counts it')
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
      t.equal('model' in line, false)
      t.match(await valuesOf(metrics.requests), [
        { code: error.code, status: error.status, value: 1 }
      ])
    })
  }
  t.end()
})
