import { ProcessMetrics } from './process-metrics.ts'
import { Counter, Gauge, Histogram, Registry } from './prom-client.ts'
import type { MetricsSnapshot } from './snapshots.ts'

/** Seconds: from one to many minutes. */
const DURATION_BUCKETS = [0.05, 0.25, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]
/** Seconds: from a free permit to minutes of waiting. */
const WAIT_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300]
/** Seconds: from an unused handshake to hours. */
const CONNECTION_BUCKETS = [0.1, 1, 10, 60, 300, 1800, 7200, 43_200]
const ACCEPT_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 1, 5, 15]
const TRANSFORM_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2]

/** Metrics of one process. The primary merges all, and itself counts requests to the upstream (`control/usage/`). */
export class Metrics {
  readonly registry = new Registry()
  readonly #process: ProcessMetrics

  constructor(name = 'primary') {
    this.#process = new ProcessMetrics(this.registry, name)
  }

  readonly requests = this.counter(
    'kiro_gateway_requests_total',
    'Requests that are over. `code` is one of docs/errors.md, or `none`; `status` 499 is a client that left.',
    ['route', 'status', 'code']
  )
  readonly requestsInFlight = this.gauge(
    'kiro_gateway_requests_in_flight',
    'Requests that are being served.'
  )
  readonly requestSeconds = this.histogram(
    'kiro_gateway_request_duration_seconds',
    'Time from the request to the end of its answer.',
    DURATION_BUCKETS,
    ['route']
  )
  readonly upstreamConnections = this.gauge(
    'kiro_gateway_upstream_connections',
    'Connections: `active`, `idle`, `connecting`, `closing`.',
    ['state']
  )
  readonly workerConnections = this.gauge(
    'kiro_gateway_worker_upstream_connections',
    "Connections of one worker; `control` are the gateway's own calls.",
    ['worker', 'state']
  )
  /** OpenTelemetry's name and attributes, as Prometheus writes them. */
  readonly openConnections = this.gauge(
    'http_client_open_connections',
    'Connections, as OpenTelemetry names them.',
    ['http_connection_state']
  )
  readonly connectionSeconds = this.histogram(
    'http_client_connection_duration_seconds',
    'How long connections were open.',
    CONNECTION_BUCKETS
  )
  readonly connectionBudget = this.gauge(
    'kiro_gateway_upstream_connection_budget',
    'Limit of connections for all workers together; 0 means no limit.'
  )
  readonly permitsLeased = this.gauge(
    'kiro_gateway_pool_permits_leased',
    'Part of the budget that a worker holds; `leaving` is one that has died.',
    ['worker']
  )
  readonly permitsInUse = this.gauge(
    'kiro_gateway_pool_permits_in_use',
    'Connections that requests hold.'
  )
  readonly workerPermits = this.gauge(
    'kiro_gateway_worker_permits_in_use',
    'Connections that requests of one worker hold.',
    ['worker']
  )
  readonly waiters = this.gauge('kiro_gateway_pool_waiters', 'Requests that wait for a connection.')
  readonly workerWaiters = this.gauge(
    'kiro_gateway_worker_pool_waiters',
    'Requests of one worker that wait for a connection.',
    ['worker']
  )
  readonly longestWait = this.gauge(
    'kiro_gateway_pool_longest_wait_seconds',
    'How long the request that has waited longest has waited.',
    [],
    'max'
  )
  readonly gatedRequests = this.gauge(
    'kiro_gateway_gated_requests',
    'Requests that wait for their pace, or the end of a pause.'
  )
  readonly paceLimit = this.gauge(
    'kiro_gateway_upstream_requests_per_minute_limit',
    'Requests that may be sent in a minute (`UPSTREAM_MAX_REQUESTS_PER_MINUTE`, in a fleet the part of this gateway); 0 means no limit.'
  )
  readonly paceFree = this.gauge(
    'kiro_gateway_upstream_requests_per_minute_free',
    'Requests that may be sent now without waiting for the pace.'
  )
  readonly waitSeconds = this.histogram(
    'kiro_gateway_pool_wait_seconds',
    'How long requests waited for a connection.',
    WAIT_BUCKETS
  )
  readonly connectionsOpened = this.counter(
    'kiro_gateway_upstream_connections_opened_total',
    'Connections that were opened: there was none, all were busy, or ahead of need.',
    ['reason']
  )
  readonly connectionsClosed = this.counter(
    'kiro_gateway_upstream_connections_closed_total',
    'Connections that ended, and why.',
    ['reason']
  )
  readonly connectionReuse = this.counter(
    'kiro_gateway_connection_reuse_total',
    'Calls on a connection that was open already.'
  )
  readonly upstreamRetries = this.counter(
    'kiro_gateway_upstream_retries_total',
    'Calls that were repeated, by what had failed.',
    ['code']
  )
  readonly answersAskedAgain = this.counter(
    'kiro_gateway_answers_asked_again_total',
    'Answers without the required form, for which the model was asked again.',
    ['reason']
  )
  readonly answersCut = this.counter(
    'kiro_gateway_answers_cut_total',
    'Answers whose rest was lost on its way, so that they ended as cut off.',
    ['code']
  )
  readonly webSearches = this.counter(
    'kiro_gateway_web_searches_total',
    'Web searches for a model.',
    ['outcome']
  )
  readonly repairs = this.counter(
    'kiro_gateway_repairs_total',
    'Repairs of requests that the upstream would have refused (docs/rules.md).',
    ['code']
  )
  readonly unknownEvents = this.counter(
    'kiro_gateway_upstream_unknown_events_total',
    'Events of a type that is not known.'
  )
  readonly unknownReasons = this.counter(
    'kiro_gateway_upstream_unknown_reasons_total',
    'Refusals for a reason that is not known.'
  )
  readonly acceptSeconds = this.histogram(
    'kiro_gateway_client_accept_seconds',
    'How long a new connection waited at most to be accepted, since another was.',
    ACCEPT_BUCKETS
  )
  readonly webSockets = this.gauge(
    'kiro_gateway_websockets',
    'Open WebSockets of clients: `busy` with an answer, or `idle`.',
    ['state']
  )
  readonly webSocketBytes = this.gauge(
    'kiro_gateway_websocket_kept_bytes',
    'Memory of the conversations that WebSockets go on from.'
  )
  readonly transformSeconds = this.histogram(
    'kiro_gateway_transform_seconds',
    'Conversion of a request, its wait for a thread included.',
    TRANSFORM_BUCKETS
  )
  readonly transformJobs = this.gauge(
    'kiro_gateway_transform_jobs',
    'Conversions of large bodies: `waiting` for a thread, `running` in one.',
    ['state']
  )
  readonly admittedBytes = this.gauge(
    'kiro_gateway_admitted_bytes',
    'Memory set aside for request bodies now.'
  )
  readonly admissibleBytes = this.gauge(
    'kiro_gateway_admissible_bytes',
    'Memory that there is for request bodies.'
  )
  readonly admittedLaneBytes = this.gauge(
    'kiro_gateway_admitted_lane_bytes',
    'Memory set aside beside that: `small` bodies, `answer`; `kept` is what answers need of their requests.',
    ['lane']
  )
  readonly keyRequests = this.counter('kiro_gateway_key_requests_total', 'Requests of a key.', [
    'key'
  ])
  readonly clientTelemetry = this.counter(
    'kiro_gateway_client_telemetry_total',
    "Exports of clients' own telemetry: `forwarded`, `failed`, or `dropped` for want of room.",
    ['outcome']
  )
  readonly tokenCountError = this.gauge(
    'kiro_gateway_token_count_error_ratio',
    'Difference between the count of a request and what the upstream measured, as a share of the latter: quantiles of the newest 64 per model.',
    ['model', 'quantile']
  )
  readonly hiddenTokens = this.gauge(
    'kiro_gateway_hidden_prompt_tokens',
    "Tokens of the upstream's own prompt, as learnt per model.",
    ['model']
  )
  readonly keyRefusals = this.counter(
    'kiro_gateway_key_refusals_total',
    'Requests refused for a limit of the key.',
    ['key', 'code']
  )
  readonly keyTokens = this.counter('kiro_gateway_key_tokens_total', 'Tokens of a key.', [
    'key',
    'type'
  ])
  readonly keyCredits = this.counter('kiro_gateway_key_credits_total', 'Credits of a key.', ['key'])
  readonly keyStreams = this.gauge(
    'kiro_gateway_key_streams',
    'Requests of a key that are being served and do not wait.',
    ['key']
  )
  readonly keyWaiting = this.gauge(
    'kiro_gateway_key_waiting',
    'Requests of a key that wait for a connection or for one of its streams.',
    ['key']
  )
  readonly keyLimit = this.gauge(
    'kiro_gateway_key_credits_limit',
    'Credits that the key may use in its period.',
    ['key']
  )
  readonly keyUsed = this.gauge(
    'kiro_gateway_key_credits_used',
    'Credits that a key with a limit has used in its period.',
    ['key']
  )
  readonly keyReserved = this.gauge(
    'kiro_gateway_key_credits_reserved',
    'Credits reserved for requests of a key under way.',
    ['key']
  )
  readonly memoryUsed = this.gauge(
    'kiro_gateway_memory_used_bytes',
    'Memory of the container, without the cache of files; of the primary alone where nothing limits it.'
  )
  readonly memoryLimit = this.gauge(
    'kiro_gateway_memory_limit_bytes',
    'Memory that the gateway plans for.'
  )
  readonly buildInfo = this.gauge(
    'kiro_gateway_build_info',
    'Always 1; the labels say what runs.',
    ['version', 'node']
  )
  readonly workersReady = this.gauge('kiro_gateway_workers_ready', 'Workers that are ready.')
  readonly workersConfigured = this.gauge(
    'kiro_gateway_workers_configured',
    'Workers that should be running.'
  )
  readonly signInUsable = this.gauge(
    'kiro_gateway_sign_in_usable',
    '1 while there is a token, else 0.'
  )
  readonly signInEnds = this.gauge(
    'kiro_gateway_sign_in_ends_timestamp_seconds',
    'Time at which a new sign-in is needed, if known.',
    ['sign_in']
  )
  readonly accountBars = this.gauge(
    'kiro_gateway_account_bars',
    '1 for each reason for which the account is refused now, such as `monthly` or `suspicion`; `overage` while `ALLOW_OVERAGE` refuses requests.',
    ['bar']
  )
  readonly accountCredits = this.gauge(
    'kiro_gateway_account_credits',
    'What the account has `used` in its period and its `limit`; asked for every five minutes while metrics are read.',
    ['state']
  )
  readonly accountOutside = this.gauge(
    'kiro_gateway_account_outside_credits',
    'What the account has used beyond what this gateway has recorded, since midnight UTC (`day`) or since the plan was reset (`reset`).',
    ['since']
  )
  readonly planUsedUp = this.gauge(
    'kiro_gateway_plan_used_up_timestamp_seconds',
    'When the plan will be used up at the rate of the last weeks (`weeks`); missing where it lasts until it is reset.',
    ['rate']
  )
  readonly workerRestarts = this.counter(
    'kiro_gateway_worker_restarts_total',
    'Workers that died and were replaced.'
  )
  readonly workerStalls = this.counter(
    'kiro_gateway_worker_stalls_total',
    'Workers that were killed because they gave no sign of life for `WORKER_STALL_TIMEOUT`.'
  )
  readonly logLinesLost = this.counter(
    'kiro_gateway_log_lines_lost_total',
    'Log lines dropped because their reader was too slow.'
  )
  readonly spansSent = this.counter(
    'kiro_gateway_trace_spans_sent_total',
    'Spans that were taken; 0 without traces (docs/tracing.md).'
  )
  readonly spansDropped = this.counter(
    'kiro_gateway_trace_spans_dropped_total',
    'Spans that were dropped: `full`, `refused`, `closed`.',
    ['reason']
  )

  async snapshot(): Promise<MetricsSnapshot> {
    return (await this.registry.getMetricsAsJSON()).map((metric) => ({ ...metric }))
  }

  /** Like `snapshot()` for these metrics, without help texts. */
  async some(names: readonly string[]): Promise<MetricsSnapshot> {
    const metrics = names.map((name) => this.registry.getSingleMetric(name))
    return Promise.all(
      metrics
        .filter((metric) => metric !== undefined)
        .map(async (metric) => {
          const { name, type, values } = await metric.get()
          return { name, type, values }
        })
    )
  }

  close(): void {
    this.#process.close()
  }

  /** `help` is also in docs/metrics.md. */
  counter<Label extends string = never>(name: string, help: string, labelNames: Label[] = []) {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }

  gauge<Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
    aggregator: 'sum' | 'max' = 'sum'
  ) {
    return new Gauge({ name, help, labelNames, aggregator, registers: [this.registry] })
  }

  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: Label[] = []
  ) {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.registry] })
  }
}
