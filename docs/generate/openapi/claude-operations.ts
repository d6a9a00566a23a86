import { VERSION } from './client-api.ts'
import {
  amount,
  boolean,
  figure,
  fixed,
  type JsonSchema,
  list,
  moment,
  oneOf,
  orNull,
  record
} from './json-schema.ts'
import { JSON_TYPE, type Operation } from './operation.ts'

const FOR_CLAUDE = {
  access: 'key',
  errors: 'anthropic-messages',
  parameters: [VERSION]
} as const

/** Paths that Claude Code asks for when it is signed in here. */
export const ClaudeOperations: readonly Operation[] = [
  {
    ...FOR_CLAUDE,
    id: 'getStanding',
    tag: 'Claude Code',
    method: 'get',
    path: '/api/oauth/usage',
    summary: 'Amounts for /usage and the status line',
    description:
      'Used credits of the key in hundredths, with the currency code `CRD`. It belongs to the `anthropic-ratelimit-unified-*` headers of answers. A key without a credit limit gets no amounts.',
    errorPlaces: ['any', 'key', 'account', 'counted'],
    answers: [
      {
        status: 200,
        description: 'The amounts.',
        content: { [JSON_TYPE]: ['Standing'] },
        headers: ['cache-control']
      }
    ]
  }
]

/** Schemas of their answers. */
export const ClaudeSchemas: Readonly<Record<string, JsonSchema>> = {
  Standing: record(
    {
      extra_usage: record({
        is_enabled: boolean('Always true.'),
        monthly_limit: figure('Hundredths of a credit, whatever the period.'),
        used_credits: amount('Hundredths of a credit, used or reserved.'),
        utilization: amount('Percent.'),
        currency: fixed('CRD')
      }),
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
    },
    { optional: ['extra_usage'], description: 'Amounts of a credit limit.' }
  )
}
