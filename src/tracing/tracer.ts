import {
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace
} from '@opentelemetry/api'
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { TracerProvider } from '@opentelemetry/sdk-trace'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { version } from '../shared/version.ts'
import { OtlpSender } from './otlp-sender.ts'
import { callAttributes, MAX_VALUE_CHARS, shown, turnAttributes } from './span-attributes.ts'
import { SpanQueue } from './span-queue.ts'
import { contextOf, decodedPairs, samplerOf, toTraceparent, tracesUrl } from './trace-sampling.ts'
import type { ArrivedTurn, TracedCall, TracedTurn } from './turn-trace.ts'

export interface TracerOptions {
  readonly settings: Config['traces']
  readonly endpoint: string
  readonly workerId: number
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'spansSent' | 'spansDropped'>
}

const MAX_EVENTS = 64
const MAX_CALLS = 32
const SCOPE = 'kiro-gateway'

export type TurnTracer = ReturnType<typeof createTurnTracer>

export function createTurnTracer(options: TracerOptions) {
  const { settings, workerId } = options
  const sender = createSender(options)
  const queue = createQueue(options, sender)
  const given = decodedPairs(settings.resourceAttributes)
  const provider = new TracerProvider({
    sampler: samplerOf(settings),
    resource: resourceFromAttributes({
      'service.name': 'kiro-gateway',
      'service.version': version,
      'process.pid': process.pid,
      'kiro_gateway.worker': workerId,
      ...given,
      ...(settings.serviceName !== null && { 'service.name': settings.serviceName })
    }),
    spanLimits: { attributeValueLengthLimit: MAX_VALUE_CHARS, eventCountLimit: MAX_EVENTS },
    spanProcessors: [queue]
  })
  const tracer = provider.getTracer(SCOPE, version)
  return {
    begin: (arrived: ArrivedTurn) => new TurnTrace(tracer, arrived),
    /** Sends the rest within a second, and takes nothing more. */
    close: async (): Promise<void> => {
      await queue.shutdown()
      sender.close()
    }
  }
}

function createSender({ settings, endpoint }: TracerOptions): OtlpSender {
  const isJson = settings.protocol === 'http/json'
  return new OtlpSender({
    url: tracesUrl(endpoint),
    headers: decodedPairs(settings.headers),
    contentType: isJson ? 'application/json' : 'application/x-protobuf',
    timeoutMs: settings.timeoutMs
  })
}

function createQueue({ settings, log, metrics }: TracerOptions, sender: OtlpSender): SpanQueue {
  const serializer =
    settings.protocol === 'http/json' ? JsonTraceSerializer : ProtobufTraceSerializer
  return new SpanQueue({
    send: (body, signal) => sender.send(body, signal),
    toBody: (spans) => serializer.serializeRequest([...spans]) ?? new Uint8Array(),
    onSent: (count) => metrics.spansSent.inc(count),
    onDropped: (count, why) => metrics.spansDropped.inc({ reason: why }, count),
    onTrouble: (why) =>
      log.warn({ why }, 'OTEL_EXPORTER_OTLP_ENDPOINT does not accept traces: spans may be lost'),
    onMended: () => log.info('traces are accepted again')
  })
}

export class TurnTrace {
  readonly #tracer: Tracer
  readonly #span: Span
  readonly #context: Context
  #calls = 0
  #upstreamModel = ''

  constructor(tracer: Tracer, { route, traceparent, at }: ArrivedTurn) {
    const parent = contextOf(traceparent)
    this.#tracer = tracer
    this.#span = tracer.startSpan(
      `POST ${route}`,
      {
        kind: SpanKind.SERVER,
        startTime: toEpoch(at),
        attributes: { 'http.request.method': 'POST', 'http.route': route }
      },
      parent
    )
    this.#context = trace.setSpan(parent, this.#span)
  }

  /** 32 hexadecimal digits. */
  get traceId(): string {
    return this.#span.spanContext().traceId
  }

  /** For the client: the trace, with this request as parent (W3C Trace Context). */
  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext()
    return toTraceparent(traceId, spanId, traceFlags)
  }

  asks(upstreamModel: string): void {
    this.#upstreamModel = shown(upstreamModel)
  }

  phase(name: string, endedAt: number, spentMs: number): void {
    if (!this.#span.isRecording()) return
    this.#span.addEvent(name, { 'kiro_gateway.phase.ms': rounded(spentMs) }, toEpoch(endedAt))
  }

  call(call: TracedCall): void {
    if (!this.#span.isRecording() || this.#calls++ >= MAX_CALLS) return
    const span = this.#tracer.startSpan(
      `chat ${this.#upstreamModel}`,
      {
        kind: SpanKind.CLIENT,
        startTime: toEpoch(call.startedAt),
        attributes: callAttributes(call, this.#upstreamModel)
      },
      this.#context
    )
    if (call.code !== null) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(toEpoch(performance.now()))
  }

  end(turn: TracedTurn): void {
    if (!this.#span.isRecording()) return
    const { code, isClientsFault } = turn
    this.#span.setAttributes(turnAttributes(turn))
    if (code !== null && !isClientsFault) this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end(toEpoch(turn.endedAt))
  }
}

function toEpoch(at: number): number {
  return performance.timeOrigin + at
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
