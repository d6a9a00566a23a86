export type ErrorSource = 'downstream' | 'upstream' | 'internal'

/** `if-unanswered`: only if the upstream has not sent a byte. */
export type RetryRule = 'never' | 'if-unanswered'

/** HTTP status, which a dialect may refine, and side at fault. Dialects have words for kinds, not for codes. */
const ErrorKinds = {
  key: [401, 'downstream'],
  limit: [429, 'downstream'],
  often: [429, 'downstream'],
  denied: [403, 'downstream'],
  route: [404, 'downstream'],
  missing: [404, 'downstream'],
  method: [405, 'downstream'],
  conflict: [409, 'downstream'],
  stale: [412, 'downstream'],
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
  readonly message: string
}

/** All failures; source of docs/errors.md. */
export const ErrorTable = {
  GW_CONFIG_INVALID: entry('failed', 'The configuration is not valid.'),
  GW_CLIENT_FILE: entry('failed', "The client's configuration file cannot be read or changed."),
  GW_KEY_MISSING: entry(
    'key',
    'No API key was sent. Use "Authorization: Bearer <key>" or "x-api-key: <key>" with a key of PROXY_API_KEY.'
  ),
  GW_KEY_INVALID: entry('key', 'The API key is not one of PROXY_API_KEY.'),
  GW_KEY_LIMIT: entry('limit', 'This key has used up its credit limit.'),
  GW_KEY_BOOK: entry('busy', 'Usage cannot be recorded, so keys with a credit limit have to wait.'),
  GW_KEY_RATE: entry('often', 'This key has reached its limit of requests per minute.'),
  GW_NEW_KEYS_OFTEN: entry(
    'often',
    'Too many new Kiro API keys were sent to this gateway. Wait before trying again.'
  ),
  GW_KEY_EXPIRED: entry('key', 'The API key has expired.'),
  GW_KEY_REVOKED: entry('key', 'The API key was revoked.'),
  GW_TOKEN_EXPIRED: entry(
    'key',
    'The access token has expired. Renew it with the refresh token, or sign in again.'
  ),
  GW_TOKEN_ENDED: entry('key', 'The sign-in of this device has ended. Sign in again.'),
  GW_OPERATOR_ONLY: entry(
    'denied',
    'This page needs an operator key (PROXY_API_KEY). Your own usage is at GET /v1/usage.'
  ),
  GW_SIGN_IN_OFTEN: entry(
    'often',
    'Too many sign-in attempts with wrong keys. Wait before trying again.'
  ),
  GW_OTHER_SITE: entry(
    'denied',
    "This request is accepted only from the gateway's own dashboard page."
  ),
  GW_CSRF_INVALID: entry(
    'denied',
    'The form token of this page is missing or no longer valid. Reload the page and try again.'
  ),
  GW_READ_ONLY: entry('denied', 'Changes are turned off here (DASHBOARD=read-only).'),
  GW_TLS_REQUIRED: entry(
    'denied',
    'Changes are accepted only over HTTPS or from this machine. Put a proxy with TLS in front (TRUSTED_PROXIES), or use the command line.'
  ),
  GW_FIELD_INVALID: entry('request', 'A field of the request is not valid.'),
  GW_NOT_FOUND: entry('route', 'There is no such thing.'),
  GW_RESPONSE_UNKNOWN: entry('missing', 'There is no stored response with this id.'),
  GW_CONFLICT: entry('conflict', 'This cannot be done now.'),
  GW_CHANGED_MEANWHILE: entry(
    'stale',
    'It has been changed meanwhile. Look at it again, then repeat your change.'
  ),
  GW_DEVICES_UNSAVED: entry('busy', 'The sign-ins of devices cannot be read or saved now.'),
  GW_MODEL_NOT_ALLOWED: entry('denied', 'The API key does not allow this model.'),
  GW_ROUTE_UNKNOWN: entry('route', 'This route does not exist.'),
  GW_METHOD_NOT_ALLOWED: entry('method', 'This route does not support this method.'),
  GW_UPGRADE_REFUSED: entry(
    'upgrade',
    'WebSocket is not available here now. Send the request over HTTP.'
  ),
  GW_BODY_INVALID: entry('request', 'The request body is not valid.'),
  GW_BODY_TOO_LARGE: entry('size', 'The request body is larger than MAX_BODY_BYTES.'),
  GW_BODY_ENCODED: entry(
    'encoding',
    'Compressed request bodies are not supported. Send the body without content-encoding.'
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
    'Too many requests are already waiting for an upstream connection (HTTP_POOL_MAX_WAITING).'
  ),
  GW_CONNECTIONS_FULL: entry(
    'busy',
    'All client connections are in use (MAX_CLIENT_CONNECTIONS). Try again shortly.'
  ),
  GW_DASHBOARD_FULL: entry(
    'busy',
    'Too many dashboard pages are open. Close one, or try again shortly.'
  ),
  GW_MEMORY_FULL: entry(
    'busy',
    'The memory for request bodies and answers is fully in use. Try again shortly.'
  ),
  GW_DRAINING: entry('busy', 'The gateway is shutting down.'),
  GW_FLEET_LOST: entry('busy', 'This gateway holds no connections of its fleet at the moment.'),
  GW_FLEET_SILENT: entry(
    'busy',
    "Data held by other gateways is unavailable because the fleet's Valkey does not answer."
  ),
  GW_NOT_READY: entry('busy', 'The gateway has no usable credentials yet.'),
  GW_LOGIN_PENDING: entry(
    'busy',
    'The gateway is not signed in yet. Its operator must open the link in the log and confirm the code.'
  ),
  GW_LOGIN_DENIED: entry('account', 'The sign-in was denied in the browser.'),
  GW_LOGIN_EXPIRED: entry('account', 'The sign-in was not confirmed in time.'),
  GW_PRIMARY_SILENT: entry(
    'busy',
    'The primary process does not respond: it hangs or was stopped. Running answers continue. Try again shortly; if that does not help, restart the gateway.'
  ),
  GW_TRANSFORM_FAILED: entry(
    'failed',
    'The gateway failed to convert the request. The reason is in its log under this request id.'
  ),
  GW_TRANSFORM_QUEUE_FULL: entry(
    'busy',
    'Too many large requests are already waiting to be converted (TRANSFORM_MAX_QUEUE).'
  ),
  GW_TRANSFORM_TIMEOUT: entry(
    'costly',
    'Converting the request took longer than TRANSFORM_TIMEOUT. Send a shorter conversation or fewer tools.'
  ),
  GW_UPSTREAM_DNS: entry(
    'upstream',
    'The upstream host name could not be resolved.',
    'if-unanswered'
  ),
  GW_UPSTREAM_CONNECT: entry('upstream', 'The upstream refused the connection.', 'if-unanswered'),
  GW_PROXY_REFUSED: entry(
    'upstream',
    'The proxy to the upstream rejects the configured user and password.'
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
    'The upstream did not start to answer within FIRST_TOKEN_TIMEOUT.',
    'if-unanswered'
  ),
  GW_UPSTREAM_IDLE_TIMEOUT: entry(
    'silent',
    'The upstream sent nothing for longer than STREAMING_READ_TIMEOUT.'
  ),
  GW_UPSTREAM_RATE_LIMITED: entry('rate', 'The upstream limits the request rate.', 'if-unanswered'),
  GW_UPSTREAM_QUOTA: entry('quota', 'The quota of the upstream account is used up.'),
  GW_PLAN_LIMIT: entry(
    'quota',
    "The plan's credits are used up. Further requests would cost extra, which ALLOW_OVERAGE=false forbids."
  ),
  GW_UPSTREAM_RESTRICTED: entry(
    'restricted',
    'The upstream suspects abuse and has temporarily limited the account.'
  ),
  GW_UPSTREAM_OVERLOADED: entry('overloaded', 'The upstream is overloaded.', 'if-unanswered'),
  GW_UPSTREAM_AUTH: entry('account', "The upstream rejects this gateway's credentials."),
  GW_REGISTRATION_EXPIRED: entry(
    'account',
    'The client registration of the sign-in has expired. Sign in again.'
  ),
  GW_IDP_NOT_ALLOWED: entry(
    'account',
    'The sign-in names a token host that is not allowed (KIRO_IDP_HOSTS).'
  ),
  GW_UPSTREAM_SUSPENDED: entry('forbidden', 'The upstream account is suspended.'),
  GW_UPSTREAM_FORBIDDEN: entry('forbidden', 'The upstream account is not permitted to do this.'),
  GW_CLIENT_NOT_ADMITTED: entry(
    'barred',
    "The upstream account's subscription does not admit this gateway."
  ),
  GW_UPSTREAM_REFUSED: entry('refused', 'The upstream refused the request.'),
  GW_CONTEXT_OVERFLOW: entry('overflow', 'The conversation is too long for the model.'),
  GW_UPSTREAM_STATUS: entry('upstream', 'The upstream answered with an error.', 'if-unanswered'),
  GW_FRAME_CORRUPT: entry(
    'upstream',
    "The upstream's answer is not an event stream.",
    'if-unanswered'
  ),
  GW_FRAME_TOO_LARGE: entry('upstream', 'The upstream sent a frame larger than the limit.'),
  GW_STREAM_TRUNCATED: entry(
    'upstream',
    'The upstream stream ended in the middle of a frame.',
    'if-unanswered'
  ),
  GW_ANSWER_INVALID: entry(
    'answer',
    'The model did not answer in the requested form, even after a second attempt.'
  ),
  GW_ANSWER_TOO_LARGE: entry(
    'answer',
    'The answer is longer than MAX_ANSWER_BYTES. Ask for a shorter one, or raise that setting.'
  ),
  GW_INTERNAL: entry(
    'internal',
    'The gateway failed. The reason is in its log under this request id.'
  )
} as const satisfies Record<string, ErrorEntry>

function entry(kind: ErrorKind, message: string, retry: RetryRule = 'never'): ErrorEntry {
  const [status, source] = ErrorKinds[kind]
  return { kind, status, source, retry, message }
}
