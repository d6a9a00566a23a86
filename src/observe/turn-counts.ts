import { DURATION, DURATION_BUCKETS } from './metrics.ts'
import type { MetricsSnapshot } from './snapshots.ts'

/** What metrics want to know of one client request that is over. Amounts of time are milliseconds. */
export interface CountedTurn {
  readonly route: string
  /** As answered; 499 when the client had left. */
  readonly status: number
  /** Of the error; empty where there was none. */
  readonly code: string
  /** The upstream's; one of a bounded set. */
  readonly model: string
  readonly isStream: boolean
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedTokens: number
  /** Micro-credits. */
  readonly credits: number
  readonly totalMs: number
  /** To the first byte of the answer; `null` where there was none. */
  readonly firstMs: number | null
  /** From the permit to the end; `null` where the upstream was not asked. */
  readonly askedMs: number | null
  /** From the permit to the first part of the answer; `null` where there was none. */
  readonly toFirstChunkMs: number | null
  /** Pieces in which the answer came. */
  readonly chunks: number
  readonly isAbovePriceStep: boolean
}

/** Seconds; what the gateway adds should end in the first buckets. */
const FIRST_BYTE_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]
/** OpenTelemetry's advice for GenAI, which dashboards of others count on. Seconds, seconds, seconds, tokens. */
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
const PREFIX = 'kiro_gateway_'

type Labels = Readonly<Record<string, string>>

/**
 * Counts of client requests, made in the primary of what the workers tell of each: so they are the same as the record of
 * usage, and a worker that is killed takes none of them along. Every series is an entry of a map, as prom-client takes ten
 * times as long for each request.
 *
 * The names of `gen_ai_…` are OpenTelemetry's: `client` is the gateway's own call of the upstream, `server` what its
 * clients see.
 *
 * @see https://github.com/open-telemetry/semantic-conventions-genai
 */
export class TurnCounts {
  readonly #requests = new Counts()
  readonly #pool = new Counts()
  readonly #tokens = new Counts()
  readonly #duration = new Buckets(DURATION_BUCKETS)
  readonly #firstByte = new Buckets(FIRST_BYTE_BUCKETS)
  readonly #usage = new Buckets(TOKEN_BUCKETS)
  readonly #operation = new Buckets(OPERATION_BUCKETS)
  readonly #firstChunk = new Buckets(FIRST_TOKEN_BUCKETS)
  readonly #perChunk = new Buckets(PER_TOKEN_BUCKETS)
  readonly #server = new Buckets(OPERATION_BUCKETS)
  readonly #firstToken = new Buckets(FIRST_TOKEN_BUCKETS)
  readonly #perToken = new Buckets(PER_TOKEN_BUCKETS)
  #credits = 0
  #abovePriceStep = 0
  #lost = 0

  constructor() {
    for (const code of [POOL_TIMEOUT, QUEUE_FULL]) this.#pool.add([code], 0)
    for (const type of TOKEN_TYPES) this.#tokens.add([type], 0)
  }

  add(turn: CountedTurn): void {
    const { route, status, code, model } = turn
    this.#requests.add([route, String(status), code === '' ? 'none' : code], 1)
    this.#duration.add([route], turn.totalMs / 1000)
    if (code === POOL_TIMEOUT || code === QUEUE_FULL) this.#pool.add([code], 1)
    this.#credits += turn.credits
    if (turn.isAbovePriceStep) this.#abovePriceStep++
    this.#server.add([model, code], turn.totalMs / 1000)
    this.#addCall(turn)
    if (turn.firstMs !== null) this.#addAnswer(turn, turn.firstMs)
  }

  /** Requests that ended with their worker, of which nothing else is known. */
  lose(requests: number): void {
    this.#lost += requests
  }

  /** The sums alone, which are what is looked at each second while a dashboard is open. */
  sums(): MetricsSnapshot {
    return [
      this.#requests.of('requests_total', 'Requests answered.', ['route', 'status', 'code']),
      this.#tokens.of('tokens_total', 'Tokens, as reported or estimated.', ['type']),
      counter('credits_total', 'Credits that the upstream has metered.', this.#credits / MICROS)
    ]
  }

  /** As prom-client writes its own, to be merged with those. */
  snapshot(): MetricsSnapshot {
    const credits = this.#credits / MICROS
    return [
      this.#requests.of('requests_total', 'Requests answered.', ['route', 'status', 'code']),
      counter('requests_lost_total', LOST, this.#lost),
      this.#duration.of(`${PREFIX}request_duration_seconds`, DURATION, ['route']),
      this.#firstByte.of(`${PREFIX}first_byte_seconds`, FIRST_BYTE, ['route']),
      this.#tokens.of('tokens_total', 'Tokens, as reported or estimated.', ['type']),
      counter('credits_total', 'Credits that the upstream has metered.', credits),
      counter('price_step_crossed_total', PRICE_STEP, this.#abovePriceStep),
      counter('pool_timeouts_total', TIMEOUTS, this.#pool.get([POOL_TIMEOUT])),
      counter('pool_queue_rejected_total', REJECTED, this.#pool.get([QUEUE_FULL])),
      this.#usage.of('gen_ai_client_token_usage', USAGE, [MODEL, 'gen_ai_token_type'], GenAi),
      this.#operation.of(
        'gen_ai_client_operation_duration_seconds',
        'How long calls of the upstream took, from the permit to the end.',
        [MODEL, ERROR],
        GenAi
      ),
      this.#firstChunk.of(
        'gen_ai_client_operation_time_to_first_chunk_seconds',
        'From the permit to the first part of an answer.',
        [MODEL],
        GenAi
      ),
      this.#perChunk.of(
        'gen_ai_client_operation_time_per_output_chunk_seconds',
        'Time between the pieces in which the upstream sends an answer, the mean of each answer.',
        [MODEL],
        GenAi
      ),
      this.#server.of(
        'gen_ai_server_request_duration_seconds',
        'How long requests took, as their clients see it.',
        [MODEL, ERROR],
        GenAi
      ),
      this.#firstToken.of(
        'gen_ai_server_time_to_first_token_seconds',
        'From the request to the first token of a streamed answer, as its client sees it.',
        [MODEL],
        GenAi
      ),
      this.#perToken.of(
        'gen_ai_server_time_per_output_token_seconds',
        'Time for each further token of a streamed answer, the mean of each answer.',
        [MODEL],
        GenAi
      )
    ]
  }

  #addCall({ model, code, isStream, askedMs, toFirstChunkMs, chunks }: CountedTurn): void {
    if (askedMs === null) return
    this.#operation.add([model, code], askedMs / 1000)
    if (toFirstChunkMs === null || !isStream) return
    this.#firstChunk.add([model], toFirstChunkMs / 1000)
    if (chunks > 1) this.#perChunk.add([model], (askedMs - toFirstChunkMs) / 1000 / (chunks - 1))
  }

  #addAnswer(turn: CountedTurn, firstMs: number): void {
    const { route, model, isStream, totalMs } = turn
    const { inputTokens: input, outputTokens: output, cachedTokens: cached } = turn
    this.#firstByte.add([route], firstMs / 1000)
    for (const [type, tokens] of Object.entries({ input, output, cached }))
      this.#tokens.add([type], tokens)
    this.#usage.add([model, 'input'], input)
    this.#usage.add([model, 'output'], output)
    if (!isStream) return
    this.#firstToken.add([model], firstMs / 1000)
    if (output > 1) this.#perToken.add([model], (totalMs - firstMs) / 1000 / (output - 1))
  }
}

