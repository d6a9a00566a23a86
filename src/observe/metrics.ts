import { monitorEventLoopDelay } from 'node:perf_hooks'
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Seconds; from a permit at hand to a client that waits for minutes. */
const WAIT_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300]
/** Seconds; answers take from a second to many minutes. */
const DURATION_BUCKETS = [0.05, 0.25, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640]
/** Seconds; what the gateway adds should end in the first buckets. */
const FIRST_BYTE_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]
/** Seconds; from a handshake for nothing to a connection that is used for hours. */
const CONNECTION_BUCKETS = [0.1, 1, 10, 60, 300, 1800, 7200, 43_200]
const TRANSFORM_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2]

/**
 * Counters, gauges and histograms of one process. Every label has a closed set of values (routes, codes, slots):
 * nothing a client sends ever becomes one. The primary merges the snapshots of all.
 */
export class Metrics {
  readonly #registry = new Registry()

  readonly requests = this.#counter('requests_total', 'Requests answered.', [
    'route',
    'status',
    'code'
  ])
  readonly requestsInFlight = this.#gauge('requests_in_flight', 'Requests being served.')
  readonly requestSeconds = this.#histogram(
    'request_duration_seconds',
    'From the request to the end of its answer.',
    DURATION_BUCKETS,
    ['route']
  )
  readonly firstByteSeconds = this.#histogram(
    'first_byte_seconds',
    'From the request to the first byte of its answer.',
    FIRST_BYTE_BUCKETS,
    ['route']
  )
  readonly tokens = this.#counter('tokens_total', 'Tokens, as reported or estimated.', ['type'])
  readonly priceStepCrossed = this.#counter(
    'price_step_crossed_total',
    'Requests of GPT models above 272 000 input tokens, all of which cost double.'
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
  readonly poolTimeouts = this.#counter(
    'pool_timeouts_total',
    'Requests that waited longer than HTTP_POOL_TIMEOUT.'
  )
  readonly queueRejected = this.#counter(
    'pool_queue_rejected_total',
    'Requests refused because too many waited.'
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
  readonly transformSeconds = this.#histogram(
    'transform_seconds',
    'Time to convert a request, waiting for a thread included.',
    TRANSFORM_BUCKETS
  )
  readonly admittedBytes = this.#gauge(
    'admitted_bytes',
    'Memory set aside for request bodies at the moment.'
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
  readonly keyReserved = this.#gauge(
    'key_credits_reserved',
    'Credits that are reserved for requests under way, by the name of the key.',
    ['key']
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
  readonly #eventLoopDelay = measureEventLoopDelay(this.#registry)

  /** Everything as plain JSON for IPC. Starts a new window of the event-loop delay. */
  async snapshot(): Promise<MetricsSnapshot> {
    return (await this.#registry.getMetricsAsJSON()).map((metric) => ({ ...metric }))
  }

  /** Stops the timer that measures the event loop. */
  close(): void {
    this.#eventLoopDelay.disable()
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

/** The metrics of one process at one moment, as prom-client writes them to JSON. */
export type MetricsSnapshot = readonly object[]

function prefixed(name: string): string {
  return `kiro_gateway_${name}`
}

/**
 * How late the event loop runs its timers, since the metric was last read: median, 99th percentile and worst.
 * Merged over processes, the worst one counts. Measures until it is disabled.
 */
function measureEventLoopDelay(registry: Registry) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  const gauge = new Gauge({
    name: prefixed('event_loop_delay_seconds'),
    help: 'Delay of the event loop since the last reading, the worst process.',
    labelNames: ['quantile'],
    registers: [registry],
    aggregator: 'max',
    collect() {
      gauge.set({ quantile: '0.5' }, toDelaySeconds(delays.percentile(50)))
      gauge.set({ quantile: '0.99' }, toDelaySeconds(delays.percentile(99)))
      gauge.set({ quantile: '1' }, toDelaySeconds(delays.max))
      delays.reset()
    }
  })
  return delays
}

/**
 * Between two looks. Each wakes the process: every 20 ms, an idle gateway took 1 % of a core for it, and a slow stream an
 * eighth more CPU (`npm run bench -- --row paced`).
 */
const RESOLUTION_MS = 100

/** The histogram holds nanoseconds between ticks of its own timer; what is beyond its interval is delay. */
function toDelaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3)
}

/** Content type of the text that `toPrometheusText` makes. */
export const PROMETHEUS_CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE

/** The snapshots of all processes as one: sums, and the maximum where a sum would mean nothing. */
export async function mergeSnapshots(
  snapshots: readonly MetricsSnapshot[]
): Promise<MetricsSnapshot> {
  return (await merged(snapshots).getMetricsAsJSON()).map((metric) => ({ ...metric }))
}

/** The snapshots of all processes in Prometheus' text format. */
export function toPrometheusText(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return merged(snapshots).metrics()
}

/**
 * What stays of a worker that is gone: its counts. Without them the sums would fall when a worker is replaced, which
 * Prometheus takes for a restart of everything.
 */
export function withoutGauges(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter((metric) => !('type' in metric && metric.type === 'gauge'))
}

function merged(snapshots: readonly MetricsSnapshot[]) {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]))
}
