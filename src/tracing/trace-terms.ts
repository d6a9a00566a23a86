import { type Context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler
} from '@opentelemetry/sdk-trace'
import type { Config } from '../config/settings.ts'

type TraceSettings = Config['traces']

/** Sampler for OTEL_TRACES_SAMPLER and its argument. */
export function samplerOf({ sampler, samplerArg }: TraceSettings): Sampler {
  const ratio = samplerArg === null ? 1 : Number(samplerArg)
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler()
    case 'always_off':
      return new AlwaysOffSampler()
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio)
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() })
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() })
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) })
  }
}

/** Address for traces: OTEL_EXPORTER_OTLP_ENDPOINT and the path of traces. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  return url.href
}

/** As the variables have them: percent-encoded where need be. */
export function decodedPairs(
  pairs: Readonly<Record<string, string>>
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(pairs).map(([name, value]) => [name, decodedText(value)])
  )
}

function decodedText(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a percent sign that is none of the encoding
  }
}

/** `00-trace-parent-flags`, and what later versions have behind that. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,512})?$/

/** The context of a request by its client's `traceparent`; a trace of its own where that is none. */
export function contextOf(traceparent: unknown): Context {
  if (typeof traceparent !== 'string') return ROOT_CONTEXT
  const match = TRACEPARENT.exec(traceparent.trim())
  if (match === null) return ROOT_CONTEXT
  const [, version = '', traceId = '', spanId = '', flags = '', more] = match
  if (version === '00' && more !== undefined) return ROOT_CONTEXT
  const traceFlags = Number.parseInt(flags, 16) & 1
  const parent = { traceId, spanId, traceFlags, isRemote: true }
  return trace.setSpanContext(ROOT_CONTEXT, parent)
}

/** Header with which a client may continue the trace. */
export function toTraceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`
}
