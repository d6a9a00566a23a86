import { PANEL_ACTION_NAMES, PANEL_ACTIONS, type PanelAction } from '../../../src/ipc/panel.ts'
import { ErrorTable } from '../../../src/shared/error-table.ts'
import { codesIn } from './errors.ts'
import { type JsonSchema, anyObject, record, refTo, string } from './json-schema.ts'
import { inQuery } from './client-api.ts'
import { jsonContent } from './operation.ts'

interface PanelWords {
  readonly summary: string
  /** Names and meanings of the query. */
  readonly query?: Readonly<Record<string, string>>
  /** Names and meanings of the body's members; all may be missing. */
  readonly body?: Readonly<Record<string, string>>
  readonly status?: number
}

const LIMITS = {
  credits:
    '`200/month`, or `{"limit", "period"}` with day, week, month or total; `null`: no limit.',
  requests_per_minute: 'A whole number, or `null`.',
  max_streams: 'A whole number, or `null`.',
  models: 'A list of names, in which `*` stands for any text, or `null`.',
  expires: 'A day, a time or a duration such as `90d`, or `null`.',
  overage: 'Requests continue when the plan is used up.'
} as const

const VERSION = { version: 'As last seen; `If-Match` does the same.' } as const

const FILTERS = {
  key: 'A name or an id.',
  model: 'The model that answered.',
  client: 'The client.',
  since: 'A duration such as `7d`, a day, or a time.',
  until: 'The same.'
} as const

const REQUESTS = {
  ...FILTERS,
  status: 'The HTTP status.',
  code: 'The error code.',
  failed: '`true`: only failures.',
  id: 'A part of the request id.',
  limit: 'At most 200.',
  cursor: '`next` of the page before.'
} as const

const USAGE = {
  by: '`day`, `key`, `model` or `client`.',
  split: 'Another one of `key`, `model`, `client`.',
  ...FILTERS,
  format: '`json` or `csv`.'
} as const

const PAGE = { limit: 'At most 500.', cursor: '`next` of the page before.' } as const

const Words: Readonly<Record<PanelAction, PanelWords>> = {
  state: {
    summary: 'The judgement of the gateway, credits, forecast and sign-in, all of one instant'
  },
  'keys.list': { summary: 'All named keys with their use' },
  'keys.show': { summary: 'One named key' },
  'keys.add': {
    summary: 'Creates a key; its secret is shown once',
    body: {
      name: 'The name of a person or program.',
      ...LIMITS,
      without_operator_key:
        '`true`: also as the first key of a gateway without an operator key, which refuses it with 409 otherwise.'
    },
    status: 201
  },
  'keys.change': {
    summary: 'Changes a key',
    body: { ...VERSION, name: 'A new name.', ...LIMITS }
  },
  'keys.rotate': {
    summary: 'Replaces the secret of a key',
    body: {
      grace: 'How long the old one stays valid, such as `24h`; by default not at all.',
      ...VERSION
    }
  },
  'keys.revoke': { summary: 'Revokes a key for good', body: VERSION },
  devices: { summary: 'Devices that wait for approval, and those that have signed in' },
  'devices.approve': {
    summary: 'Approves a device that waits; without `key` and `new` only on a gateway without keys',
    body: {
      code: 'As the device shows it; case, dashes and spaces do not matter.',
      key: 'Id or name of the key that the device uses.',
      new: 'A new key instead: the members that `POST /admin/v1/keys` takes. Its secret is told to nobody.'
    }
  },
  'devices.deny': { summary: 'Denies a device that waits', body: { code: 'Its code.' } },
  'devices.end': { summary: 'Ends the sign-in of a device, and its tokens at once', body: {} },
  requests: { summary: 'Requests that have ended, the newest first', query: REQUESTS },
  'requests.show': { summary: 'One request, and why it failed' },
  usage: { summary: 'Usage by day, key, model or client', query: USAGE },
  gateway: { summary: 'Version, workers, connections and fleet' },
  settings: { summary: 'Settings in force, and where each comes from' },
  'settings.reload': { summary: 'Reads the settings again', body: {} },
  'account.lift': {
    summary: 'Lifts a limit that the upstream has set, so that it is asked again',
    body: { bar: 'One of `monthly`, `daily`, `hourly`, `suspicion` and others; without it, all.' }
  },
  'worker.recycle': {
    summary: 'Replaces a worker without cutting a stream',
    body: {},
    status: 202
  },
  'gateway.restart': {
    summary: 'Starts the gateway again once its running answers have ended',
    body: {},
    status: 202
  },
  'sign-in': { summary: 'The sign-in to Kiro, and one that is under way' },
  'sign-in.begin': {
    summary: 'Begins to sign in to Kiro',
    body: {
      provider: '`builder-id`, `organisation`, `google` or `github`.',
      start_url: "The start URL of the organisation's IAM Identity Center.",
      region: 'Its region.'
    },
    status: 201
  },
  'sign-in.paste': {
    summary: 'Finishes a sign-in with Google or GitHub',
    body: { address: 'The address at which the browser ended.' }
  },
  'sign-in.cancel': { summary: 'Cancels a sign-in that is under way', body: {} },
  'sign-out': { summary: 'Signs the gateway out of Kiro', body: {} },
  audit: { summary: 'Who changed what, the newest first', query: PAGE },
  me: { summary: 'The key that asks' },
  'me.requests': { summary: 'Requests of the key that asks', query: REQUESTS },
  'me.requests.show': { summary: 'One of them' },
  'me.usage': { summary: 'Usage of the key that asks', query: USAGE }
}

