import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api'
import { SamplingDecision } from '@opentelemetry/sdk-trace'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { shown } from '../../src/tracing/span-attributes.ts'
import {
  contextOf,
  decodedPairs,
  samplerOf,
  toTraceparent,
  tracesUrl
} from '../../src/tracing/trace-sampling.ts'

/** The settings of traces in an environment. */
function tracesOf(env: Readonly<Record<string, string>>) {
  const result = loadConfig(env, [])
  if (result.name !== 'config') throw new Error('it has no config')
  return result.config.traces
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

t.test('traceparent', async (t) => {
  for (const [text, flags] of [
    [`00-${TRACE}-${SPAN}-01`, 1],
    [`00-${TRACE}-${SPAN}-00`, 0],
    [` 00-${TRACE}-${SPAN}-03 `, 1],
    [`cc-${TRACE}-${SPAN}-01-what-comes-later`, 1]
  ] as const) {
    const context = trace.getSpanContext(contextOf(text))
    t.match(context, { traceId: TRACE, spanId: SPAN, traceFlags: flags, isRemote: true }, text)
  }
  for (const text of [
    undefined,
    ['a', 'b'],
    '',
    'x'.repeat(100_000),
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}\n-${SPAN}-01`
  ]) {
    t.equal(contextOf(text), ROOT_CONTEXT, String(text).slice(0, 80))
  }
  t.equal(toTraceparent(TRACE, SPAN, 1), `00-${TRACE}-${SPAN}-01`)
})

t.test('an id of zeros is none: a trace of its own is begun', async (t) => {
  const context = contextOf(`00-${'0'.repeat(32)}-${SPAN}-01`)
  const of = trace.getSpanContext(context)
  t.ok(of === undefined || !trace.isSpanContextValid(of))
})

t.test('samplers', async (t) => {
  const take = (sampler: string, arg: string, traceparent?: string) => {
    const traces = tracesOf({ OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: arg })
    const context = contextOf(traceparent)
    const { decision } = samplerOf(traces).shouldSample(
      context,
      TRACE,
      'x',
      SpanKind.SERVER,
      {},
      []
    )
    return decision === SamplingDecision.RECORD_AND_SAMPLED
  }
  const yes = `00-${TRACE}-${SPAN}-01`
  const no = `00-${TRACE}-${SPAN}-00`
  t.same([take('always_on', '0'), take('always_on', '0', no)], [true, true])
  t.same([take('always_off', '1'), take('always_off', '1', yes)], [false, false])
  t.same([take('traceidratio', '1', no), take('traceidratio', '0', yes)], [true, false])
  t.same([take('parentbased_always_on', ''), take('parentbased_always_on', '', no)], [true, false])
  t.same(
    [take('parentbased_always_off', ''), take('parentbased_always_off', '', yes)],
    [false, true]
  )
  t.same(
    [take('parentbased_traceidratio', '1'), take('parentbased_traceidratio', '0', yes)],
    [true, true]
  )
  t.same(
    [take('parentbased_traceidratio', '0'), take('parentbased_traceidratio', '')],
    [false, true]
  )
})

t.test('settings', async (t) => {
  const traces = tracesOf({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example:4318/otlp/',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20b,x=1',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=at%20home',
    OTEL_SDK_DISABLED: 'TRUE'
  })
  t.equal(tracesUrl(traces.endpoint ?? ''), 'https://collector.example:4318/otlp/v1/traces')
  t.equal(tracesUrl('http://127.0.0.1:4318'), 'http://127.0.0.1:4318/v1/traces')
  t.same(decodedPairs(traces.headers), { 'api-key': 'a b', x: '1' })
  t.same(decodedPairs({ a: '100%' }), { a: '100%' })
  t.match(traces, { isDisabled: true, timeoutMs: 10_000, protocol: 'http/protobuf' })
  for (const [name, value] of [
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://user:password@collector:4318'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5'],
    ['OTEL_TRACES_SAMPLER_ARG', 'half'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'no-value'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'bad name=x']
  ] as const)
    t.throws(() => tracesOf({ [name]: value }), { code: 'GW_CONFIG_INVALID' }, value)
})

t.test('texts in spans', async (t) => {
  t.equal(shown('claude-haiku-4.5'), 'claude-haiku-4.5')
  t.equal(shown('a\u0000b\nc\u001b[31m\u0085'), 'a b c [31m ')
  t.equal(shown('half a pair \ud83d'), 'half a pair \ufffd')
  t.ok(shown('x'.repeat(1_000_000)).length <= 256)
  t.notMatch(shown('Bearer abcdefgh-secret'), /secret/)
  t.notMatch(shown('ksk_0123456789abcdef'), /0123/)
})
