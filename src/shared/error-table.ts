/** The side at fault; a failure counts in that side's error rate. */
export type ErrorSource = 'downstream' | 'upstream' | 'internal'

/** Whether the same request may be sent again: never, or only if the upstream has not answered a byte. */
export type RetryRule = 'never' | 'if-unanswered'

/**
 * What kinds of failure there are: of each the HTTP status, which a dialect may refine, and the side at fault. The
 * dialects have words for kinds, not for codes.
 */
const ErrorKinds = {
  key: [401, 'downstream'],
  limit: [429, 'downstream'],
  often: [429, 'downstream'],
  denied: [403, 'downstream'],
  route: [404, 'downstream'],
  method: [405, 'downstream'],
  upgrade: [426, 'downstream'],
  request: [400, 'downstream'],
  size: [413, 'downstream'],
  encoding: [415, 'downstream'],
  late: [408, 'downstream'],
  costly: [400, 'downstream'],
  model: [404, 'downstream'],
  gone: [499, 'downstream'],
  busy: [503, 'internal'],
  failed: [500, 'internal'],
  internal: [500, 'internal'],
  upstream: [502, 'upstream'],
  silent: [504, 'upstream'],
  rate: [429, 'upstream'],
  quota: [429, 'upstream'],
  restricted: [429, 'upstream'],
  overloaded: [503, 'upstream'],
  account: [401, 'upstream'],
  forbidden: [403, 'upstream'],
  barred: [403, 'upstream'],
  refused: [400, 'upstream'],
  overflow: [400, 'upstream'],
  answer: [502, 'upstream']
} as const satisfies Record<string, readonly [status: number, source: ErrorSource]>

export type ErrorKind = keyof typeof ErrorKinds

interface ErrorEntry {
  readonly kind: ErrorKind
  readonly status: number
  readonly source: ErrorSource
  readonly retry: RetryRule
  /** What the client reads when the thrower has nothing more exact to say. */
  readonly message: string
}

