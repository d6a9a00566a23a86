import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from '../../config/settings.ts'
import type { FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'
import type { FleetTimes } from '../../shared/elapsed.ts'
import type { DeviceControl } from '../device-control.ts'
import type { KeyControl } from '../key-control.ts'
import type { PanelSessions } from '../panel-sessions.ts'
import type { Primary } from '../primary.ts'
import { FleetDevices } from './fleet-devices.ts'
import { FleetItems } from './fleet-items.ts'
import { FleetKeys } from './fleet-keys.ts'
import { FleetLimits, type FleetLimitsOptions } from './fleet-limits.ts'
import { SharedAccount } from './shared-account.ts'
import { sharedCounts } from './shared-counts.ts'
import { SharedRecords } from './shared-records.ts'
import { sharedSessions } from './shared-sessions.ts'
import { sharedSums } from './shared-sums.ts'
import { shareUsage } from './shared-usage.ts'

export interface FleetSharesOptions
  extends Pick<FleetLimitsOptions, 'member' | 'replicas' | 'status' | 'incs'> {
  readonly config: Config
  readonly records: FleetRecords
  readonly seal: FleetSeal
  readonly keys: Pick<KeyControl, 'look' | 'applyEnds' | 'allowances'>
  readonly devices: Pick<DeviceControl, 'share'>
  readonly sessions: Pick<PanelSessions, 'ended' | 'adopt' | 'share'>
  readonly knows: Pick<Primary, 'account' | 'plan' | 'tokens' | 'shareItems'>
  readonly times: FleetTimes
  readonly onChange: () => void
  readonly log: Logger
}

/** Shares stored answers, keys and their limits, ended sessions, verdicts and figures of the account with the fleet. */
export class FleetShares {
  readonly #options: FleetSharesOptions
  readonly #items: FleetItems
  readonly #keys: FleetKeys
  readonly #limits: FleetLimits
  readonly #hub: SharedRecords

  constructor(options: FleetSharesOptions) {
    this.#options = options
    const { config, records, seal, member, replicas, keys, times, log } = options
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
      onMerged: (shared) => keys.applyEnds(shared),
      onChange: options.onChange,
      log
    })
    this.#limits = new FleetLimits({ ...options, allowances: keys.allowances })
    this.#hub = new SharedRecords({ records, seal, log, paceMs: times.beatMs / 2 })
  }

  async start(): Promise<void> {
    this.#items.listen()
    this.#options.knows.shareItems(this.#items)
    await this.#keys.start()
    const { records, seal, member, knows, devices, sessions, log } = this.#options
    void devices.share(new FleetDevices({ records, seal, log })) // never rejects
    const { account, plan, tokens } = knows
    const [id, hub] = [randomUUID(), this.#hub]
    account.share(new SharedAccount({ id, account, hub }), shareUsage({ records, seal }))
    plan.share(hub.add(sharedSums({ name: member, id }, plan)))
    tokens.onChange(hub.add(sharedCounts(tokens)))
    sessions.share(hub.add(sharedSessions(sessions)))
  }

  get problem(): string | null {
    return this.#keys.problem
  }

  /** Shares the last verdicts and answers as far as Valkey takes them in time. */
  async close(leftMs: () => number): Promise<void> {
    await this.#hub.settle(leftMs())
    this.#hub.close()
    await this.#items.settle(leftMs())
    this.#options.knows.shareItems(null)
    this.#items.close()
    this.#keys.close()
    this.#limits.close()
  }
}
