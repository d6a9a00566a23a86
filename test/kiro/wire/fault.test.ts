import t from 'tap'
import type { Remedy } from '../../../src/kiro/wire/fault-table.ts'
import {
  faultOfException,
  faultOfResponse,
  parseRetryAfter,
  toGatewayError
} from '../../../src/kiro/wire/fault.ts'
import type { ErrorCode } from '../../../src/shared/errors.ts'

const NOW = Date.parse('2026-09-01T00:00:00Z')

function respond(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return faultOfResponse({ status, headers, body: text, token: 'the-token', now: NOW })
}

type Row = [status: number, body: unknown, code: ErrorCode, remedy: Remedy]

/** Refusals beside those of `upstream-refusals.ts`, whose remedies docs/errors.md names. */
const table: Row[] = [
  [
    400,
    {
      message: 'max_tokens must have a maximum value of 128000.0',
      reason: 'REQUEST_BODY_INVALID'
    },
    'GW_UPSTREAM_REFUSED',
    'drop-fields'
  ],
  [
    400,
    { message: "tool 'f': 'a' is not defined in the schema", reason: 'TOOL_SCHEMA_INVALID' },
    'GW_UPSTREAM_REFUSED',
    'none'
  ],
  [400, { message: 'Input is too long.' }, 'GW_CONTEXT_OVERFLOW', 'none'],
  [413, '', 'GW_CONTEXT_OVERFLOW', 'none'],
  [
    400,
    { message: 'Maximum Request reached for this month.', __type: 'ThrottlingException' },
    'GW_UPSTREAM_QUOTA',
    'none'
  ],
  [400, { message: 'm', __type: 'x#ThrottlingException' }, 'GW_UPSTREAM_RATE_LIMITED', 'back-off'],
  [
    400,
    {
      message:
        'The request could not be processed due to an internal validation error. Please try again.'
    },
    'GW_UPSTREAM_STATUS',
    'retry-once'
  ],
  [401, '', 'GW_UPSTREAM_AUTH', 'refresh-token'],
  [
    403,
    { message: 'The bearer token included in the request is expired' },
    'GW_UPSTREAM_AUTH',
    'refresh-token'
  ],
  [403, '', 'GW_UPSTREAM_AUTH', 'refresh-token'],
  [403, { message: 'm', __type: 'ExpiredTokenException' }, 'GW_UPSTREAM_AUTH', 'refresh-token'],
  [
    500,
    { error: { reason: 'MODEL_TEMPORARILY_UNAVAILABLE' } },
    'GW_UPSTREAM_OVERLOADED',
    'back-off'
  ],
  [302, '', 'GW_UPSTREAM_STATUS', 'none'],
  [405, '', 'GW_UPSTREAM_STATUS', 'none']
]

