import type { DeviceState } from '../../devices/device-core.ts'
import {
  MAX_DEVICE_RECORD_BYTES,
  readDeviceRecord,
  writeDeviceRecord
} from '../../devices/device-record.ts'
import {
  type FleetRecord,
  type FleetRecords,
  MAX_RECORD_LENGTH
} from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'
import { type DeviceStore, DeviceStoreError, type DeviceWrite } from '../devices/device-store.ts'
import { packedAside, unpacked } from './packed-text.ts'

export interface FleetDevicesOptions {
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly log: Pick<Logger, 'warn'>
}

const RECORD = 'devices'
const SEALED_FOR = 'v1|devices'
const AWAY =
  "The gateways of the fleet cannot share the sign-ins of devices now, because the fleet's Valkey does not answer. Try again."

/** Keeps the sign-ins of devices in one record of the fleet, which all gateways change by compare-and-set. */
export class FleetDevices implements DeviceStore {
  readonly #options: FleetDevicesOptions
  #rev = 0

  constructor(options: FleetDevicesOptions) {
    this.#options = options
  }

  async read(): Promise<DeviceState | null> {
    return this.#take(await this.#record())
  }

  async write(next: DeviceState): Promise<DeviceWrite> {
    const { records, seal } = this.#options
    const value = seal.seal(await packedAside(writeDeviceRecord(next)), SEALED_FOR)
    if (value.length > MAX_RECORD_LENGTH) {
      throw new DeviceStoreError(
        'The fleet has too many signed-in devices. Its operator has to sign some out.'
      )
    }
    try {
      const { isWritten, record } = await records.cas(RECORD, { rev: this.#rev, value })
      if (!isWritten) return { isWritten, found: this.#take(record) }
      this.#rev = record.rev
      return { isWritten }
    } catch {
      // It may have been written: steps that are taken once more give the same result.
      const record = await this.#record()
      const found = this.#take(record)
      return record.value === value ? { isWritten: true } : { isWritten: false, found }
    }
  }

  onNews(listener: () => void): () => void {
    return this.#options.records.onNews((name) => {
      if (name === null || name === RECORD) listener()
    })
  }

  async #record(): Promise<FleetRecord> {
    try {
      return await this.#options.records.read(RECORD)
    } catch (cause) {
      throw new DeviceStoreError(AWAY, { cause, isReported: true })
    }
  }

  /** @throws {DeviceStoreError} for a record of a newer version, which must not be overwritten */
  #take({ rev, value }: FleetRecord): DeviceState | null {
    const { seal, log } = this.#options
    this.#rev = rev
    if (value === null) return null
    const text = seal.open(value, SEALED_FOR)
    const reading =
      text === null
        ? ({ name: 'damaged' } as const)
        : readDeviceRecord(unpacked(text, MAX_DEVICE_RECORD_BYTES))
    switch (reading.name) {
      case 'state':
        return reading.state
      case 'newer':
        throw new DeviceStoreError(
          'Another gateway of the fleet is of a newer version, which keeps the sign-ins of devices. Its operator has to update this one.'
        )
      case 'damaged':
        log.warn(
          "the record of devices in the fleet's Valkey is not trusted and is rewritten; devices that only it had have to sign in again"
        )
        return null
    }
  }
}
