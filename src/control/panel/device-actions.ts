import {
  type ApprovedKey,
  DEVICE_REFUSALS,
  type DeviceAnswer,
  type DeviceRefusal,
  type DeviceShown,
  type PendingDevice
} from '../../ipc/devices.ts'
import type { PanelAnswer, PanelCall, PanelUser } from '../../ipc/panel.ts'
import { findInForce } from '../../keys/key-changes.ts'
import type { KnownKeys, NamedKey } from '../../keys/key.ts'
import { toIso } from '../../shared/dates.ts'
import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject } from '../../shared/json.ts'
import type { KeyActions } from './key-actions.ts'
import { answer, givenText, panelError } from './panel-answer.ts'

/** Sign-ins of devices, as the primary knows them; each change writes itself into the log of changes. */
export interface PanelDevices {
  readonly list: () => Promise<{
    readonly pending: readonly PendingDevice[]
    readonly devices: readonly DeviceShown[]
  }>
  readonly answer: (
    call:
      | {
          readonly name: 'approve'
          readonly code: string
          readonly grant: ApprovedKey
          readonly by: PanelUser
        }
      | { readonly name: 'deny'; readonly code: string; readonly by: PanelUser }
  ) => Promise<DeviceAnswer>
  /** Why no key may be made for the device with this code; `null` if one may. */
  readonly whyNoNewKey: (code: string, by: PanelUser) => Promise<DeviceRefusal | null>
  readonly end: (id: string, by: PanelUser) => Promise<DeviceShown | null>
}

export interface DeviceActionsOptions {
  readonly devices: PanelDevices
  readonly keys: { readonly knownKeys: KnownKeys }
  readonly keyActions: Pick<KeyActions, 'make' | 'unmake' | 'toJson'>
}

/** Devices that wait for approval and those that have signed in: shown, approved, denied and signed out. */
export class DeviceActions {
  readonly #options: DeviceActionsOptions

  constructor(options: DeviceActionsOptions) {
    this.#options = options
  }

  async list(): Promise<PanelAnswer> {
    const { pending, devices } = await this.#known(() => this.#options.devices.list())
    return answer({ pending: pending.map(pendingJson), devices: devices.map(deviceJson) })
  }

  async approve(call: PanelCall): Promise<PanelAnswer> {
    const { body, user } = call
    const code = codeIn(body)
    const given = body['new']
    if (given !== undefined && given !== null) return this.#approveNew(call, code, given)
    const name = givenText(body, 'key')
    const key = name === null ? null : this.#find(name)
    const grant = key === null ? { open: true as const } : { key: key.id }
    const device = await this.#decide({ name: 'approve', code, grant, by: user })
    return answer({ device: pendingJson(device), key: await this.#keyJson(key) })
  }

  async deny({ body, user }: PanelCall): Promise<PanelAnswer> {
    const device = await this.#decide({ name: 'deny', code: codeIn(body), by: user })
    return answer({ device: pendingJson(device) })
  }

  async end({ params, user }: PanelCall): Promise<PanelAnswer> {
    const ended = await this.#known(() => this.#options.devices.end(params['id'] ?? '', user))
    if (ended === null) throw panelError('GW_NOT_FOUND', 'There is no such device.')
    const sentence =
      'The device is signed out: its next request is refused. Running answers end normally.'
    return answer({ device: deviceJson(ended), sentence })
  }

  /** Makes the key only for a device that waits, and takes it back if it cannot be approved then. */
  async #approveNew(call: PanelCall, code: string, given: unknown): Promise<PanelAnswer> {
    const { body, user } = call
    const members = asJsonObject(given)
    if (members === null)
      throw panelError('GW_FIELD_INVALID', '"new" holds the name and limits of a key.', 'new')
    if (givenText(body, 'key') !== null)
      throw panelError('GW_FIELD_INVALID', 'Send either "key" or "new", not both.', 'key')
    await this.#requireWaiting(code, user)
    const { key, more } = await this.#options.keyActions.make(call, members)
    try {
      const device = await this.#decide({ name: 'approve', code, grant: { key: key.id }, by: user })
      return answer({ device: pendingJson(device), key: await this.#keyJson(key), ...more })
    } catch (cause) {
      await this.#options.keyActions.unmake(call, key)
      throw cause
    }
  }

  /** @throws {GatewayError} GW_CONFLICT, GW_NOT_FOUND */
  async #requireWaiting(code: string, by: PanelUser): Promise<void> {
    const why = await this.#known(() => this.#options.devices.whyNoNewKey(code, by))
    if (why !== null) throw refusalOf({ name: 'refused', why })
  }

  async #decide(call: Parameters<PanelDevices['answer']>[0]): Promise<PendingDevice> {
    const decided = await this.#options.devices.answer(call)
    if (decided.name === 'decided') return decided.device
    throw refusalOf(decided)
  }

  /** @throws {GatewayError} GW_NOT_FOUND */
  #find(name: string): NamedKey {
    const { keys } = this.#options.keys.knownKeys
    const found = keys.find(({ id }) => id === name) ?? findInForce(keys, name)
    if (found !== undefined) return found
    throw panelError('GW_NOT_FOUND', `There is no key ${JSON.stringify(name.slice(0, 64))}.`, 'key')
  }

  async #keyJson(key: NamedKey | null): Promise<object | null> {
    return key === null ? null : this.#options.keyActions.toJson(key)
  }

  /** @throws {GatewayError} GW_DEVICES_UNSAVED */
  async #known<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (cause) {
      if (!(cause instanceof Error) || cause.name !== 'DeviceStoreError') throw cause
      throw panelError('GW_DEVICES_UNSAVED', cause.message)
    }
  }
}

function codeIn(body: JsonObject): string {
  const code = givenText(body, 'code')
  if (code !== null) return code
  throw panelError('GW_FIELD_INVALID', 'Send the "code" that the device shows.', 'code')
}

function refusalOf(refused: DeviceAnswer): GatewayError {
  if (refused.name === 'unavailable') return panelError('GW_DEVICES_UNSAVED', refused.message)
  if (refused.name !== 'refused') return new GatewayError('GW_INTERNAL', refused.name)
  const { why } = refused
  const code = why === 'unknown' ? 'GW_NOT_FOUND' : 'GW_CONFLICT'
  return panelError(code, DEVICE_REFUSALS[why], why === 'key' ? 'key' : 'code')
}

function pendingJson({ code, client, host, address, askedAt, expiresAt, state }: PendingDevice) {
  const [asked_at, expires_at] = [toIso(askedAt), toIso(expiresAt)]
  return { code, client, host, address, asked_at, expires_at, state }
}

function deviceJson(device: DeviceShown) {
  const { id, key, keyName: key_name, client, host, address, by } = device
  const [since, last_used_at] = [toIso(device.since), toIso(device.usedAt)]
  return { id, key, key_name, client, host, address, approved_by: by, since, last_used_at }
}
