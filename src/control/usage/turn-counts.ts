import type { TurnFacts, UsageRow } from '../../ipc/usage-row.ts'
import type { Metrics } from '../../observe/metrics.ts'

/** Seconds; the gateway's own part should end in the first buckets. */
const FIRST_BYTE_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]
/** OpenTelemetry's advice for GenAI, expected by common dashboards. Seconds, seconds, seconds, tokens. */
const OPERATION_BUCKETS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92
]
const FIRST_TOKEN_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60
]
const PER_TOKEN_BUCKETS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5]
const TOKEN_BUCKETS = [
  1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
  67_108_864
]

const MICROS = 1_000_000
/** Phases before the upstream is asked. */
const BEFORE_ASKING: readonly string[] = ['read', 'transform', 'key', 'pause', 'pace', 'queue']

/**
 * Counts client requests in the primary: equal to the record of usage, and a killed worker loses none. OpenTelemetry's
 * `gen_ai_client…` is the gateway's call of the upstream, `gen_ai_server…` what clients see
 * (https://github.com/open-telemetry/semantic-conventions-genai).
 */
export class TurnCounts {
  readonly #all: Pick<Metrics, 'requests' | 'requestSeconds'>
  readonly #own: ReturnType<typeof declare>
  /** Micro-credits: whole numbers add up exactly. */
  #credits = 0

  constructor(metrics: Metrics) {
    this.#all = metrics
    this.#own = declare(metrics)
    for (const type of ['input', 'output', 'cached']) this.#own.tokens.inc({ type }, 0)
  }

  /** `model` is one of a bounded set. Credits that died with a worker are not a request and do not count. */
  add(row: UsageRow, model: string): void {
    const { status, code, turn, firstMs } = row
    if (turn === undefined) return
    const { route } = turn
    const genAi = labelsOf(model)
    const own = this.#own
    this.#all.requests.inc({ route, status: String(status), code: code === '' ? 'none' : code })
    this.#all.requestSeconds.observe({ route }, row.totalMs / 1000)
    if (code === 'GW_POOL_TIMEOUT') own.poolTimeouts.inc()
    if (code === 'GW_QUEUE_FULL') own.queueRejected.inc()
    this.#credits += row.credits
    if (turn.isAbovePriceStep) own.abovePriceStep.inc()
    own.server.observe({ ...genAi, error_type: code }, row.totalMs / 1000)
    this.#addCall(row, turn, genAi)
    if (firstMs !== null) this.#addAnswer(row, turn, { firstMs, genAi })
  }

  note(): void {
    const { credits } = this.#own
    credits.reset()
    credits.inc(this.#credits / MICROS)
  }

  lose(requests: number): void {
    this.#own.lost.inc(requests)
  }

  #addCall({ code, totalMs }: UsageRow, turn: TurnFacts, genAi: GenAiLabels): void {
    const { isStream, chunks, phaseMs } = turn
    const { connect, ttfb } = phaseMs
    const { operation, firstChunk, perChunk } = this.#own
    if (connect === undefined) return
    const before = BEFORE_ASKING.reduce((sum, phase) => sum + (phaseMs[phase] ?? 0), 0)
    const askedMs = Math.max(0, totalMs - before)
    operation.observe({ ...genAi, error_type: code }, askedMs / 1000)
    if (ttfb === undefined || !isStream) return
    const toFirstChunkMs = connect + ttfb
    firstChunk.observe(genAi, toFirstChunkMs / 1000)
    if (chunks > 1) perChunk.observe(genAi, (askedMs - toFirstChunkMs) / 1000 / (chunks - 1))
  }

  #addAnswer(
    { inputTokens: input, outputTokens: output, cachedTokens: cached, totalMs }: UsageRow,
    { route, isStream }: TurnFacts,
    { firstMs, genAi }: { readonly firstMs: number; readonly genAi: GenAiLabels }
  ): void {
    const { firstByte, tokens, usage, firstToken, perToken } = this.#own
    firstByte.observe({ route }, firstMs / 1000)
    for (const [type, count] of Object.entries({ input, output, cached }))
      tokens.inc({ type }, count)
    usage.observe({ ...genAi, gen_ai_token_type: 'input' }, input)
    usage.observe({ ...genAi, gen_ai_token_type: 'output' }, output)
    if (!isStream) return
    firstToken.observe(genAi, firstMs / 1000)
    if (output > 1) perToken.observe(genAi, (totalMs - firstMs) / 1000 / (output - 1))
  }
}

type GenAiLabels = ReturnType<typeof labelsOf>

function labelsOf(model: string) {
  return {
    gen_ai_operation_name: 'chat',
    gen_ai_provider_name: 'aws.kiro',
    gen_ai_request_model: model
  }
}

function declare(metrics: Metrics) {
  const genAi = <Label extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labels: Label[] = []
  ) => {
    const all: (Label | keyof GenAiLabels)[] = [
      'gen_ai_operation_name',
      'gen_ai_provider_name',
      'gen_ai_request_model',
      ...labels
    ]
    return metrics.histogram(`gen_ai_${name}`, help, buckets, all)
  }
  return {
    lost: metrics.counter(
      'kiro_gateway_requests_lost_total',
      'Requests that died with their worker.'
    ),
    firstByte: metrics.histogram(
      'kiro_gateway_first_byte_seconds',
      'Time from the request to the first byte of its answer.',
      FIRST_BYTE_BUCKETS,
      ['route']
    ),
    tokens: metrics.counter(
      'kiro_gateway_tokens_total',
      'Tokens, as reported or estimated: `input`, `output`, `cached` (not among the input).',
      ['type']
    ),
    credits: metrics.counter('kiro_gateway_credits_total', 'Credits metered by the upstream.'),
    abovePriceStep: metrics.counter(
      'kiro_gateway_price_step_crossed_total',
      'Requests whose input is long enough to cost more: GPT above 272 000 tokens twice, Claude Haiku from 5.5 on above 100 000 five times as much.'
    ),
    poolTimeouts: metrics.counter(
      'kiro_gateway_pool_timeouts_total',
      'Requests that waited longer than `HTTP_POOL_TIMEOUT`.'
    ),
    queueRejected: metrics.counter(
      'kiro_gateway_pool_queue_rejected_total',
      'Requests refused because too many were waiting.'
    ),
    usage: genAi(
      'client_token_usage',
      'Tokens of an answered request, `input` and `output`.',
      TOKEN_BUCKETS,
      ['gen_ai_token_type']
    ),
    operation: genAi(
      'client_operation_duration_seconds',
      'Calls of the upstream, from the permit to the end, repeated calls included.',
      OPERATION_BUCKETS,
      ['error_type']
    ),
    firstChunk: genAi(
      'client_operation_time_to_first_chunk_seconds',
      'From the permit to the first part of a streamed answer.',
      FIRST_TOKEN_BUCKETS
    ),
    perChunk: genAi(
      'client_operation_time_per_output_chunk_seconds',
      'Time between the pieces of a streamed answer, one mean for each answer.',
      PER_TOKEN_BUCKETS
    ),
    server: genAi(
      'server_request_duration_seconds',
      'Time from the request to the end of its answer.',
      OPERATION_BUCKETS,
      ['error_type']
    ),
    firstToken: genAi(
      'server_time_to_first_token_seconds',
      'From the request to the first token of a streamed answer.',
      FIRST_TOKEN_BUCKETS
    ),
    perToken: genAi(
      'server_time_per_output_token_seconds',
      'Time for each further token, one mean for each answer.',
      PER_TOKEN_BUCKETS
    )
  }
}
