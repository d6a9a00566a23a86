import { randomUUID } from 'node:crypto'
import type { FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'
import type { FleetTimes } from '../../shared/elapsed.ts'
import type { AccountControl } from '../account-control.ts'
import type { PlanControl } from '../plan-control.ts'
import { SharedAccount } from './shared-account.ts'
import { SharedRecords } from './shared-records.ts'
import { SharedSums } from './shared-sums.ts'
import { shareUsage } from './shared-usage.ts'

export interface UpstreamKnowledge {
  readonly account: AccountControl
  readonly plan: PlanControl
}

export interface SharedUpstreamOptions {
  readonly knows: UpstreamKnowledge
  readonly records: FleetRecords
  readonly seal: FleetSeal
  readonly times: FleetTimes
  readonly name: string
  readonly log: Logger
}

/** Exchanges the fleet's knowledge of the upstream: verdicts and figures of the account. */
export class SharedUpstream {
  readonly #hub: SharedRecords

  constructor(options: SharedUpstreamOptions) {
    const { knows, records, seal, times, name, log } = options
    const { account, plan } = knows
    const id = randomUUID()
    const hub = new SharedRecords({ records, seal, log, paceMs: times.beatMs / 2 })
    this.#hub = hub
    account.share(new SharedAccount({ id, account, hub }), shareUsage({ records, seal }))
    new SharedSums({ name, id, plan, hub }).start()
  }

  async close(patienceMs: number): Promise<void> {
    await this.#hub.settle(patienceMs)
    this.#hub.close()
  }
}