const DESCRIPTION =
  'Needs an operator key; below `/admin/v1/me`, a named key. `DASHBOARD=off` turns it off, and `read-only` all changes.'

export const PanelSchemas: Readonly<Record<string, JsonSchema>> = {
  PanelAnswer: anyObject('Times are ISO 8601 in UTC, credits whole ones with fractions.'),
  PanelError: record({
    error: record({
      type: string('The kind of error.'),
      code: string('For programs.'),
      message: string('For people: what happened and what to change.'),
      param: { type: ['string', 'null'], description: 'The field at fault.' }
    })
  })
}

/** Paths of the panel's API, with the methods of each. */
export function panelPaths(): Readonly<Record<string, object>> {
  const byPath = Map.groupBy(PANEL_ACTION_NAMES, (action) => PANEL_ACTIONS[action][1])
  return Object.fromEntries(
    Array.from(byPath, ([path, actions]) => [
      path.replaceAll(/:(\w+)/g, '{$1}'),
      Object.fromEntries(
        actions.map((action) => [PANEL_ACTIONS[action][0].toLowerCase(), toOperation(action)])
      )
    ])
  )
}

function toOperation(action: PanelAction) {
  const [, path] = PANEL_ACTIONS[action]
  const { summary, query = {}, body, status = 200 } = Words[action]
  const inPath = Array.from(path.matchAll(/:(\w+)/g), ([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' }
  }))
  const queried = Object.entries(query).map(([name, description]) =>
    inQuery(name, description, { type: 'string' })
  )
  return {
    operationId: `panel${action.replaceAll(/(^|[.-])(\w)/g, (_, __, letter: string) => letter.toUpperCase())}`,
    tags: ['Panel'],
    summary,
    description: DESCRIPTION,
    parameters: [...inPath, ...queried],
    ...(body !== undefined && {
      requestBody: {
        required: true,
        content: jsonContent({
          type: 'object',
          properties: Object.fromEntries(
            Object.entries(body).map(([name, description]) => [name, { description }])
          )
        })
      }
    }),
    responses: {
      [status]: { description: 'Done.', content: jsonContent(refTo('PanelAnswer')) },
      '4XX': { description: ERRORS, content: jsonContent(refTo('PanelError')) }
    }
  }
}

const ERRORS = codesIn(['panel'])
  .map((code) => `- \`${code}\` (${ErrorTable[code].status})`)
  .join('\n')
