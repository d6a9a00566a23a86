import { setTimeout as delay } from 'node:timers/promises'
import type { ChaosGateway } from './chaos-gateway.ts'
import type { Random } from './random.ts'

/** Workers die for a while, then live long enough to be forgiven; else they would be replaced ever more slowly. */
const CYCLE_S = { killing: 20, peaceful: 40 }

/** Kills workers with SIGKILL, one now and then: most while they serve, some while they start or leave. */
export class WorkerKiller {
  readonly #random: Random
  readonly #beforeKill: () => Promise<unknown>
  #kills = 0

  /** `beforeKill` is for those who have to know of a death in time. */
  constructor(random: Random, beforeKill: () => Promise<unknown>) {
    this.#random = random
    this.#beforeKill = beforeKill
  }

  get kills(): number {
    return this.#kills
  }

  /** Waits for a while, then kills one unless it is time for peace. */
  async act(gateway: ChaosGateway, elapsedS: () => number): Promise<void> {
    await delay(this.#random.between(1500, 4500))
    const isAnyone = this.#random.chance(0.25)
    const pid = this.#random.pick(isAnyone ? gateway.childPids : gateway.workerPids)
    const isPeaceful = elapsedS() % (CYCLE_S.killing + CYCLE_S.peaceful) > CYCLE_S.killing
    if (isPeaceful || pid === undefined) return
    await this.#beforeKill()
    try {
      process.kill(pid, 'SIGKILL')
      this.#kills += 1
    } catch {
      // It has ended already.
    }
  }
}
