import { Type } from '../shared/schema-type.ts'
import { choice, count, flag, pairs, text } from './setting.ts'

const HEADER_NAME = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
const VALUE = '^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$'

/** Traces, named as in OpenTelemetry's specification. Unused without an endpoint. */
export const TraceSettings = {
  traces: Type.Object({
    endpoint: text(
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      {
        restart: true,
        kind: 'address',
        pattern: '^https?://[^\\s/?#@]+(/[^\\s?#]*)?$',
        allowed: 'an http:// or https:// URL without user and password'
      },
      'Collector for a trace of each request, below /v1/traces. By default there are no traces.'
    ),
    headers: pairs(
      'OTEL_EXPORTER_OTLP_HEADERS',
      {
        names: { pattern: HEADER_NAME },
        values: { pattern: VALUE },
        restart: true,
        isSecret: true,
        allowed: 'name=value pairs separated by commas, values percent-encoded'
      },
      'Headers for the collector, such as a key.'
    ),
    protocol: choice(
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      { restart: true, default: 'http/protobuf', enum: ['http/protobuf', 'http/json'] },
      'Encoding of traces.'
    ),
    timeoutMs: count(
      'OTEL_EXPORTER_OTLP_TIMEOUT',
      { restart: true, min: 1, max: 600_000, default: 10_000 },
      'Longest time for one export to the collector, in milliseconds.'
    ),
    sampler: choice(
      'OTEL_TRACES_SAMPLER',
      {
        restart: true,
        default: 'parentbased_always_on',
        enum: [
          'always_on',
          'always_off',
          'traceidratio',
          'parentbased_always_on',
          'parentbased_always_off',
          'parentbased_traceidratio'
        ]
      },
      'Which requests are traced. parentbased_ follows clients that send a traceparent.'
    ),
    samplerArg: text(
      'OTEL_TRACES_SAMPLER_ARG',
      {
        restart: true,
        pattern: '^(0(\\.[0-9]*)?|1(\\.0*)?|\\.[0-9]+)$',
        allowed: 'a number from 0 to 1'
      },
      'Share of the requests that the traceidratio samplers trace. By default all.'
    ),
    serviceName: text(
      'OTEL_SERVICE_NAME',
      { restart: true },
      'Service name in traces. By default kiro-gateway.'
    ),
    resourceAttributes: pairs(
      'OTEL_RESOURCE_ATTRIBUTES',
      {
        values: { minLength: 1 },
        restart: true,
        allowed: 'name=value pairs separated by commas, values percent-encoded'
      },
      'Further resource attributes in traces, such as deployment.environment.name=home.'
    ),
    isDisabled: flag(
      'OTEL_SDK_DISABLED',
      false,
      'Turns traces off, regardless of the other settings.',
      { restart: true }
    )
  })
} as const

export function isTracing({ traces }: TracingConfig): boolean {
  return traces.endpoint !== null && !traces.isDisabled
}

interface TracingConfig {
  readonly traces: { readonly endpoint: string | null; readonly isDisabled: boolean }
}