t.test('faultOfResponse()', (t) => {
  for (const [status, body, code, remedy] of table) {
    const fault = respond(status, body)
    const name = `${status} ${JSON.stringify(body).slice(0, 90)}`
    const isTokenRefused = remedy === 'refresh-token'
    const isTokenNamed = isTokenRefused && (status === 401 || body !== '')
    t.match(fault, { code, remedy, status, isTokenRefused, isTokenNamed }, name)
    t.not(fault.message, '', `${name} has a message`)
    t.equal(toGatewayError(fault).code, code)
  }
  t.test('is not what the refused text says of accounts', (t) => {
    const texts = [
      'my account was temporarily suspended',
      'Maximum Request reached for this month.',
      'suspicious activity',
      'it does not support this application',
      'unexpectedly high load',
      'internal validation error',
      'the input is too long',
      'profileArn is required',
      'provided credential is invalid',
      'token is invalid'
    ]
    const place = 'conversationState.currentMessage.userInputMessage.content'
    const isRefused = { code: 'GW_UPSTREAM_REFUSED', remedy: 'none', bar: null } as const
    for (const text of [...texts, `${texts.join(', ')} ${'more of it '.repeat(300)}`]) {
      const message = `1 validation error detected: Value '${text}' at '${place}' failed to satisfy constraint`
      t.match(
        respond(400, { __type: 'ValidationException', message }),
        isRefused,
        text.slice(0, 50)
      )
      t.match(
        faultOfException({ name: 'ValidationException', message }),
        isRefused,
        text.slice(0, 50)
      )
    }
    for (const text of texts.slice(0, 4)) {
      t.match(
        respond(400, { message: `The text "${text}" was refused` }),
        isRefused,
        text.slice(0, 50)
      )
    }
    t.end()
  })
  t.test('keeps the upstream’s message and names the reason', (t) => {
    const overflow = respond(400, {
      message: 'Input is too long.',
      reason: 'CONTENT_LENGTH_EXCEEDS_THRESHOLD'
    })
    t.equal(
      toGatewayError(overflow).message,
      'Input is too long. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)'
    )
    const quota = respond(402, {
      message: 'You have reached the limit.',
      reason: 'MONTHLY_REQUEST_COUNT'
    })
    t.equal(quota.message, 'You have reached the limit. (reason: MONTHLY_REQUEST_COUNT)')
    const plain = respond(400, { message: 'Improperly formed request.', reason: null })
    t.equal(plain.message, 'Improperly formed request.')
    t.end()
  })
  t.test('says so when a CDN or nobody answered', (t) => {
    t.match(respond(403, '<html>').message, /HTTP 403 with a web page/)
    t.match(respond(502, '').message, /HTTP 502 without a body/)
    t.equal(respond(418, 'I am a teapot').message, 'I am a teapot')
    t.end()
  })
  t.test('never repeats a token, whatever it looks like', (t) => {
    const fault = respond(403, {
      message: 'token the-token of ksk_0123456789abcdef is invalid',
      reason: 'the-token',
      __type: 'the-token'
    })
    t.notMatch(JSON.stringify(fault), /the-token|ksk_0123/)
    const error = toGatewayError(fault)
    t.notMatch(`${error.message} ${error.detail}`, /the-token|ksk_0123/)
    t.end()
  })
  t.test('bounds what it repeats', (t) => {
    t.equal(respond(500, { message: 'word '.repeat(10_000) }).message.length, 400)
    t.end()
  })
  t.test('tells when to try again, and the upstream’s own request id', (t) => {
    const fault = respond(429, '', { 'retry-after': '7', 'x-amzn-requestid': 'id-1' })
    const error = toGatewayError(fault)
    t.equal(error.retryAfterS, 7)
    t.match(error.detail, /upstream status 429.*upstream request id-1/)
    t.equal(toGatewayError(respond(429, '')).retryAfterS, undefined)
    const body = { reason: 'CREDIT_CONSUMPTION_RATE_EXCEEDED', retryAfterMilliseconds: 300_000 }
    t.equal(respond(429, body).retryAfterS, 300)
    t.equal(respond(429, body, { 'retry-after': '7' }).retryAfterS, 300, 'the body knows better')
    for (const retryAfterMilliseconds of [-1, 'soon', null]) {
      t.equal(respond(429, { retryAfterMilliseconds }, { 'retry-after': '7' }).retryAfterS, 7)
    }
    t.end()
  })
  t.end()
})

t.test('faultOfException()', (t) => {
  const names: [string, ErrorCode, number][] = [
    ['ThrottlingException', 'GW_UPSTREAM_RATE_LIMITED', 429],
    ['amazon#throttlingError:', 'GW_UPSTREAM_RATE_LIMITED', 429],
    ['InternalServerException', 'GW_UPSTREAM_STATUS', 500],
    ['ServiceUnavailableException', 'GW_UPSTREAM_OVERLOADED', 503],
    ['AccessDeniedException', 'GW_UPSTREAM_FORBIDDEN', 403],
    ['ValidationException', 'GW_UPSTREAM_REFUSED', 400],
    ['ContentLengthExceededException', 'GW_CONTEXT_OVERFLOW', 400],
    ['ExpiredTokenException', 'GW_UPSTREAM_AUTH', 401],
    ['InvalidTokenError', 'GW_UPSTREAM_AUTH', 401],
    ['ServiceQuotaExceededError', 'GW_UPSTREAM_QUOTA', 400],
    ['NeverSeenException', 'GW_UPSTREAM_REFUSED', 400]
  ]
  for (const [name, code, status] of names) {
    t.match(faultOfException({ name, message: 'm' }), { code, status, message: 'm' }, name)
  }
  t.test('keeps the message exact', (t) => {
    const slow = faultOfException({ name: 'ThrottlingException', message: 'Slow down' })
    t.equal(toGatewayError(slow).message, 'Slow down')
    t.equal(toGatewayError(slow).status, 429)
    t.equal(slow.remedy, 'back-off')
    const boom = faultOfException({ name: 'InternalServerException', message: 'boom' })
    t.equal(boom.message, 'boom')
    t.end()
  })
  t.test('has a message when the upstream has none', (t) => {
    const fault = faultOfException({ name: 'X', message: '', reason: 'R' })
    t.equal(fault.message, 'The upstream refused the request. (reason: R)')
    t.end()
  })
  t.end()
})

t.test('parseRetryAfter()', (t) => {
  const table: [string | null, number | null][] = [
    [null, null],
    ['0', 0],
    ['1.2', 2],
    [' 30 ', 30],
    ['999999999', 86_400],
    ['Tue, 01 Sep 2026 00:00:05 GMT', 5],
    ['Mon, 31 Aug 2026 00:00:00 GMT', 0],
    ['soon', null],
    ['-5', 0]
  ]
  for (const [value, expected] of table)
    t.equal(parseRetryAfter(value, NOW), expected, String(value))
  t.end()
})
