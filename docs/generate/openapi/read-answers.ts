import { RepairTable } from '../../../src/kiro/rules/repair-table.ts'
import { RuleTable } from '../../../src/kiro/rules/rules.ts'
import { FailureTable } from '../../../src/shared/failures.ts'
import {
  type JsonSchema,
  amount,
  anyOf,
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
  refTo,
  string
} from './json-schema.ts'

const MODEL_WORDS = string('For people: windows, efforts, price step.')

const SUPPORTED = record({ supported: boolean('Whether the model can do that.') })

function supports(names: string): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(words(names).map((name) => [name, SUPPORTED]))
}

/** Support for a whole, and for each of its parts. */
function supportsParts(names: string): JsonSchema {
  return record({
    supported: boolean('Whether the model can do any of these.'),
    ...supports(names)
  })
}

/** Lists of models, in the shapes of both vendors. */
const MODELS = {
  OpenAiModelList: record({ object: fixed('list'), data: list(refTo('OpenAiModel')) }),
  OpenAiModel: describedRecord('Figures are missing where nothing is known of the model.', {
    id: string('To be sent as `model`.'),
    object: fixed('model'),
    created: amount('Seconds since 1970; the same for all.'),
    owned_by: string('Who makes it.'),
    name: optional(string('For people.')),
    description: optional(MODEL_WORDS),
    context_length: optional(amount('Tokens that it reads at most.')),
    context_window: optional(amount('The same.')),
    max_output_tokens: optional(amount('Tokens that it writes at most.')),
    lifecycle: optional(oneOf(words('deprecated retired'), 'Missing for a model that is in use.')),
    supported_reasoning_efforts: optional(list({ type: 'string' }, 'Values of `reasoning_effort`.'))
  }),
  AnthropicModelList: record({
    data: list(refTo('AnthropicModel')),
    has_more: boolean('Always false.'),
    first_id: orNull(string('Of the first in the list.')),
    last_id: orNull(string('Of the last in the list.'))
  }),
  AnthropicModel: describedRecord('Figures are `null` where nothing is known of the model.', {
    type: fixed('model'),
    id: string('To be sent as `model`.'),
    display_name: string('For people.'),
    created_at: moment('The same for all.'),
    lifecycle: oneOf(words('active deprecated retired'), 'As the upstream lists it.'),
    deprecated_at: orNull(moment('When it was deprecated.')),
    retires_at: orNull(moment('When its maker retires it.')),
    line: orNull(string('Such as `opus`.')),
    max_input_tokens: orNull(amount('Tokens that it reads at most.')),
    max_tokens: orNull(amount('Tokens that it writes at most.')),
    capabilities: orNull(refTo('ModelCapabilities')),
    description: optional(MODEL_WORDS)
  }),
  ModelCapabilities: describedRecord('What the model does here, in the words of the vendor.', {
    ...supports('batch citations code_execution image_input pdf_input structured_outputs'),
    context_management: supportsParts(
      'clear_thinking_20251015 clear_tool_uses_20250919 compact_20260112'
    ),
    effort: supportsParts('low medium high xhigh max'),
    server_tools: supportsParts('code_execution web_search'),
    thinking: record({
      supported: boolean('Whether the model reasons by itself.'),
      types: record(supports('adaptive between_tools disabled enabled'))
    })
  })
} as const satisfies Readonly<Record<string, JsonSchema>>

const SUMS = {
  today: orNull(refTo('UsageSums')),
  last_30_days: orNull(refTo('UsageSums'))
}

const WHO = { key: string('The name of the key.'), id: string('Of the key.') }

const GROWTH = {
  account: figure('Credits that Kiro has counted.'),
  gateway: figure('Credits that are recorded here.'),
  outside: figure('Credits beyond those: not used through this gateway, or not metered.')
}

