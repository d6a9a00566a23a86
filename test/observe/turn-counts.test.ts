import t from 'tap'
import { Metrics } from '../../src/observe/metrics.ts'
import { toPrometheusText } from '../../src/observe/snapshots.ts'
import { type CountedTurn, TurnCounts } from '../../src/observe/turn-counts.ts'

function turn(members: Partial<CountedTurn> = {}): CountedTurn {
  return {
    route: '/v1/messages',
    status: 200,
    code: '',
    model: 'claude-sonnet-4.6',
    isStream: true,
    inputTokens: 1000,
    outputTokens: 101,
    cachedTokens: 10,
    credits: 1_250_000,
    totalMs: 3000,
    firstMs: 1000,
    askedMs: 2900,
    toFirstChunkMs: 900,
    chunks: 21,
    isAbovePriceStep: false,
    ...members
  }
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
    counts.add(turn())
    counts.add(turn({ isAbovePriceStep: true, outputTokens: 1, chunks: 1 }))
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
    const none = { firstMs: null, askedMs: null, toFirstChunkMs: null, chunks: 0, credits: 0 }
    counts.add(turn({ ...none, status: 503, code: 'GW_POOL_TIMEOUT' }))
    counts.add(turn({ ...none, status: 503, code: 'GW_QUEUE_FULL' }))
    counts.add(turn({ ...none, status: 502, code: 'GW_UPSTREAM_RESET', askedMs: 40 }))
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
