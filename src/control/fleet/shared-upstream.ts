import { randomUUID } from 'node:crypto'
import type { FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { Logger } from '../../observe/logger.ts'
import type { FleetTimes } from '../../shared/elapsed.ts'
import type { AccountControl } from '../account-control.ts'
import type { Budget } from '../budget/budget.ts'
import type { LessonsDesk } from '../desks/lessons-desk.ts'
import type { PlanControl } from '../plan-control.ts'
import { SharedAccount } from './shared-account.ts'
import { SharedLessons } from './shared-lessons.ts'
import { SharedPace } from './shared-pace.ts'
import { SharedRecords } from './shared-records.ts'
import { SharedSums } from './shared-sums.ts'
import { shareUsage } from './shared-usage.ts'

/** Knowledge of the upstream that gateways share. */
export interface UpstreamKnowledge {
  readonly budget: Budget
  readonly account: AccountControl
  readonly lessons: LessonsDesk
  readonly plan: PlanControl
}

export interface SharedUpstreamOptions {
  readonly knows: UpstreamKnowledge
  readonly records: FleetRecords
  readonly seal: FleetSeal
  readonly times: FleetTimes
  readonly name: string
  /** `FLEET_REPLICAS` */
  readonly replicas: number
  readonly seenReplicas: () => number
  /** A process of this gateway has run before. */
  readonly hasPredecessor: boolean
  readonly log: Logger
}

/** Exchanges the fleet's knowledge of the upstream: verdicts, pace, ways. */
export class SharedUpstream {
  readonly #hub: SharedRecords
  readonly #pace: SharedPace

  constructor(options: SharedUpstreamOptions) {
    const { knows, records, seal, times, log } = options
    const { name, replicas, seenReplicas, hasPredecessor } = options
    const { budget, account, lessons, plan } = knows
    const id = randomUUID()
    const hub = new SharedRecords({ records, seal, log, paceMs: times.beatMs / 2 })
    this.#hub = hub
    account.share(new SharedAccount({ id, account, hub }), shareUsage({ records, seal }))
    const termMs = 15 * times.beatMs
    const own = { id, name, replicas, seenReplicas, hasPredecessor }
    this.#pace = new SharedPace({ ...own, termMs, budget, hub })
    new SharedLessons({ lessons, hub, gapMs: termMs }).start()
    new SharedSums({ name, id, plan, hub }).start()
  }

  /** Requests that may be sent from here within a minute. */
  get pace(): number {
    return this.#pace.limit
  }

  /** The budget has changed in some way. */
  onRecorded(): void {
    this.#pace.onRecorded()
  }

  /** Nothing is asked of the upstream any more; what was said last has so long to get out. */
  async close(patienceMs: number): Promise<void> {
    this.#pace.leave()
    await this.#hub.settle(patienceMs)
    this.#hub.close()
  }
}