const USAGE = {
  AccountUsage: describedRecord('What the upstream says of the account.', {
    object: fixed('usage'),
    plan: orNull(string('As the upstream calls it.')),
    unit: orNull(string('What is counted, as the upstream calls it.')),
    used: figure('Of all allowances together.'),
    limit: figure('Of all allowances together.'),
    remaining: figure('Of all allowances together.'),
    resets_at: orNull(moment('When the plan starts anew.')),
    allowances: list(
      record({
        kind: oneOf(['plan', 'free_trial', 'bonus']),
        name: string('For people.'),
        unit: string('What is counted.'),
        used: figure('Of this one.'),
        limit: figure('Of this one.')
      })
    ),
    overage: record({
      enabled: boolean('Requests go on beyond the limit, and cost extra.'),
      used: figure('Beyond the limit.'),
      charges: figure('What that costs.'),
      currency: orNull(string('Of the charges and the rate.')),
      rate: orNull(figure('Price of one credit beyond the limit.')),
      cap: orNull(figure('Credits beyond the limit at most.'))
    }),
    recorded: optional(
      orNull(
        describedRecord("What the gateway has recorded of it; for the operator's keys alone.", {
          at: moment('Of the look at the account that this is about.'),
          drifting: boolean('More of today was used elsewhere than can be passed over.'),
          today: describedRecord('Since midnight, in UTC.', GROWTH),
          since: describedRecord('Since then.', {
            at: moment('Of the first look at this period.'),
            ...GROWTH
          })
        })
      )
    ),
    forecast: optional(
      orNull(
        describedRecord("How long the plan lasts; for the operator's keys alone.", {
          per_day: figure('Credits of a usual day of the last weeks.'),
          used_up_at: orNull(moment('When the plan will be used up; null where it lasts.'))
        })
      )
    ),
    keys: optional(list(refTo('KeyUsage'), "How each key stands; for the operator's keys alone."))
  }),
  KeyUsage: anyOf([refTo('LimitedKeyUsage'), refTo('UnlimitedKeyUsage')]),
  LimitedKeyUsage: describedRecord(
    'A key with a limit of credits. `object` and `unit` are said to the key itself.',
    {
      object: optional(fixed('usage')),
      unit: optional(fixed('credits')),
      ...WHO,
      period: oneOf(['day', 'week', 'month', 'total'], 'What the limit is for.'),
      limit: figure('Credits in that period.'),
      used: figure('Credits in this period.'),
      reserved: figure('Credits for requests that are under way.'),
      remaining: figure('Credits that are left.'),
      resets_at: orNull(moment('When the period ends; `null` for never.')),
      ...SUMS
    }
  ),
  UnlimitedKeyUsage: describedRecord(
    'A key without one. `object` and `unit` are said to the key itself.',
    {
      object: optional(fixed('usage')),
      unit: optional(fixed('credits')),
      ...WHO,
      period: { type: 'null' },
      limit: { type: 'null' },
      used: orNull(figure('Credits of the last 30 days.')),
      ...SUMS
    }
  ),
  UsageSums: describedRecord('In UTC. `null` where nothing is recorded.', {
    requests: amount('Requests.'),
    failed: amount('Of these failed.'),
    input_tokens: amount('Tokens that were read, but for those of the cache.'),
    output_tokens: amount('Tokens that were written.'),
    cached_tokens: amount('Tokens read from the cache or written to it.'),
    credits: figure('Credits.')
  })
} as const satisfies Readonly<Record<string, JsonSchema>>

const STATE = {
  Health: record({ status: oneOf(['ok', 'draining']) }),
  Readiness: describedRecord(
    'Only `status` without a key. `fleet` where the gateway is one of several.',
    {
      status: oneOf(['ready', 'not ready']),
      problems: optional(list({ type: 'string' }, 'Why requests cannot be served, for people.')),
      codes: optional(
        list(oneOf(Object.keys(FailureTable)), 'The same for programs, in the same order.')
      ),
      level: optional(
        oneOf(
          ['green', 'amber', 'red'],
          'As on the panel: amber if the last request failed, red if the last three did or requests cannot be served.'
        )
      ),
      verdict: optional(
        orNull(
          string(
            'Codes of all that the panel finds wrong, separated by spaces, such as `failures memory`; `well` if nothing is. `null` while the panel is off.'
          )
        )
      ),
      version: optional(string('Of the gateway.')),
      workers: optional(
        list(
          record({ id: amount('Its place.'), state: string('`ready` where it serves.') }),
          'The processes that serve.'
        )
      ),
      upstream: optional(oneOf(['simulator', 'kiro'])),
      fleet: optional(refTo('FleetStatus'))
    }
  ),
  FleetStatus: record({
    name: string('Of the fleet.'),
    member: string('The gateway that answers.'),
    stage: oneOf(words('joining serving closing cut'), 'What it may do.'),
    phase: orNull(
      oneOf(words('open learning'), 'Of the fleet. While it learns, nothing is granted anew.')
    ),
    era: orNull(amount('Era of the fleet; it increases whenever Valkey has lost its data.')),
    last_contact_ms: orNull(amount('Since the last confirmed sign of life of this gateway.')),
    max_connections: amount('Of all together.'),
    free: amount('Connections outside any lease.'),
    replicas: amount('Gateways that there should be.'),
    sign_in_holder: orNull(string('Who renews the sign-in of all.')),
    unshared: list(
      { type: 'string' },
      'Data that this gateway cannot share now, although Valkey answers.'
    ),
    members: list(
      record({
        name: string('`FLEET_MEMBER`.'),
        connections: amount('That it may have.'),
        waiting: amount('Requests that wait there for more.'),
        silent: boolean('Not heard of for a while.')
      }),
      'Those that are there.'
    ),
    awaited: list({ type: 'string' }, 'Who may have connections and has not come yet.')
  }),
  Greeting: record({ message: fixed('hello') })
} as const

const LINT = {
  LintReport: record({
    ok: boolean('Nothing is refused.'),
    dialect: oneOf([...words('openai-chat openai-responses anthropic-messages'), 'unknown']),
    findings: list(refTo('LintFinding'), 'What is refused first, what is repaired last.')
  }),
  LintFinding: record({
    rule: oneOf(Object.keys(RuleTable), 'The rule of the upstream.'),
    severity: oneOf(
      ['repaired', 'refused', 'borderline'],
      '`borderline` is sent, and the upstream may refuse it.'
    ),
    pointer: string('Where in the request (RFC 6901).'),
    message: string('What is wrong.'),
    fix: string('What to change.'),
    code: optional(oneOf(Object.keys(RepairTable), 'Of a repair, as in `x-kiro-gateway-repairs`.'))
  })
} as const

/** Schemas of the other answers. */
export const ReadAnswers: Readonly<Record<string, JsonSchema>> = {
  ...MODELS,
  ...USAGE,
  ...STATE,
  ...LINT
}

function words(line: string): readonly string[] {
  return line.split(' ')
}
