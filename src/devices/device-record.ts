import { Check } from 'typebox/schema'
import { asJsonObject, parseJson } from '../shared/json.ts'
import { Type } from '../shared/schema-type.ts'
import type { DeviceState } from './device-core.ts'
import { DEVICE_LIMITS } from './device-limits.ts'
import { USER_CODE_CHARS, USER_CODE_LETTERS } from './user-code.ts'

const VERSION = 1
const MAX_ADDRESS_CHARS = 64
const MAX_NAME_CHARS = 256

/** Larger than any record of these bounds. */
export const MAX_DEVICE_RECORD_BYTES = 8 * 1024 * 1024

const Time = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const Hash = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })
const DeviceId = Type.String({ pattern: '^[A-Za-z0-9_-]{12}$' })
const Grant = {
  key: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  by: Type.String({ maxLength: MAX_NAME_CHARS }),
  proof: Type.String({ pattern: '^([0-9a-f]{16})?$' })
}
const Origin = {
  clientId: Type.Union([Type.Null(), Type.String({ maxLength: DEVICE_LIMITS.clientBytes })]),
  client: Type.String({ maxLength: DEVICE_LIMITS.clientBytes }),
  host: Type.String({ maxLength: DEVICE_LIMITS.hostBytes }),
  address: Type.String({ maxLength: MAX_ADDRESS_CHARS })
}
const Decision = Type.Union([
  Type.Null(),
  Type.Object({ name: Type.Enum(['denied']) }),
  Type.Object({
    name: Type.Enum(['approved']),
    ...Grant,
    mark: Type.String({ pattern: '^[A-Za-z0-9_-]{12}$' })
  })
])
const Waiting = Type.Object({
  hash: Hash,
  code: Type.String({ pattern: `^[${USER_CODE_LETTERS}]{${USER_CODE_CHARS}}$` }),
  ...Origin,
  askedAt: Time,
  expiresAt: Time,
  decision: Decision
})
const SignedIn = Type.Object({
  id: DeviceId,
  ...Origin,
  ...Grant,
  since: Time,
  usedAt: Time,
  refreshHash: Hash
})
const Ended = Type.Object({ id: DeviceId, until: Time })

/** Content of `devices.json` and of a fleet's record: no code and no token, only their hashes. */
const DeviceRecord = Type.Object({
  version: Type.Enum([VERSION]),
  /** Signs codes and tokens. */
  secret: Hash,
  waiting: Type.Array(Waiting, { maxItems: DEVICE_LIMITS.pending }),
  devices: Type.Array(SignedIn, { maxItems: DEVICE_LIMITS.devices }),
  ended: Type.Array(Ended, { maxItems: DEVICE_LIMITS.ended }),
  refusedUntil: Time
})

export type DeviceReading =
  | { readonly name: 'state'; readonly state: DeviceState }
  /** Written by a newer version of this program. */
  | { readonly name: 'newer' }
  | { readonly name: 'damaged' }

/** Never throws. */
export function readDeviceRecord(text: string): DeviceReading {
  const value = text.length > MAX_DEVICE_RECORD_BYTES ? undefined : parseJson(text)
  const { version } = asJsonObject(value) ?? {}
  if (typeof version === 'number' && version > VERSION) return { name: 'newer' }
  if (!Check(DeviceRecord, value)) return { name: 'damaged' }
  const { secret, refusedUntil } = value
  const state = {
    secret,
    waiting: new Map(value.waiting.map(({ hash, ...device }) => [hash, device])),
    devices: new Map(value.devices.map((device) => [device.id, device])),
    ended: new Map(value.ended.map(({ id, until }) => [id, until])),
    refusedUntil
  }
  return { name: 'state', state }
}

export function writeDeviceRecord(state: DeviceState): string {
  const { secret, refusedUntil } = state
  return JSON.stringify({
    version: VERSION,
    secret,
    waiting: Array.from(state.waiting, ([hash, device]) => ({ hash, ...device })),
    devices: [...state.devices.values()],
    ended: Array.from(state.ended, ([id, until]) => ({ id, until })),
    refusedUntil
  })
}
