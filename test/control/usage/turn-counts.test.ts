import t from 'tap'
import { TurnCounts } from '../../../src/control/usage/turn-counts.ts'
import type { TurnFacts, UsageRow } from '../../../src/ipc/usage-row.ts'
import { Metrics } from '../../../src/observe/metrics.ts'
import { toPrometheusText } from '../../../src/observe/snapshots.ts'
import { usageRow } from '../../helper/usage-row.ts'

const MODEL = 'claude-sonnet-4.6'

/** A streamed answer whose upstream was asked after 100 ms and began to answer 900 ms later. */
function row(members: Partial<UsageRow> = {}, facts: Partial<TurnFacts> = {}): UsageRow {
  return usageRow({
    outputTokens: 101,
    totalMs: 3000,
    firstMs: 1000,
    turn: {
      requestId: 'r',
      route: '/v1/messages',
      isStream: true,
      phaseMs: { read: 100, connect: 500, ttfb: 400 },
      attempts: 1,
      chunks: 21,
      isAbovePriceStep: false,
      worker: 1,
      bodyBytes: 100,
      repairs: [],
      ...facts
    },
    ...members
  })
}

/** The samples of a process, as Prometheus gets them. */
async function samplesOf(counts: TurnCounts, metrics: Metrics) {
  counts.note()
  const text = await toPrometheusText([await metrics.snapshot()])
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))])
  )
}

t.test('TurnCounts', (t) => {
  const metrics = new Metrics()
  const counts = new TurnCounts(metrics)
  t.teardown(() => metrics.close())
  const samples = () => samplesOf(counts, metrics)
  const own = 'gen_ai_operation_name="chat",gen_ai_provider_name="aws.kiro"'
  const model = `${own},gen_ai_request_model="claude-sonnet-4.6"`

  t.test(
    'has its plain counters before anything has happened, so that rates see the first',
    async (t) => {
      const told = await samples()
      for (const name of [
        'requests_lost_total',
        'credits_total',
        'price_step_crossed_total',
        'pool_timeouts_total',
        'pool_queue_rejected_total',
        'tokens_total{type="input"}'
      ]) {
        t.equal(told.get(`kiro_gateway_${name}`), 0, name)
      }
    }
  )

  t.test('counts requests, tokens, credits and times', async (t) => {
    counts.add(row(), MODEL)
    counts.add(row({ outputTokens: 1 }, { isAbovePriceStep: true, chunks: 1 }), MODEL)
    counts.add(usageRow(), MODEL) // of a worker that died
    metrics.requests.inc({ route: '/v1/messages/count_tokens', status: '200', code: 'none' })
    const told = await samples()
    const of = (name: string) => told.get(name)
    t.equal(of('kiro_gateway_requests_total{route="/v1/messages",status="200",code="none"}'), 2)
    t.equal(
      of('kiro_gateway_requests_total{route="/v1/messages/count_tokens",status="200",code="none"}'),
      1,
      'those of others are beside them'
    )
    t.equal(of('kiro_gateway_tokens_total{type="output"}'), 102)
    t.equal(of('kiro_gateway_credits_total'), 2.5)
    t.equal(of('kiro_gateway_price_step_crossed_total'), 1)
    t.equal(of('kiro_gateway_request_duration_seconds_bucket{le="2.5",route="/v1/messages"}'), 0)
    t.equal(of('kiro_gateway_request_duration_seconds_bucket{le="5",route="/v1/messages"}'), 2)
    t.equal(of('kiro_gateway_request_duration_seconds_sum{route="/v1/messages"}'), 6)
    t.equal(of('kiro_gateway_first_byte_seconds_count{route="/v1/messages"}'), 2)
    t.equal(of(`gen_ai_client_token_usage_bucket{le="1024",${model},gen_ai_token_type="input"}`), 2)
    t.equal(of(`gen_ai_client_operation_duration_seconds_sum{${model},error_type=""}`), 5.8)
    t.equal(of(`gen_ai_client_operation_time_to_first_chunk_seconds_sum{${model}}`), 1.8)
    t.equal(of(`gen_ai_client_operation_time_per_output_chunk_seconds_sum{${model}}`), 0.1)
    t.equal(of(`gen_ai_client_operation_time_per_output_chunk_seconds_count{${model}}`), 1)
    t.equal(of(`gen_ai_server_request_duration_seconds_count{${model},error_type=""}`), 2)
    t.equal(of(`gen_ai_server_time_to_first_token_seconds_sum{${model}}`), 2)
    t.equal(of(`gen_ai_server_time_per_output_token_seconds_sum{${model}}`), 0.02)
  })

  t.test('tells failures by their codes, and what never came is no time', async (t) => {
    const before = await samples()
    const none = { firstMs: null, totalMs: 40, credits: 0 }
    const unasked = { phaseMs: { read: 1, queue: 39 }, chunks: 0 }
    const asked = { phaseMs: { read: 1, connect: 39 }, chunks: 0 }
    counts.add(row({ ...none, status: 503, code: 'GW_POOL_TIMEOUT' }, unasked), MODEL)
    counts.add(row({ ...none, status: 503, code: 'GW_QUEUE_FULL' }, unasked), MODEL)
    counts.add(row({ ...none, status: 502, code: 'GW_UPSTREAM_RESET' }, asked), MODEL)
    counts.lose(3)
    const told = await samples()
    const of = (name: string) => told.get(name)
    t.equal(of('kiro_gateway_pool_timeouts_total'), 1)
    t.equal(of('kiro_gateway_pool_queue_rejected_total'), 1)
    t.equal(of('kiro_gateway_requests_lost_total'), 3)
    const failed = `${model},error_type="GW_UPSTREAM_RESET"`
    t.equal(of(`gen_ai_client_operation_duration_seconds_count{${failed}}`), 1)
    t.equal(
      of(`gen_ai_client_operation_duration_seconds_count{${model},error_type="GW_QUEUE_FULL"}`),
      undefined,
      'the upstream was not asked'
    )
    const first = 'kiro_gateway_first_byte_seconds_count{route="/v1/messages"}'
    t.equal(of(first), before.get(first))
  })
  t.end()
})