/** Every way in which the gateway fails. The table of docs/errors.md is made of this one. */
export const ErrorTable = {
  GW_CONFIG_INVALID: entry('failed', 'The configuration is not valid.'),
  GW_CLIENT_FILE: entry('failed', "The client's configuration cannot be read or changed."),
  GW_KEY_MISSING: entry(
    'key',
    'No API key was sent. Use "Authorization: Bearer <key>" or "x-api-key: <key>" with a key of PROXY_API_KEY.'
  ),
  GW_KEY_INVALID: entry('key', 'The API key is not one of PROXY_API_KEY.'),
  GW_KEY_LIMIT: entry('limit', 'The credits that this key may use are used up.'),
  GW_KEY_BOOK: entry(
    'busy',
    'What is used cannot be written down, so keys with a limit of credits have to wait.'
  ),
  GW_KEY_RATE: entry('often', 'This key sends more requests a minute than it may.'),
  GW_NEW_KEYS_OFTEN: entry(
    'often',
    'Too many Kiro API keys that are new to this gateway. Wait before trying again.'
  ),
  GW_KEY_EXPIRED: entry('key', 'The API key has expired.'),
  GW_KEY_REVOKED: entry('key', 'The API key was revoked.'),
  GW_OPERATOR_ONLY: entry(
    'denied',
    'This page needs an operator key (PROXY_API_KEY). Your own usage is at GET /v1/usage.'
  ),
  GW_SIGN_IN_OFTEN: entry(
    'often',
    'Too many sign-in attempts with wrong keys. Wait before trying again.'
  ),
  GW_OTHER_SITE: entry('denied', 'Only its own page may ask this of the gateway.'),
  GW_MODEL_NOT_ALLOWED: entry('denied', 'The API key does not allow this model.'),
  GW_ROUTE_UNKNOWN: entry('route', 'There is no such route.'),
  GW_METHOD_NOT_ALLOWED: entry('method', 'This route does not take this method.'),
  GW_UPGRADE_REFUSED: entry(
    'upgrade',
    'WebSocket connections are not served. Send the request over HTTP.'
  ),
  GW_BODY_INVALID: entry('request', 'The request body is not valid.'),
  GW_BODY_TOO_LARGE: entry('size', 'The request body is larger than MAX_BODY_BYTES.'),
  GW_BODY_ENCODED: entry(
    'encoding',
    'Compressed request bodies are not taken. Send the body without content-encoding.'
  ),
  GW_BODY_TIMEOUT: entry('late', 'The request body did not arrive within BODY_TIMEOUT.'),
  GW_MODEL_UNKNOWN: entry('model', 'The model does not exist.'),
  GW_CLIENT_CLOSED: entry('gone', 'The client closed the connection.'),
  GW_CLIENT_STALLED: entry(
    'gone',
    'The client did not read its answer within CLIENT_STALL_TIMEOUT.'
  ),
  GW_POOL_TIMEOUT: entry(
    'busy',
    'PoolTimeout: no upstream connection became free within HTTP_POOL_TIMEOUT.'
  ),
  GW_QUEUE_FULL: entry(
    'busy',
    'Too many requests wait for an upstream connection already (HTTP_POOL_MAX_WAITING).'
  ),
  GW_CONNECTIONS_FULL: entry(
    'busy',
    'All client connections that the gateway may hold are in use (MAX_CLIENT_CONNECTIONS). Try again shortly.'
  ),
  GW_DASHBOARD_FULL: entry(
    'busy',
    'Too many pages of the dashboard are open already. Close some, or try again shortly.'
  ),
  GW_MEMORY_FULL: entry(
    'busy',
    'The memory set aside for request bodies and answers is in use. Try again shortly.'
  ),
  GW_DRAINING: entry('busy', 'The gateway is shutting down.'),
  GW_FLEET_LOST: entry('busy', 'This gateway has no connections of its fleet to use.'),
  GW_FLEET_SILENT: entry(
    'busy',
    "Data held by other gateways is unavailable because the fleet's Valkey does not answer."
  ),
  GW_NOT_READY: entry('busy', 'The gateway has no usable credentials yet.'),
  GW_LOGIN_PENDING: entry(
    'busy',
    'The gateway is not signed in yet: its log shows a link and a code that its operator has to confirm.'
  ),
  GW_LOGIN_DENIED: entry('account', 'The sign-in was denied in the browser.'),
  GW_LOGIN_EXPIRED: entry('account', 'Nobody confirmed the sign-in in time.'),
  GW_PRIMARY_SILENT: entry(
    'busy',
    'The process that knows this does not answer: it hangs or was stopped. Running answers go on. Try again shortly, and restart the gateway if that does not help.'
  ),
  GW_TRANSFORM_FAILED: entry('failed', 'The request could not be converted.'),
  GW_TRANSFORM_QUEUE_FULL: entry(
    'busy',
    'Too many large requests wait to be converted already (TRANSFORM_MAX_QUEUE).'
  ),
  GW_TRANSFORM_TIMEOUT: entry(
    'costly',
    'The request took longer to convert than it may (TRANSFORM_TIMEOUT). Send a shorter conversation or fewer tools.'
  ),
  GW_UPSTREAM_DNS: entry(
    'upstream',
    'The upstream host name could not be resolved.',
    'if-unanswered'
  ),
  GW_UPSTREAM_CONNECT: entry('upstream', 'The upstream refused the connection.', 'if-unanswered'),
  GW_PROXY_REFUSED: entry(
    'upstream',
    'The proxy before the upstream does not accept its user and password.'
  ),
  GW_UPSTREAM_TLS: entry('upstream', 'The TLS handshake with the upstream failed.'),
  GW_UPSTREAM_CONNECT_TIMEOUT: entry(
    'silent',
    'The upstream did not accept the connection in time.',
    'if-unanswered'
  ),
  GW_UPSTREAM_RESET: entry(
    'upstream',
    'The upstream closed the connection before its answer was complete.',
    'if-unanswered'
  ),
  GW_UPSTREAM_HEADERS_TIMEOUT: entry(
    'silent',
    'The upstream did not begin to answer within FIRST_TOKEN_TIMEOUT.',
    'if-unanswered'
  ),
  GW_UPSTREAM_IDLE_TIMEOUT: entry(
    'silent',
    'The upstream fell silent for longer than STREAMING_READ_TIMEOUT.'
  ),
  GW_UPSTREAM_RATE_LIMITED: entry('rate', 'The upstream limits the request rate.', 'if-unanswered'),
  GW_UPSTREAM_QUOTA: entry('quota', 'The quota of the upstream account is used up.'),
  GW_PLAN_LIMIT: entry(
    'quota',
    'The credits of the plan are used up, and more would cost extra, which ALLOW_OVERAGE=false forbids.'
  ),
  GW_UPSTREAM_RESTRICTED: entry(
    'restricted',
    'The upstream suspects abuse and limits the account for a time.'
  ),
  GW_UPSTREAM_OVERLOADED: entry('overloaded', 'The upstream is overloaded.', 'if-unanswered'),
  GW_UPSTREAM_AUTH: entry(
    'account',
    'The upstream does not accept the credentials of this gateway.'
  ),
  GW_REGISTRATION_EXPIRED: entry(
    'account',
    'The client registration of the sign-in has run out: sign in again.'
  ),
  GW_IDP_NOT_ALLOWED: entry(
    'account',
    'The sign-in would be renewed at a host that is not allowed (KIRO_IDP_HOSTS).'
  ),
  GW_UPSTREAM_SUSPENDED: entry('forbidden', 'The upstream account is suspended.'),
  GW_UPSTREAM_FORBIDDEN: entry('forbidden', 'The upstream account may not do this.'),
  GW_CLIENT_NOT_ADMITTED: entry(
    'barred',
    'The subscription of the upstream account does not admit this gateway.'
  ),
  GW_UPSTREAM_REFUSED: entry('refused', 'The upstream refused the request.'),
  GW_CONTEXT_OVERFLOW: entry('overflow', 'The conversation is too long for the model.'),
  GW_UPSTREAM_STATUS: entry('upstream', 'The upstream failed.', 'if-unanswered'),
  GW_FRAME_CORRUPT: entry(
    'upstream',
    'The upstream sent bytes that are no event stream.',
    'if-unanswered'
  ),
  GW_FRAME_TOO_LARGE: entry('upstream', 'The upstream sent a frame over the size limit.'),
  GW_STREAM_TRUNCATED: entry(
    'upstream',
    'The upstream stream ended in the middle of a frame.',
    'if-unanswered'
  ),
  GW_ANSWER_INVALID: entry(
    'answer',
    'The model did not answer in the form that was asked for, not even when it was asked again.'
  ),
  GW_ANSWER_TOO_LARGE: entry(
    'answer',
    'The answer is longer than MAX_ANSWER_BYTES. Ask for a shorter one, or raise that setting.'
  ),
  GW_INTERNAL: entry(
    'internal',
    'The gateway failed. The log has the reason under this request id.'
  )
} as const satisfies Record<string, ErrorEntry>

function entry(kind: ErrorKind, message: string, retry: RetryRule = 'never'): ErrorEntry {
  const [status, source] = ErrorKinds[kind]
  return { kind, status, source, retry, message }
}
