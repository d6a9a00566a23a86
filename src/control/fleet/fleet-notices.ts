import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { FleetRefusal } from '../../fleet/fleet-news.ts'
import { type FleetState, MAX_MEMBERS } from '../../fleet/fleet-state.ts'
import type { Logger } from '../../observe/logger.ts'
import type { FleetTimes, Instant } from '../../shared/elapsed.ts'

export interface FleetNoticesOptions {
  readonly log: Logger
  readonly times: Pick<FleetTimes, 'closesMs'>
  readonly own: () => { readonly max: number; readonly replicas: number }
}

const ALARM_MS = 10_000

export class FleetNotices {
  readonly #options: FleetNoticesOptions
  #heardAt = performance.now()
  #isAlarmed = false
  #era = ''
  #differences = ''

  constructor(options: FleetNoticesOptions) {
    this.#options = options
  }

  get isAlarmed(): boolean {
    return this.#isAlarmed
  }

  onHeard(): void {
    this.#heardAt = performance.now()
  }

  onProblem(core: FleetCore, now: Instant, problem: string | null): void {
    const { log } = this.#options
    const { state } = core
    const facts = { phase: state?.phase, era: state?.era, size: core.size(now) }
    if (problem === null) log.info(facts, 'serving as a member of the fleet')
    else log.warn({ ...facts, problem }, 'not serving in the fleet')
  }

  /** Records that cannot be read or written although Valkey answers. */
  onUnshared(unshared: readonly string[]): void {
    const { log } = this.#options
    if (unshared.length > 0) log.warn({ records: unshared }, UNSHARED)
    else log.info('all records are shared with the fleet again')
  }

  look({ state }: FleetCore): void {
    this.#noteContact()
    if (state === null) return
    this.#noteEra(state)
    this.#noteDifferences(state)
  }

  #noteEra({ era, phase, awaited }: FleetState): void {
    if (era === this.#era) return
    if (this.#era !== '') {
      const facts = { era, phase, awaited: Object.values(awaited) }
      const because = 'Valkey was restarted, emptied or written to by another program'
      this.#options.log.warn(facts, `the fleet has begun a new era: ${because}`)
    }
    this.#era = era
  }

  #noteDifferences({ members }: FleetState): void {
    const { max, replicas } = this.#options.own()
    const others = Object.values(members).filter(
      (one) => one.max !== max || one.replicas !== replicas
    )
    const told = others.map(({ name, ...one }) => `${name} ${one.max} ${one.replicas}`).toSorted()
    const differences = [max, replicas, ...told].join('\n')
    if (differences === this.#differences) return
    this.#differences = differences
    if (others.length === 0) return
    const facts = {
      maxConnections: max,
      replicas,
      others: others.map((one) => ({
        name: one.name,
        maxConnections: one.max,
        replicas: one.replicas
      }))
    }
    this.#options.log.warn(
      facts,
      'gateways of the fleet have different settings: the smallest HTTP_MAX_CONNECTIONS and the largest FLEET_REPLICAS apply'
    )
  }

  #noteContact(): void {
    const silentMs = performance.now() - this.#heardAt
    if (silentMs >= ALARM_MS === this.#isAlarmed) return
    this.#isAlarmed = silentMs >= ALARM_MS
    const { log, times } = this.#options
    if (!this.#isAlarmed) log.info("the fleet's Valkey answers again")
    else {
      const facts = { silentMs: Math.round(silentMs), closesAfterMs: times.closesMs }
      log.error(
        facts,
        "the fleet's Valkey does not answer: no connections are assigned, and after the lease none are served"
      )
    }
  }
}

const UNSHARED =
  "the fleet's Valkey answers, but these records cannot be read or written: each gateway continues with its own share. Check its memory (maxmemory) and the permissions of its user (docs/fleet.md)"

export const REFUSALS: Readonly<Record<FleetRefusal, string>> = {
  newer: 'The fleet runs a newer version of this program. Update this gateway.',
  foreign:
    'The fleet has a different FLEET_SECRET. It must be the same for all gateways of FLEET_NAME.',
  name: 'Another running gateway of the fleet has the same FLEET_MEMBER. Each needs its own name.',
  full: `The fleet already has ${MAX_MEMBERS} members.`
}
