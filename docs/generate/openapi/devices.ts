import { DEVICE_PATH, OAUTH_PATHS } from '../../../src/server/http/oauth-routes.ts'
import { DEVICE_GRANT, REFRESH_GRANT } from '../../../src/server/http/oauth-server.ts'
import { type JsonSchema, list, record, refTo, string } from './json-schema.ts'
import { jsonContent } from './operation.ts'

const FORM_TYPE = 'application/x-www-form-urlencoded'
const seconds = (description: string): JsonSchema => ({ type: 'integer', description })
const texts = (description: string): JsonSchema => list({ type: 'string' }, description)

/** Bodies of the sign-in of devices. */
export const DeviceSchemas: Readonly<Record<string, JsonSchema>> = {
  AuthorizationServer: record({
    issuer: string('Address of this gateway.'),
    device_authorization_endpoint: string('Where a device asks for codes.'),
    token_endpoint: string('Where it gets its tokens.'),
    revocation_endpoint: string('Where it signs out.'),
    grant_types_supported: texts(`${DEVICE_GRANT} and ${REFRESH_GRANT}.`),
    response_types_supported: texts('None: there is no authorization endpoint.'),
    token_endpoint_auth_methods_supported: texts('`none`: clients are public.'),
    revocation_endpoint_auth_methods_supported: texts('`none`.'),
    gateway_protocol_version: { type: 'integer', description: 'For Claude Code.' }
  }),
  DeviceCodes: record({
    device_code: string('For the token endpoint; to be kept secret.'),
    user_code: string('For the person: eight letters, as `XXXX-XXXX`.'),
    verification_uri: string(`The page \`${DEVICE_PATH}\` of this gateway.`),
    verification_uri_complete: string('The same, with the code filled in.'),
    expires_in: seconds('Seconds until both codes expire.'),
    interval: seconds('Least seconds between two polls.')
  }),
  DeviceTokens: record({
    access_token: string('As good as the key that was chosen, for an hour.'),
    token_type: string('`Bearer`.'),
    expires_in: seconds('Seconds until the access token expires.'),
    refresh_token: string('Good for one renewal.')
  }),
  NoContent: { type: 'object', description: 'Nothing.' },
  OAuthError: record({
    error: string('The code, as in RFC 6749 §5.2 and RFC 8628 §3.5.'),
    error_description: string('For people: what happened and what to do.')
  })
}

type Parameters = Readonly<Record<string, string>>

interface OAuthOperation {
  readonly id: string
  readonly method: 'get' | 'post'
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly form?: Parameters
  readonly required?: readonly string[]
  readonly answer: string
  readonly errors: Readonly<Record<number, string>>
}

const UNAVAILABLE = {
  503: '`temporarily_unavailable`: the sign-ins cannot be read or saved now. Nothing has changed.'
} as const
const FOREIGN = {
  403: '`access_denied`: a page of another site has asked.'
} as const
const CLIENT_ID = 'Name of the client; codes and tokens are good for it alone. May be left out.'

/** Source of the paths; a test compares them with the routes. */
export const DeviceOperations: readonly OAuthOperation[] = [
  {
    id: 'getAuthorizationServer',
    method: 'get',
    path: OAUTH_PATHS.metadata,
    summary: 'Where devices sign in',
    description: 'RFC 8414.',
    answer: 'AuthorizationServer',
    errors: {}
  },
  {
    id: 'authorizeDevice',
    method: 'post',
    path: OAUTH_PATHS.deviceAuthorization,
    summary: 'Ask for a device code and a user code',
    description: 'RFC 8628 §3.1. At most 20 codes of an address and 1000 in all may wait.',
    form: {
      client_id: CLIENT_ID,
      surface: 'Name of the client, as Claude Code tells it.',
      host_name: 'Name of the machine. Whoever approves is shown it.'
    },
    answer: 'DeviceCodes',
    errors: {
      400: '`invalid_request`.',
      ...FOREIGN,
      429: '`slow_down`: too many codes wait.',
      ...UNAVAILABLE
    }
  },
  {
    id: 'getToken',
    method: 'post',
    path: OAUTH_PATHS.token,
    summary: 'Poll for tokens, or renew them',
    description:
      'RFC 8628 §3.4 and RFC 6749 §6. A refresh token that is used twice ends the sign-in.',
    form: {
      grant_type: `\`${DEVICE_GRANT}\` or \`${REFRESH_GRANT}\`.`,
      device_code: 'With the first.',
      refresh_token: 'With the second.',
      client_id: CLIENT_ID
    },
    required: ['grant_type'],
    answer: 'DeviceTokens',
    errors: {
      400: '`authorization_pending`, `slow_down` (also while the sign-ins cannot be read or saved), `access_denied`, `expired_token`, `invalid_grant`, `invalid_request` or `unsupported_grant_type`.',
      401: '`invalid_grant` of a refresh token: sign in again.',
      ...FOREIGN,
      503: `${UNAVAILABLE[503]} Not for polls.`
    }
  },
  {
    id: 'revokeToken',
    method: 'post',
    path: OAUTH_PATHS.revoke,
    summary: 'Sign a device out',
    description: 'RFC 7009. Either token ends the whole sign-in; any other text is answered alike.',
    form: {
      token: 'The access token or the refresh token.',
      token_type_hint: 'Does not matter.'
    },
    required: ['token'],
    answer: 'NoContent',
    errors: { 400: '`invalid_request`.', ...FOREIGN, ...UNAVAILABLE }
  }
]

/** Paths of the sign-in of devices. */
export function devicePaths(): Readonly<Record<string, object>> {
  return Object.fromEntries(
    DeviceOperations.map((one) => [one.path, { [one.method]: describe(one) }])
  )
}

function describe({ id, summary, description, form, required, answer, errors }: OAuthOperation) {
  return {
    operationId: id,
    tags: ['Sign-in of devices'],
    summary,
    description: `${description} \`DEVICE_SIGN_IN=off\` turns it off.`,
    security: [],
    ...(form !== undefined && {
      requestBody: {
        required: true,
        content: { [FORM_TYPE]: { schema: formOf(form, required) } }
      }
    }),
    responses: {
      200: { description: 'Done.', content: jsonContent(refTo(answer)) },
      ...Object.fromEntries(
        Object.entries(errors).map(([status, meaning]) => [
          status,
          { description: meaning, content: jsonContent(refTo('OAuthError')) }
        ])
      )
    }
  }
}

function formOf(form: Parameters, required: readonly string[] = []): object {
  const properties = Object.fromEntries(
    Object.entries(form).map(([name, meaning]) => [name, string(meaning)])
  )
  return { type: 'object', properties, ...(required.length > 0 && { required }) }
}
