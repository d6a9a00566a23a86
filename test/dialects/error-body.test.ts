import t from 'tap'
import { OpenAiErrors } from '../../src/dialects/answer/openai-error.ts'
import { toTellable } from '../../src/dialects/answer/answer-writer.ts'
import { AnthropicErrors } from '../../src/dialects/anthropic-messages/error.ts'
import { toErrorReply } from '../../src/dialects/dialect.ts'
import { ErrorTable } from '../../src/shared/error-table.ts'
import { type ErrorCode, GatewayError } from '../../src/shared/errors.ts'

function openAi(error: GatewayError): { status: number; error: Record<string, unknown> } {
  const { status, body } = toErrorReply('openai-chat', error, 'r1')
  return { status, ...JSON.parse(body) }
}

function anthropic(error: GatewayError): {
  status: number
  type: string
  error: Record<string, unknown>
  request_id: string
} {
  const { status, body } = toErrorReply('anthropic-messages', error, 'r1')
  return { status, ...JSON.parse(body) }
}

/** Status and words of kiro-protocol §8.6: OpenAI's, then Anthropic's. */
const table: readonly [
  code: ErrorCode,
  status: number,
  type: string,
  openAiCode: string | null,
  anthropicStatus: number,
  anthropicType: string
][] = [
  [
    'GW_CONTEXT_OVERFLOW',
    400,
    'invalid_request_error',
    'context_length_exceeded',
    400,
    'invalid_request_error'
  ],
  ['GW_BODY_INVALID', 400, 'invalid_request_error', null, 400, 'invalid_request_error'],
  ['GW_UPSTREAM_REFUSED', 400, 'invalid_request_error', null, 400, 'invalid_request_error'],
  ['GW_KEY_INVALID', 401, 'invalid_request_error', 'invalid_api_key', 401, 'authentication_error'],
  ['GW_KEY_MISSING', 401, 'invalid_request_error', 'invalid_api_key', 401, 'authentication_error'],
  [
    'GW_UPSTREAM_AUTH',
    401,
    'authentication_error',
    'upstream_auth_failed',
    401,
    'authentication_error'
  ],
  ['GW_UPSTREAM_QUOTA', 429, 'insufficient_quota', 'insufficient_quota', 429, 'rate_limit_error'],
  ['GW_PLAN_LIMIT', 429, 'insufficient_quota', 'insufficient_quota', 429, 'rate_limit_error'],
  ['GW_UPSTREAM_SUSPENDED', 403, 'permission_error', null, 403, 'permission_error'],
  ['GW_UPSTREAM_FORBIDDEN', 403, 'permission_error', null, 403, 'permission_error'],
  ['GW_MODEL_UNKNOWN', 404, 'invalid_request_error', 'model_not_found', 404, 'not_found_error'],
  [
    'GW_UPSTREAM_RATE_LIMITED',
    429,
    'rate_limit_error',
    'rate_limit_exceeded',
    429,
    'rate_limit_error'
  ],
  ['GW_UPSTREAM_OVERLOADED', 503, 'server_error', 'overloaded', 529, 'overloaded_error'],
  ['GW_UPSTREAM_HEADERS_TIMEOUT', 504, 'server_error', 'timeout', 504, 'api_error'],
  ['GW_UPSTREAM_STATUS', 502, 'server_error', 'upstream_error', 502, 'api_error'],
  ['GW_UPSTREAM_RESET', 502, 'server_error', 'upstream_error', 502, 'api_error'],
  ['GW_POOL_TIMEOUT', 503, 'server_error', 'gw_pool_timeout', 503, 'overloaded_error'],
  [
    'GW_BODY_TOO_LARGE',
    413,
    'invalid_request_error',
    'request_too_large',
    413,
    'request_too_large'
  ],
  [
    'GW_METHOD_NOT_ALLOWED',
    405,
    'invalid_request_error',
    'method_not_allowed',
    405,
    'invalid_request_error'
  ],
  ['GW_INTERNAL', 500, 'server_error', 'internal_error', 500, 'api_error']
]

