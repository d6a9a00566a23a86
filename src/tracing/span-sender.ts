import {
  createOtlpHttpExportDelegate,
  httpAgentFactoryFromOptions
} from '@opentelemetry/otlp-exporter-base/node-http'
import {
  JsonTraceSerializer,
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper
} from '@opentelemetry/otlp-transformer'
import { BatchSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { codeOf } from '../shared/errors.ts'
import { withinTime } from '../shared/within-time.ts'
import { decodedPairs, tracesUrl } from './trace-sampling.ts'

export interface SpanSenderOptions {
  readonly settings: Config['traces']
  readonly endpoint: string
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly metrics: Pick<Metrics, 'spansSent' | 'spansDropped'>
}

/** Spans that wait, with those on their way: some 2 MB, and 9 MB if all values are as long as they may be. */
export const MAX_SPANS = 512
const BATCH_SPANS = 128
const DELAY_MS = 5_000
const CLOSE_MS = 1_000

/** Sends spans to the collector in batches, on one connection outside the upstream's budget, and counts them. */
export class SpanSender extends BatchSpanProcessor {
  readonly #options: SpanSenderOptions
  #waiting = 0
  #hasTrouble = false
  #isClosed = false

  constructor(options: SpanSenderOptions) {
    const collector = collectorOf(options)
    super({
      maxQueueSize: MAX_SPANS,
      maxExportBatchSize: BATCH_SPANS,
      scheduledDelayMillis: DELAY_MS,
      exporter: {
        export: (spans, done) => {
          try {
            collector.export(spans, (result) => {
              this.#onResult(spans.length, result.error ?? null)
              done(result)
            })
          } catch (cause) {
            this.#onResult(spans.length, cause) // they cannot be written
            throw cause
          }
        },
        shutdown: () => collector.shutdown()
      }
    })
    this.#options = options
  }

  override onEnd(span: ReadableSpan): void {
    if (this.#isClosed) return this.#drop('closed', 1)
    if (this.#waiting >= MAX_SPANS) return this.#drop('full', 1)
    this.#waiting += 1
    super.onEnd(span)
  }

  /** Sends what waits, for a second at most. */
  override async shutdown(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await withinTime(
      super.shutdown().catch(() => {}),
      CLOSE_MS
    ) // counted already
    this.#drop('closed', this.#waiting)
    this.#waiting = 0
  }

  #onResult(spans: number, error: unknown): void {
    if (this.#waiting === 0) return // they count as lost by the end
    this.#waiting -= spans
    const { log, metrics } = this.#options
    if (error !== null) {
      this.#drop('refused', spans)
      if (!this.#hasTrouble) log.warn({ why: reasonOf(error) }, NOT_ACCEPTED)
    } else {
      metrics.spansSent.inc(spans)
      if (this.#hasTrouble) log.info('traces are accepted again')
    }
    this.#hasTrouble = error !== null
  }

  #drop(reason: 'full' | 'refused' | 'closed', spans: number): void {
    if (spans > 0) this.#options.metrics.spansDropped.inc({ reason }, spans)
  }
}

const NOT_ACCEPTED = 'OTEL_EXPORTER_OTLP_ENDPOINT does not accept traces: spans may be lost'

/** Tries again for as long as OTEL_EXPORTER_OTLP_TIMEOUT. */
function collectorOf({ settings, endpoint }: SpanSenderOptions) {
  const isJson = settings.protocol === 'http/json'
  const contentType = isJson ? 'application/json' : 'application/x-protobuf'
  return createOtlpHttpExportDelegate(
    {
      url: tracesUrl(endpoint),
      headers: () =>
        Promise.resolve({ ...decodedPairs(settings.headers), 'content-type': contentType }),
      userAgent: 'kiro-gateway',
      timeoutMillis: settings.timeoutMs,
      concurrencyLimit: MAX_SPANS / BATCH_SPANS,
      compression: 'none',
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true, maxSockets: 1 })
    },
    isJson ? JsonTraceSerializer : ProtobufTraceSerializer,
    'otlp_http_span_exporter',
    TraceExporterMetricsHelper,
    undefined
  )
}

/** Words of others may have addresses and more. */
function reasonOf(error: unknown): string {
  const code: unknown = Reflect.get(Object(error), 'code')
  if (typeof code === 'number') return `status ${code}`
  if (Reflect.get(Object(error), 'name') === 'OTLPExporterError') return 'it takes none for now'
  return codeOf(error) || 'no answer in time'
}
