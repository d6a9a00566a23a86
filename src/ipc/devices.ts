import type { DeviceOrigin, DeviceTokens } from '../devices/device-core.ts'
import type { PanelUser } from './panel.ts'

/** Steps of the sign-in of devices (RFC 8628). The primary takes them; one method of `DeviceControl` each. */
export type DeviceCall =
  | ({ readonly name: 'ask' } & DeviceOrigin)
  /** Looks for a user code as it was typed. Counts as a try of `address`. */
  | { readonly name: 'find'; readonly code: string; readonly address: string }
  | {
      readonly name: 'approve'
      readonly code: string
      readonly grant: ApprovedKey
      readonly by: DeviceUser
    }
  | { readonly name: 'deny'; readonly code: string; readonly by: DeviceUser }
  | { readonly name: 'poll'; readonly deviceCode: string; readonly clientId: string | null }
  | { readonly name: 'refresh'; readonly token: string; readonly clientId: string | null }
  /** Ends the sign-in of a refresh or access token. */
  | { readonly name: 'revoke'; readonly token: string }

/** Named key that a device uses; on a gateway without keys, none. */
export type ApprovedKey = { readonly key: string } | { readonly open: true }

/** User who approves or denies. */
export interface DeviceUser extends PanelUser {
  /** SHA-256 in hex of the key that a person has entered: the sign-in ends with it. */
  readonly proof?: string
}

/** A device that waits, as it is shown to the user who decides. Times are epoch ms. */
export interface PendingDevice {
  /** `XXXX-XXXX`. */
  readonly code: string
  readonly client: string
  readonly host: string
  readonly address: string
  readonly askedAt: number
  readonly expiresAt: number
  readonly state: 'waiting' | 'approved' | 'denied'
}

export interface DeviceShown {
  readonly id: string
  /** Id of the named key, or `anyone`. */
  readonly key: string
  readonly keyName: string
  readonly client: string
  readonly host: string
  readonly address: string
  readonly by: string
  readonly since: number
  /** Last sign-in or renewal. */
  readonly usedAt: number
}

/** Why a code was not approved or denied. `DEVICE_REFUSALS` has a sentence for each. */
export type DeviceRefusal =
  | 'unknown'
  | 'approved'
  | 'denied'
  | 'key'
  | 'not-allowed'
  | 'open'
  | 'not-open'

export type DeviceAnswer =
  | {
      readonly name: 'asked'
      readonly deviceCode: string
      /** `XXXX-XXXX`. */
      readonly userCode: string
      readonly expiresInMs: number
      readonly intervalMs: number
    }
  /** Too many codes wait, of this address or in all. */
  | { readonly name: 'full'; readonly isOwn: boolean; readonly waitMs: number }
  | { readonly name: 'found'; readonly device: PendingDevice | null }
  /** Too many wrong codes were tried. */
  | { readonly name: 'often'; readonly waitMs: number }
  /** The code is approved or denied, and kept. */
  | { readonly name: 'decided'; readonly device: PendingDevice }
  | { readonly name: 'refused'; readonly why: DeviceRefusal }
  | { readonly name: 'pending' }
  | { readonly name: 'slow-down' }
  | { readonly name: 'denied' }
  | { readonly name: 'expired' }
  | { readonly name: 'invalid' }
  | ({ readonly name: 'tokens' } & DeviceTokens)
  | { readonly name: 'revoked' }
  /** The state cannot be read or written now; nothing has changed. `message` is for clients. */
  | { readonly name: 'unavailable'; readonly message: string }

/** Sentences for people: the reason, and what to do. */
export const DEVICE_REFUSALS: Readonly<Record<DeviceRefusal, string>> = {
  unknown:
    'No device waits with this code. Compare it with the one on the device; if it is older than ten minutes, start the sign-in there again.',
  approved: 'This code has been approved already. Nothing more is to be done.',
  denied: 'This code has been denied already. To try again, start the sign-in on the device again.',
  key: 'This key is not in force: it was revoked, has expired, or does not exist. Choose another.',
  'not-allowed':
    'Only an operator of this gateway may approve this device. Tell them the code (DEVICE_SIGN_IN=approve).',
  open: 'This gateway has no keys, so a device cannot be given one. Approve it without a key.',
  'not-open': 'This gateway has keys: choose the one that the device is to use.'
}