for (const [code, status, type, openAiCode, anthropicStatus, anthropicType] of table) {
  t.test(`${code} is said as each API says it`, async (t) => {
    const error = new GatewayError(code)
    t.match(openAi(error), { status, error: { type, code: openAiCode } })
    t.match(anthropic(error), { status: anthropicStatus, error: { type: anthropicType } })
  })
}

t.test('every error', async (t) => {
  for (const code of Object.keys(ErrorTable) as ErrorCode[]) {
    t.test(`${code} has the whole shape`, async (t) => {
      const error = new GatewayError(code, 'for the log only')
      const said = openAi(error)
      t.same(Object.keys(said.error), ['message', 'type', 'param', 'code'])
      const told = anthropic(error)
      t.equal(told.type, 'error')
      t.equal(told.request_id, 'r1')
      t.notMatch(JSON.stringify([said, told]), 'for the log only')
    })

    t.test(`${code} says when to come back, or not to`, async (t) => {
      for (const dialect of ['openai-chat', 'openai-responses', 'anthropic-messages'] as const) {
        const { status, headers } = toErrorReply(dialect, new GatewayError(code), 'r1')
        const isFinal =
          ['GW_KEY_LIMIT', 'GW_PLAN_LIMIT', 'GW_UPSTREAM_QUOTA'].includes(code) ||
          code === 'GW_UPSTREAM_RESTRICTED' ||
          ['GW_ANSWER_INVALID', 'GW_ANSWER_TOO_LARGE'].includes(code) ||
          [400, 401, 403, 404, 405, 413, 415, 426].includes(status)
        const isLater = [429, 503, 529].includes(status) && !isFinal
        t.equal(headers['retry-after'] !== undefined, isLater)
        t.equal(headers['x-should-retry'], isFinal ? 'false' : undefined)
      }
    })
  }
})

t.test('context overflow', async (t) => {
  const said = 'Input is too long. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)'
  const error = new GatewayError('GW_CONTEXT_OVERFLOW', undefined, { message: said })

  t.test('of an overlong request is exactly this body for OpenAI', async (t) => {
    t.equal(
      toErrorReply('openai-chat', error, '').body,
      '{"error":{"message":"Input is too long and exceeds the model context window. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}'
    )
  })

  t.test('of an overlong request is exactly this body for Anthropic', async (t) => {
    t.equal(
      toErrorReply('anthropic-messages', error, '').body,
      '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: Input is too long. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)"}}'
    )
  })

  t.test('has the figures first where they are known, in the words of each vendor', async (t) => {
    const overflow = { tokens: 215_000, maximum: 200_000 }
    const exact = new GatewayError('GW_CONTEXT_OVERFLOW', undefined, { message: said, overflow })
    t.equal(
      anthropic(exact).error['message'],
      `prompt is too long: 215000 tokens > 200000 maximum. ${said}`
    )
    t.equal(
      openAi(exact).error['message'],
      "This model's maximum context length is 200000 tokens. However, your messages resulted in 215000 tokens. " +
        'Input is too long and exceeds the model context window. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)'
    )
  })

  t.test('names the window without a reason too, and the prefix only once', async (t) => {
    const message = 'prompt is too long: 5 tokens > 4 maximum'
    const exact = new GatewayError('GW_CONTEXT_OVERFLOW', undefined, { message })
    t.equal(openAi(exact).error['message'], `${message} and exceeds the model context window.`)
    t.equal(anthropic(exact).error['message'], message)
  })
})