const POOL_TIMEOUT = 'GW_POOL_TIMEOUT'
const QUEUE_FULL = 'GW_QUEUE_FULL'
const TOKEN_TYPES = ['input', 'output', 'cached'] as const
const MODEL = 'gen_ai_request_model'
const ERROR = 'error_type'
/** Of every series of a call. */
const GenAi: Labels = { gen_ai_operation_name: 'chat', gen_ai_provider_name: 'aws.kiro' }

const LOST =
  'Requests that ended with their worker, which died; they are in no other count of requests.'
const FIRST_BYTE = 'From the request to the first byte of its answer.'
const PRICE_STEP =
  'Requests with so many input tokens that all of them cost more: GPT above 272 000 double, Claude Haiku from 5.5 on above 100 000 five times as much.'
const TIMEOUTS = 'Requests that waited longer than HTTP_POOL_TIMEOUT.'
const REJECTED = 'Requests refused because too many waited.'
const USAGE = 'Tokens of a request that was answered, as reported or estimated.'

/** A sum for each combination of label values. Bounded by what callers add: routes, codes, models of the list. */
class Counts {
  /** Bounded by the combinations that callers add. */
  readonly #sums = new Map<string, number>()

  add(values: readonly string[], amount: number): void {
    const key = values.join(SEPARATOR)
    this.#sums.set(key, (this.#sums.get(key) ?? 0) + amount)
  }

  get(values: readonly string[]): number {
    return this.#sums.get(values.join(SEPARATOR)) ?? 0
  }

  of(name: string, help: string, names: readonly string[]): object {
    const values = Array.from(this.#sums, ([key, value]) => ({
      labels: labelsOf(names, key),
      value
    }))
    return { name: PREFIX + name, help, type: 'counter', aggregator: 'sum', values }
  }
}

interface Series {
  /** Of values up to each bound and above the one before it; the last is of those above all. */
  readonly counts: number[]
  sum: number
}

/** A histogram for each combination of label values. Bounded like `Counts`. */
class Buckets {
  readonly #bounds: readonly number[]
  /** Bounded by the combinations that callers add. */
  readonly #series = new Map<string, Series>()

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
  }

  add(values: readonly string[], observed: number): void {
    const key = values.join(SEPARATOR)
    const series = this.#series.get(key) ?? this.#begin(key)
    const at = this.#bounds.findIndex((bound) => observed <= bound)
    const bucket = at === -1 ? this.#bounds.length : at
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1
    series.sum += observed
  }

  #begin(key: string): Series {
    const series = { counts: [...this.#bounds, Infinity].map(() => 0), sum: 0 }
    this.#series.set(key, series)
    return series
  }

  of(name: string, help: string, names: readonly string[], common: Labels = {}): object {
    const values = Array.from(this.#series, ([key, series]) => {
      const labels = { ...common, ...labelsOf(names, key) }
      let count = 0
      const buckets = series.counts.map((part, at) => {
        count += part
        const le = this.#bounds[at] ?? '+Inf'
        return { labels: { le, ...labels }, value: count, metricName: `${name}_bucket` }
      })
      return [
        ...buckets,
        { labels, value: series.sum, metricName: `${name}_sum` },
        { labels, value: count, metricName: `${name}_count` }
      ]
    })
    return { name, help, type: 'histogram', aggregator: 'sum', values: values.flat() }
  }
}

/** In no route, code or model. */
const SEPARATOR = '\n'

function labelsOf(names: readonly string[], key: string): Labels {
  const values = key.split(SEPARATOR)
  return Object.fromEntries(names.map((name, at) => [name, values[at] ?? '']))
}

function counter(name: string, help: string, value: number): object {
  const values = [{ labels: {}, value }]
  return { name: PREFIX + name, help, type: 'counter', aggregator: 'sum', values }
}
