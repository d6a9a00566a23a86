import { type JsonSchema, oneOf } from './json-schema.ts'

interface Header {
  readonly description: string
  readonly schema: JsonSchema
}

/** Every header that an answer may have, beside those of HTTP itself. */
export const AnswerHeaders = {
  'x-request-id': header('The name of the request, in the log, too.'),
  'request-id': header("The same, as Anthropic's clients look for it."),
  'x-kiro-gateway-upstream': {
    description: 'Where the answer is made up by the built-in simulator.',
    schema: oneOf(['simulator'])
  },
  'x-kiro-gateway-repairs': header(
    'What was changed in the request so that the upstream takes it: names of repairs, separated by commas.'
  ),
  'x-kiro-gateway-model': header(
    'The model that answers, where the upstream does not list the one that was asked for.'
  ),
  'x-kiro-gateway-code': header(
    'The code of the error, as in docs/errors.md and the log: shapes of errors differ between the client APIs.'
  ),
  'server-timing': header(
    'What the answer has waited for so far, in milliseconds: `read`, `transform`, `key`, `pause`, `pace`, `queue`, `connect`, `ttfb`, `search`, `stream`, `retry`.'
  ),
  traceparent: header(
    'The trace of the request and its span in it (W3C Trace Context), where the operator has traces on.'
  ),
  'retry-after': {
    description: 'Seconds after which it may go better.',
    schema: { type: 'integer', minimum: 0 }
  },
  'x-should-retry': {
    description: '`false`: the same request will fail again.',
    schema: oneOf(['false'])
  },
  'anthropic-ratelimit-unified-status': header(
    '`allowed`, `allowed_warning` above 75 % of the credit limit, or `rejected`.'
  ),
  'anthropic-ratelimit-unified-representative-claim': header('`overage`.'),
  'anthropic-ratelimit-unified-overage-status': header('The same as the status.'),
  'anthropic-ratelimit-unified-overage-utilization': header(
    'Used part of the credit limit, such as `0.82`.'
  ),
  'anthropic-ratelimit-unified-overage-surpassed-threshold': header(
    '`0.75` or `0.95` above it, `1` at the limit.'
  ),
  'anthropic-ratelimit-unified-reset': header('When the limit resets, in Unix seconds.'),
  'anthropic-ratelimit-unified-overage-reset': header('The same.'),
  upgrade: header('What is spoken instead: HTTP/1.1.'),
  etag: header('Names the content of the answer.'),
  'cache-control': header('Whether the answer may be kept.'),
  'x-accel-buffering': header('`no`: proxies are to pass a stream on as it comes.'),
  'content-security-policy': header('What the page may load: nothing.'),
  'x-content-type-options': header('`nosniff`.'),
  'referrer-policy': header('`no-referrer`.')
} as const satisfies Readonly<Record<string, Header>>

type HeaderName = keyof typeof AnswerHeaders

/** Headers that any answer may have. */
export const EVERY_ANSWER: readonly HeaderName[] = [
  'x-request-id',
  'request-id',
  'x-kiro-gateway-upstream'
]

/** Headers that tell a client how much of its limit is used. */
export const STANDING_HEADERS: readonly string[] = Object.keys(AnswerHeaders).filter((name) =>
  name.startsWith('anthropic-ratelimit-')
)

function header(description: string): Header {
  return { description, schema: { type: 'string' } }
}

/** References to those of these headers that are described, each once. */
export function headersRefs(names: readonly string[]): Readonly<Record<string, object>> {
  const known = names.filter((name) => Object.hasOwn(AnswerHeaders, name))
  return Object.fromEntries(known.map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}
