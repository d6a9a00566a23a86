import { ProcessMetrics } from './process-metrics.ts'
import { Counter, Gauge, Histogram, Registry } from './prom-client.ts'
import type { MetricsSnapshot } from './snapshots.ts'

/** Seconds; answers take from a second to many minutes. */
export const DURATION_BUCKETS = [0.05, 0.25, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]
export const DURATION = 'From the request to the end of its answer.'
/** Seconds; from a permit at hand to a client that waits for minutes. */
const WAIT_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300]
/** Seconds; from a handshake for nothing to a connection that is used for hours. */
const CONNECTION_BUCKETS = [0.1, 1, 10, 60, 300, 1800, 7200, 43_200]
const ACCEPT_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 1, 5, 15]
const TRANSFORM_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2]

/**
 * Counters, gauges and histograms of one process. Every label has a closed set of values (routes, codes, slots):
 * nothing a client sends ever becomes one. The primary merges the snapshots of all, and counts the requests that ask the
 * upstream (`turn-counts.ts`): those of workers are answered without it.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #process: ProcessMetrics

  /** `name` is the process's among the metrics: `primary`, or the slot of a worker. */
  constructor(name = 'primary') {
    this.#process = new ProcessMetrics(this.#registry, name)
  }

  readonly requests = this.#counter('requests_total', 'Requests answered.', [
    'route',
    'status',
    'code'
  ])
  readonly requestsInFlight = this.#gauge('requests_in_flight', 'Requests being served.')
  readonly requestSeconds = this.#histogram(
    'request_duration_seconds',
    DURATION,
    DURATION_BUCKETS,
    ['route']
  )
  readonly upstreamConnections = this.#gauge(
    'upstream_connections',
    'Connections to the upstream.',
    ['state']
  )
  readonly workerConnections = this.#gauge(
    'worker_upstream_connections',
    "The same of one worker, by its slot; 'control' are those of the gateway's own calls.",
    ['worker', 'state']
  )
  /** Named by OpenTelemetry, with its attributes as Prometheus writes them. */
  readonly openConnections = new Gauge({
    name: 'http_client_open_connections',
    help: 'Connections to the upstream, as OpenTelemetry names them.',
    labelNames: ['http_connection_state'],
    registers: [this.#registry]
  })
  readonly connectionSeconds = new Histogram({
    name: 'http_client_connection_duration_seconds',
    help: 'How long connections to the upstream were open.',
    buckets: CONNECTION_BUCKETS,
    registers: [this.#registry]
  })
  readonly connectionBudget = this.#gauge(
    'upstream_connection_budget',
    'Connections that all workers together may hold; 0 means no limit.'
  )
  readonly permitsLeased = this.#gauge(
    'pool_permits_leased',
    'Part of the budget that a worker holds, by its slot.',
    ['worker']
  )
  readonly permitsInUse = this.#gauge('pool_permits_in_use', 'Permits held by requests.')
  readonly workerPermits = this.#gauge(
    'worker_permits_in_use',
    'The same of one worker, by its slot.',
    ['worker']
  )
  readonly waiters = this.#gauge('pool_waiters', 'Requests waiting for a permit.')
  readonly workerWaiters = this.#gauge(
    'worker_pool_waiters',
    'The same of one worker, by its slot.',
    ['worker']
  )
  readonly longestWait = new Gauge({
    name: prefixed('pool_longest_wait_seconds'),
    help: 'How long the request that has waited longest has waited; 0 where none waits.',
    registers: [this.#registry],
    aggregator: 'max'
  })
  readonly gatedRequests = this.#gauge(
    'gated_requests',
    'Requests that wait for their pace or for the end of a pause, not for a permit.'
  )
  readonly paceLimit = this.#gauge(
    'upstream_requests_per_minute_limit',
    'Requests that all workers together may send in a minute; 0 means no limit.'
  )
  readonly paceFree = this.#gauge(
    'upstream_requests_per_minute_free',
    'How many of these may still be sent now.'
  )
  readonly waitSeconds = this.#histogram(
    'pool_wait_seconds',
    'Time a request waited for its permit.',
    WAIT_BUCKETS
  )
  readonly connectionsOpened = this.#counter(
    'upstream_connections_opened_total',
    'Connections opened to the upstream, because there was none to the host or all were busy.',
    ['reason']
  )
  readonly connectionsClosed = this.#counter(
    'upstream_connections_closed_total',
    'Connections to the upstream that ended.',
    ['reason']
  )
  readonly connectionReuse = this.#counter(
    'connection_reuse_total',
    'Upstream calls made on a connection that was open already.'
  )
  readonly upstreamRetries = this.#counter('upstream_retries_total', 'Upstream calls repeated.', [
    'code'
  ])
  readonly answersAskedAgain = this.#counter(
    'answers_asked_again_total',
    'Answers that were not as the client insists on, so that the model was asked once more.',
    ['reason']
  )
  readonly answersCut = this.#counter(
    'answers_cut_total',
    'Answers whose rest was lost on its way from the upstream, so that they ended as cut off.',
    ['code']
  )
  readonly webSearches = this.#counter('web_searches_total', 'Web searches made for a model.', [
    'outcome'
  ])
  readonly repairs = this.#counter(
    'repairs_total',
    'Repairs of requests that the upstream would have refused.',
    ['code']
  )
  readonly unknownEvents = this.#counter(
    'upstream_unknown_events_total',
    'Events of the upstream that have no known type.'
  )
  readonly unknownReasons = this.#counter(
    'upstream_unknown_reasons_total',
    'Refusals of the upstream with a reason that has no known meaning.'
  )
  readonly acceptSeconds = this.#histogram(
    'client_accept_seconds',
    'Time that a new connection of a client waited to be accepted, at most, since another was.',
    ACCEPT_BUCKETS
  )
  readonly transformSeconds = this.#histogram(
    'transform_seconds',
    'Time to convert a request, waiting for a thread included.',
    TRANSFORM_BUCKETS
  )
  readonly transformJobs = this.#gauge(
    'transform_jobs',
    'Conversions of large bodies, by state: those that wait for a thread, and those that are in one.',
    ['state']
  )
  readonly admittedBytes = this.#gauge(
    'admitted_bytes',
    'Memory set aside for request bodies at the moment.'
  )
  readonly admissibleBytes = this.#gauge(
    'admissible_bytes',
    'Memory that there is for request bodies, in all workers.'
  )
  readonly admittedLaneBytes = this.#gauge(
    'admitted_lane_bytes',
    "Beside that, by lane: 'small' bodies, 'answer'; 'kept' is what of all this answers need of their requests.",
    ['lane']
  )
  readonly keyRequests = this.#counter('key_requests_total', 'Requests by the name of their key.', [
    'key'
  ])
  readonly keyRefusals = this.#counter(
    'key_refusals_total',
    'Requests that were refused for a limit of their key.',
    ['key', 'code']
  )
  readonly keyTokens = this.#counter('key_tokens_total', 'Tokens by the name of the key.', [
    'key',
    'type'
  ])
  readonly keyCredits = this.#counter('key_credits_total', 'Credits by the name of the key.', [
    'key'
  ])
  readonly keyStreams = this.#gauge(
    'key_streams',
    'Requests that are being served and do not wait, by the name of the key.',
    ['key']
  )
  readonly keyWaiting = this.#gauge(
    'key_waiting',
    'Requests that wait for a connection, or for a stream of their key, by the name of the key.',
    ['key']
  )
  readonly keyLimit = this.#gauge(
    'key_credits_limit',
    'Credits that a key may use in its period, by its name.',
    ['key']
  )
  readonly keyUsed = this.#gauge(
    'key_credits_used',
    'Credits that a key with a limit has used in its period, by its name.',
    ['key']
  )
  readonly keyReserved = this.#gauge(
    'key_credits_reserved',
    'Credits that are reserved for requests under way, by the name of the key.',
    ['key']
  )
  readonly memoryUsed = this.#gauge(
    'memory_used_bytes',
    'Memory that the container uses, without the cache of files; of the primary alone where there is none.'
  )
  readonly memoryLimit = this.#gauge('memory_limit_bytes', 'Memory that the gateway plans with.')
  readonly buildInfo = this.#gauge('build_info', 'Always 1; what runs.', ['version', 'node'])
  readonly workersReady = this.#gauge('workers_ready', 'Workers that serve.')
  readonly workersConfigured = this.#gauge('workers_configured', 'Workers that there should be.')
  readonly signInUsable = this.#gauge(
    'sign_in_usable',
    '1 while there is a token that the upstream takes, as far as is known; else 0.'
  )
  readonly signInEnds = this.#gauge(
    'sign_in_ends_timestamp_seconds',
    'When a new sign-in is needed, where that is known.',
    ['sign_in']
  )
  readonly accountBars = this.#gauge(
    'account_bars',
    'Why the upstream refuses this account for now, 1 for each reason.',
    ['bar']
  )
  readonly accountCredits = this.#gauge(
    'account_credits',
    'What the account has used and may use in its period, as the upstream told last.',
    ['state']
  )
  readonly accountOutside = this.#gauge(
    'account_outside_credits',
    'What the account has used beyond what this gateway has recorded, today or since the plan was reset.',
    ['since']
  )
  readonly planUsedUp = this.#gauge(
    'plan_used_up_timestamp_seconds',
    'When the plan will be used up, at the rate of the last weeks, where that is before it is reset.',
    ['rate']
  )
  readonly workerRestarts = this.#counter('worker_restarts_total', 'Workers that were replaced.')
  readonly workerStalls = this.#counter(
    'worker_stalls_total',
    'Workers that were killed because they gave no sign of life for WORKER_STALL_TIMEOUT.'
  )
  readonly logLinesLost = this.#counter(
    'log_lines_lost_total',
    'Log lines that were dropped because nobody read them in time.'
  )

  readonly spansSent = this.#counter('trace_spans_sent_total', 'Spans that were taken.')
  readonly spansDropped = this.#counter(
    'trace_spans_dropped_total',
    'Spans that were dropped: there was no room, they were refused, or the worker ended.',
    ['reason']
  )

  /** Everything as plain JSON for IPC. */
  async snapshot(): Promise<MetricsSnapshot> {
    return (await this.#registry.getMetricsAsJSON()).map((metric) => ({ ...metric }))
  }

  /** The same of some of them, without what explains them. */
  async some(names: readonly string[]): Promise<MetricsSnapshot> {
    const metrics = names.map((name) => this.#registry.getSingleMetric(name))
    return Promise.all(
      metrics
        .filter((metric) => metric !== undefined)
        .map(async (metric) => {
          const { name, type, values } = await metric.get()
          return { name, type, values }
        })
    )
  }

  /** Stops the timer that measures the event loop. */
  close(): void {
    this.#process.close()
  }

  #counter<Label extends string = never>(name: string, help: string, labelNames: Label[] = []) {
    return new Counter({ name: prefixed(name), help, labelNames, registers: [this.#registry] })
  }

  #gauge<Label extends string = never>(name: string, help: string, labelNames: Label[] = []) {
    return new Gauge({ name: prefixed(name), help, labelNames, registers: [this.#registry] })
  }

  #histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: Label[] = []
  ) {
    const registers = [this.#registry]
    return new Histogram({ name: prefixed(name), help, buckets, labelNames, registers })
  }
}

function prefixed(name: string): string {
  return `kiro_gateway_${name}`
}
