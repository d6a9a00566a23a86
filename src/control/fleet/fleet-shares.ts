import { join } from 'node:path'
import type { Config } from '../../config/settings.ts'
import type { FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'
import type { KeyControl } from '../key-control.ts'
import { FleetItems } from './fleet-items.ts'
import { FleetKeys } from './fleet-keys.ts'
import { FleetLimits, type FleetLimitsOptions } from './fleet-limits.ts'

export interface FleetSharesOptions
  extends Pick<FleetLimitsOptions, 'member' | 'replicas' | 'status' | 'incs'> {
  readonly config: Config
  readonly records: FleetRecords
  readonly seal: FleetSeal
  readonly keys: Pick<KeyControl, 'look' | 'allowances'>
  readonly onChange: () => void
  readonly log: Logger
}

export class FleetShares {
  readonly #items: FleetItems
  readonly #keys: FleetKeys
  readonly #limits: FleetLimits

  constructor(options: FleetSharesOptions) {
    const { config, records, seal, member, replicas, keys, log } = options
    const { stateDir } = config.credentials
    const { storeMaxBytes, storeMaxAgeMs } = config.responses
    this.#items = new FleetItems({
      records,
      seal,
      folder: join(stateDir, 'responses'),
      member,
      // All gateways together may store as much in Valkey as one on its disk.
      limits: () => ({ maxBytes: storeMaxBytes / replicas, maxAgeMs: storeMaxAgeMs }),
      log
    })
    this.#keys = new FleetKeys({
      records,
      seal,
      stateDir,
      onWritten: () => keys.look(),
      onChange: options.onChange,
      log
    })
    this.#limits = new FleetLimits({ ...options, allowances: keys.allowances })
  }

  async start(): Promise<void> {
    this.#items.listen()
    await this.#keys.start()
  }

  get problem(): string | null {
    return this.#keys.problem
  }

  /** Shares the last answers as far as Valkey takes them in time. */
  async close(patienceMs: number): Promise<void> {
    await this.#items.settle(patienceMs)
    this.#items.close()
    this.#keys.close()
    this.#limits.close()
  }
}