t.test('toErrorReply()', async (t) => {
  t.test('says the upstream message', async (t) => {
    const error = new GatewayError('GW_UPSTREAM_RATE_LIMITED', '', { message: 'Slow down' })
    t.equal(
      toErrorReply('openai-chat', error, '').body,
      '{"error":{"message":"Slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}'
    )
    t.equal(
      toErrorReply('anthropic-messages', error, '').body,
      '{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'
    )
  })

  t.test('carries the id of the request in the headers each API knows', async (t) => {
    const error = new GatewayError('GW_INTERNAL')
    t.equal(toErrorReply('openai-chat', error, 'r1').headers['x-request-id'], 'r1')
    t.notOk('request-id' in toErrorReply('openai-chat', error, 'r1').headers)
    t.match(toErrorReply('anthropic-messages', error, 'r1').headers, {
      'content-type': 'application/json; charset=utf-8',
      'x-request-id': 'r1',
      'request-id': 'r1'
    })
  })

  for (const [retryAfterS, header] of [
    [7, '7'],
    [0.2, '1'],
    [0, '0'],
    [-1, '0']
  ] as const) {
    t.test(`rounds ${retryAfterS} s to come back up to ${header}`, async (t) => {
      const error = new GatewayError('GW_UPSTREAM_STATUS', '', { retryAfterS })
      t.equal(toErrorReply('openai-chat', error, '').headers['retry-after'], header)
    })
  }

  t.test('says no time for what ends a client’s loop, which it might sleep for', async (t) => {
    for (const code of ['GW_UPSTREAM_QUOTA', 'GW_UPSTREAM_RESTRICTED'] as const) {
      const error = new GatewayError(code, '', { retryAfterS: 86_400 })
      const { headers } = toErrorReply('openai-chat', error, '')
      t.notOk('retry-after' in headers)
      t.equal(headers['x-should-retry'], 'false')
    }
  })

  t.test(
    'says when the limit of a key starts anew, where that is known, and that it is none to try again',
    async (t) => {
      for (const dialect of ['openai-chat', 'openai-responses', 'anthropic-messages'] as const) {
        const near = new GatewayError('GW_KEY_LIMIT', '', { retryAfterS: 3_600 })
        const { status, headers, body } = toErrorReply(dialect, near, '')
        t.equal(status, 429)
        t.match(headers, { 'retry-after': '3600', 'x-should-retry': 'false' })
        t.match(body, dialect === 'anthropic-messages' ? 'billing_error' : 'insufficient_quota')
        const far = toErrorReply(dialect, new GatewayError('GW_KEY_LIMIT'), '')
        t.notOk('retry-after' in far.headers)
      }
    }
  )

  t.test('names the part of the request at fault', async (t) => {
    const error = new GatewayError('GW_BODY_INVALID', '', { param: 'messages[0].role' })
    t.equal(openAi(error).error['param'], 'messages[0].role')
    t.equal(openAi(new GatewayError('GW_MODEL_UNKNOWN')).error['param'], 'model')
  })

  t.test('hands on details to those who read them', async (t) => {
    const details = { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
    const error = new GatewayError('GW_BODY_INVALID', '', { details })
    t.same(anthropic(error).error['details'], details)
    t.notOk('details' in openAi(error).error)
  })
})

t.test('toEvent() is one message of the stream', async (t) => {
  const error = new GatewayError('GW_UPSTREAM_OVERLOADED', '', { message: 'busy' })
  t.equal(
    OpenAiErrors.toEvent(error),
    'data: {"error":{"message":"busy","type":"server_error","param":null,"code":"overloaded"}}\n\n'
  )
  t.equal(
    AnthropicErrors.toEvent(error),
    'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
  )
})

t.test('toTellable() tells nothing of foreign errors', async (t) => {
  const error = new GatewayError('GW_DRAINING')
  t.equal(toTellable(error), error)
  t.match(toTellable(new Error('secret')), { code: 'GW_INTERNAL', message: /gateway failed/ })
})

t.test('every error has its code in a header, whatever the shape of its body', async (t) => {
  for (const code of Object.keys(ErrorTable) as ErrorCode[]) {
    for (const dialect of ['openai-chat', 'openai-responses', 'anthropic-messages'] as const) {
      const { headers } = toErrorReply(dialect, new GatewayError(code), 'r1')
      t.equal(headers['x-kiro-gateway-code'], code)
    }
  }
})
