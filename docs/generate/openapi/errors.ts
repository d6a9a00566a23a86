import { type DialectName, toErrorReply } from '../../../src/dialects/dialect.ts'
import { ErrorTable } from '../../../src/shared/error-table.ts'
import { type ErrorCode, GatewayError } from '../../../src/shared/errors.ts'
import {
  type JsonSchema,
  anyObject,
  fixed,
  optional,
  orNull,
  record,
  string
} from './json-schema.ts'

/**
 * Place at which a failure is answered: by any route; with a required key; with an operator key; with a body; with a
 * model; with a call to the upstream; with an answer; with counted or waiting requests of a key; with a stored response. `no-route`: by none of
 * the routes described. `dashboard`: where only its page asks. `panel`: by its API. `nowhere`: no client reads it.
 */
export type ErrorPlace =
  | 'any'
  | 'key'
  | 'operator'
  | 'body'
  | 'model'
  | 'account'
  | 'answer'
  | 'counted'
  | 'waiting'
  | 'stored'
  | 'no-route'
  | 'dashboard'
  | 'panel'
  | 'nowhere'

const Places: Readonly<Record<ErrorCode, ErrorPlace | readonly ErrorPlace[]>> = {
  GW_CONFIG_INVALID: 'nowhere',
  GW_CLIENT_FILE: 'nowhere',
  GW_KEY_MISSING: 'key',
  GW_KEY_INVALID: 'key',
  GW_KEY_LIMIT: 'answer',
  GW_KEY_BOOK: 'answer',
  GW_KEY_RATE: 'counted',
  GW_NEW_KEYS_OFTEN: 'account',
  GW_KEY_EXPIRED: 'key',
  GW_KEY_REVOKED: 'key',
  GW_TOKEN_EXPIRED: 'key',
  GW_TOKEN_ENDED: 'key',
  GW_OPERATOR_ONLY: 'operator',
  GW_SIGN_IN_OFTEN: 'dashboard',
  GW_OTHER_SITE: 'dashboard',
  GW_CSRF_INVALID: 'panel',
  GW_READ_ONLY: 'panel',
  GW_TLS_REQUIRED: 'panel',
  GW_FIELD_INVALID: 'panel',
  GW_NOT_FOUND: 'panel',
  GW_RESPONSE_UNKNOWN: 'stored',
  GW_CONFLICT: 'panel',
  GW_DEVICES_UNSAVED: 'panel',
  GW_CHANGED_MEANWHILE: 'panel',
  GW_MODEL_NOT_ALLOWED: 'model',
  GW_ROUTE_UNKNOWN: 'no-route',
  GW_METHOD_NOT_ALLOWED: 'no-route',
  GW_UPGRADE_REFUSED: 'any',
  GW_BODY_INVALID: 'any',
  GW_BODY_TOO_LARGE: 'body',
  GW_BODY_ENCODED: 'body',
  GW_BODY_TIMEOUT: 'body',
  GW_MODEL_UNKNOWN: 'model',
  GW_CLIENT_CLOSED: 'nowhere',
  GW_CLIENT_STALLED: 'nowhere',
  GW_POOL_TIMEOUT: 'waiting',
  GW_QUEUE_FULL: 'waiting',
  GW_CONNECTIONS_FULL: 'any',
  GW_DASHBOARD_FULL: 'dashboard',
  GW_MEMORY_FULL: 'body',
  GW_DRAINING: 'body',
  GW_FLEET_LOST: 'body',
  GW_FLEET_SILENT: 'body',
  GW_NOT_READY: 'account',
  GW_LOGIN_PENDING: 'account',
  GW_LOGIN_DENIED: 'account',
  GW_LOGIN_EXPIRED: 'account',
  GW_PRIMARY_SILENT: ['account', 'counted'],
  GW_TRANSFORM_FAILED: 'body',
  GW_TRANSFORM_QUEUE_FULL: 'body',
  GW_TRANSFORM_TIMEOUT: 'body',
  GW_UPSTREAM_DNS: 'account',
  GW_UPSTREAM_CONNECT: 'account',
  GW_PROXY_REFUSED: 'account',
  GW_UPSTREAM_TLS: 'account',
  GW_UPSTREAM_CONNECT_TIMEOUT: 'account',
  GW_UPSTREAM_RESET: 'account',
  GW_UPSTREAM_HEADERS_TIMEOUT: 'account',
  GW_UPSTREAM_IDLE_TIMEOUT: 'account',
  GW_UPSTREAM_RATE_LIMITED: 'account',
  GW_UPSTREAM_QUOTA: 'account',
  GW_PLAN_LIMIT: 'answer',
  GW_UPSTREAM_RESTRICTED: 'account',
  GW_UPSTREAM_OVERLOADED: 'account',
  GW_UPSTREAM_AUTH: 'account',
  GW_REGISTRATION_EXPIRED: 'account',
  GW_IDP_NOT_ALLOWED: 'account',
  GW_UPSTREAM_SUSPENDED: 'account',
  GW_UPSTREAM_FORBIDDEN: 'account',
  GW_CLIENT_NOT_ADMITTED: 'account',
  GW_UPSTREAM_REFUSED: 'account',
  GW_CONTEXT_OVERFLOW: 'answer',
  GW_UPSTREAM_STATUS: 'account',
  GW_FRAME_CORRUPT: 'answer',
  GW_FRAME_TOO_LARGE: 'answer',
  GW_STREAM_TRUNCATED: 'answer',
  GW_ANSWER_INVALID: 'answer',
  GW_ANSWER_TOO_LARGE: 'answer',
  GW_INTERNAL: 'any'
}

const CODES = Object.keys(ErrorTable).filter((code): code is ErrorCode => code in ErrorTable)

/** The codes that are answered in one of these places, as the table of errors has them. */
export function codesIn(places: readonly ErrorPlace[]): readonly ErrorCode[] {
  return CODES.filter((code) => [Places[code]].flat().some((place) => places.includes(place)))
}

const OPEN_AI_BODY = record({
  message: string('For people: what happened and what to change.'),
  type: string('The kind of error, in the words of the API.'),
  param: orNull(string('The member of the request at fault.')),
  code: orNull(string('For programs.'))
})

const ANTHROPIC_BODY = record({
  type: string('The kind of error, in the words of the API.'),
  message: string('For people: what happened and what to change.'),
  details: optional(anyObject('Facts for programs.'))
})

/** Errors, as each API writes them. */
export const ErrorSchemas: Readonly<Record<string, JsonSchema>> = {
  OpenAiError: record({ error: OPEN_AI_BODY }),
  AnthropicError: record({
    type: fixed('error'),
    error: ANTHROPIC_BODY,
    request_id: string('As in the header `request-id`.')
  }),
  AnthropicStreamError: record({ type: fixed('error'), error: ANTHROPIC_BODY })
}

/** A failure, and how a dialect tells it. */
export interface ToldError {
  readonly code: ErrorCode
  readonly dialect: DialectName
  readonly message: string
  readonly status: number
  /** Names of its headers. */
  readonly headers: readonly string[]
  readonly body: unknown
}

const EXAMPLE_ID = 'req_5f2c9a1e7b3d4f60a8c1e2d3b4a59687'

/** Failures as a dialect tells them. */
export function toldErrors(
  codes: readonly ErrorCode[],
  dialect: DialectName
): readonly ToldError[] {
  return codes.map((code) => {
    const { status, headers, body } = toErrorReply(dialect, new GatewayError(code), EXAMPLE_ID)
    const { message } = ErrorTable[code]
    return { code, dialect, message, status, headers: Object.keys(headers), body: JSON.parse(body) }
  })
}
