import type { ErrorData } from '../shared/errors.ts'
import type { JsonObject } from '../shared/json.ts'

/** Everything that the panel asks for and does, by name. Source of routes, handlers and description. */
export const PANEL_ACTIONS = {
  state: ['GET', '/admin/v1/state'],
  'keys.list': ['GET', '/admin/v1/keys'],
  'keys.show': ['GET', '/admin/v1/keys/:id'],
  'keys.add': ['POST', '/admin/v1/keys'],
  'keys.change': ['POST', '/admin/v1/keys/:id'],
  'keys.rotate': ['POST', '/admin/v1/keys/:id/rotate'],
  'keys.revoke': ['POST', '/admin/v1/keys/:id/revoke'],
  devices: ['GET', '/admin/v1/devices'],
  'devices.approve': ['POST', '/admin/v1/devices/approve'],
  'devices.deny': ['POST', '/admin/v1/devices/deny'],
  'devices.end': ['POST', '/admin/v1/devices/:id/end'],
  requests: ['GET', '/admin/v1/requests'],
  'requests.show': ['GET', '/admin/v1/requests/:n'],
  usage: ['GET', '/admin/v1/usage'],
  gateway: ['GET', '/admin/v1/gateway'],
  settings: ['GET', '/admin/v1/settings'],
  'settings.reload': ['POST', '/admin/v1/reload'],
  'account.lift': ['POST', '/admin/v1/account/lift'],
  'worker.recycle': ['POST', '/admin/v1/workers/:slot/recycle'],
  'gateway.restart': ['POST', '/admin/v1/restart'],
  'sign-in': ['GET', '/admin/v1/sign-in'],
  'sign-in.begin': ['POST', '/admin/v1/sign-in'],
  'sign-in.paste': ['POST', '/admin/v1/sign-in/paste'],
  'sign-in.cancel': ['POST', '/admin/v1/sign-in/cancel'],
  'sign-out': ['POST', '/admin/v1/sign-out'],
  audit: ['GET', '/admin/v1/audit'],
  me: ['GET', '/admin/v1/me'],
  'me.requests': ['GET', '/admin/v1/me/requests'],
  'me.requests.show': ['GET', '/admin/v1/me/requests/:n'],
  'me.usage': ['GET', '/admin/v1/me/usage']
} as const satisfies Readonly<Record<string, readonly ['GET' | 'POST', string]>>

export type PanelAction = keyof typeof PANEL_ACTIONS

/** Actions of a person with a named key; all others are the operator's. */
export const PERSONAL_ACTIONS: ReadonlySet<PanelAction> = new Set<PanelAction>([
  'me',
  'me.requests',
  'me.requests.show',
  'me.usage'
])

export const PANEL_ACTION_NAMES = Object.keys(PANEL_ACTIONS).filter(
  (name): name is PanelAction => name in PANEL_ACTIONS
)

export interface PanelUser {
  readonly role: 'operator' | 'person'
  /** `operator`, the name of a key, or that of a user whom a proxy or a provider has signed in. */
  readonly name: string
  /** Id of a person's named key. */
  readonly key: string | null
  readonly via: 'key' | 'session' | 'header' | 'oidc' | 'open'
  readonly address: string
}

/** One call of the panel's API, after the worker has found that its user may. */
export interface PanelCall {
  readonly action: PanelAction
  readonly user: PanelUser
  readonly params: Readonly<Record<string, string | undefined>>
  readonly query: Readonly<Record<string, string>>
  readonly body: JsonObject
  readonly ifMatch: string | null
  /** Address at which the user reaches the gateway. */
  readonly baseUrl: string
}

export type PanelAnswer =
  | {
      readonly name: 'answer'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
      /** Cursor of what follows this part of a long answer; `null` after the last. */
      readonly next?: string | null
    }
  | {
      readonly name: 'refusal'
      readonly error: ErrorData
      /** Members beside the error. */
      readonly more: JsonObject
    }
