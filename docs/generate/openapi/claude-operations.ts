import { inJson, pathsOf, VERSION } from './client-api.ts'
import {
  type JsonSchema,
  amount,
  anyObject,
  boolean,
  describedRecord,
  figure,
  fixed,
  list,
  moment,
  oneOf,
  optional,
  orNull,
  record,
  string
} from './json-schema.ts'
import { JSON_TYPE, type Operation } from './operation.ts'

const FOR_CLAUDE = {
  tag: 'Claude Code',
  access: 'key',
  errors: 'anthropic-messages',
  parameters: [VERSION]
} as const

/** Paths that Claude Code asks for when it is signed in here. */
export const ClaudeOperations: readonly Operation[] = [
  {
    ...FOR_CLAUDE,
    id: 'getStanding',
    method: 'get',
    path: '/api/oauth/usage',
    summary: 'Amounts for /usage and the status line',
    description:
      'Used credits of the key in hundredths, with the currency code `CRD`. It belongs to the `anthropic-ratelimit-unified-*` headers of answers. A key without a credit limit gets no amounts.',
    errorPlaces: ['any', 'key', 'counted'],
    answers: inJson(['Standing'], 'The amounts.', ['cache-control'])
  },
  {
    ...FOR_CLAUDE,
    id: 'getManagedSettings',
    method: 'get',
    path: '/managed/settings',
    summary: 'Settings that an operator gives to everyone',
    description:
      'The content of `MANAGED_SETTINGS_FILE`. With the checksum of these settings in `if-none-match` they are not sent again.',
    errorPlaces: ['any', 'key'],
    answers: [
      ...inJson(['ManagedSettings'], 'The settings.', ['etag']),
      { status: 304, description: 'The client has them.', content: {}, headers: ['etag'] },
      { status: 404, description: 'There are none.', content: { [JSON_TYPE]: ['AnthropicError'] } }
    ]
  },
  {
    ...FOR_CLAUDE,
    id: 'takeTelemetry',
    method: 'post',
    ...pathsOf(['/v1/metrics', '/v1/logs', '/v1/traces']),
    summary: "Take the client's own telemetry",
    description:
      'OTLP over HTTP, as JSON or protobuf. It is dropped, or with `CLIENT_TELEMETRY=forward` sent to the collector of the operator.',
    errorPlaces: ['any', 'key'],
    answers: [
      {
        status: 200,
        description: 'Taken, whatever becomes of it.',
        content: { [JSON_TYPE]: ['Taken'], 'application/x-protobuf': 'text' }
      }
    ]
  }
]

/** Schemas of their answers. */
export const ClaudeSchemas: Readonly<Record<string, JsonSchema>> = {
  ManagedSettings: record({
    uuid: string('The same for the same settings.'),
    checksum: string('`sha256:` and the SHA-256 of the settings as JSON with sorted keys.'),
    settings: anyObject('As in managed-settings.json of Claude Code.')
  }),
  Taken: describedRecord('Nothing was refused.', {}),
  Standing: describedRecord('Amounts of a credit limit.', {
    extra_usage: optional(
      record({
        is_enabled: boolean('Always true.'),
        monthly_limit: figure('Hundredths of a credit, whatever the period.'),
        used_credits: amount('Hundredths of a credit, used or reserved.'),
        utilization: amount('Percent.'),
        currency: fixed('CRD')
      })
    ),
    limits: list(
      record({
        kind: fixed('spend'),
        group: oneOf(['daily', 'weekly', 'monthly', 'total'], 'Period of the limit.'),
        percent: amount('Used part.'),
        resets_at: orNull(moment('When the limit resets; `null` for never.')),
        severity: oneOf(['normal', 'warning', 'critical']),
        is_active: boolean('Always true.')
      })
    )
  })
}
