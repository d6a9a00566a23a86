import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { EngineCounts } from '../../fleet/fleet-engine.ts'
import { viewOf } from '../../fleet/fleet-view.ts'
import type { MetricsSnapshot } from '../../observe/snapshots.ts'
import { elapsedMs, type Instant, instantNow } from '../../shared/elapsed.ts'
import type { FleetStanding, OwnStanding } from '../../shared/fleet-standing.ts'

export interface FleetFiguresOptions {
  /** `FLEET_NAME` */
  readonly name: string
  /** This gateway's. */
  readonly member: string
  /** Who renews the sign-in of all, as far as is known. */
  readonly holder: () => string | null
  /** Kinds of records that cannot be shared now. */
  readonly unshared: () => readonly string[]
  /** `null` before there is an engine. */
  readonly counts: () => EngineCounts | null
}

/** What is told of this gateway's membership, and counted. Costs nothing but a comparison while nobody asks. */
export class FleetFigures {
  readonly #options: FleetFiguresOptions
  #standing: FleetStanding
  #sentAt: Instant | null = null
  /** Of incarnations that are over: totals must not go back. */
  #before = { granted: 0, returned: 0 }
  #last = { inc: '', granted: 0, returned: 0 }

  constructor(options: FleetFiguresOptions) {
    this.#options = options
    const { name, member } = options
    this.#standing = {
      name,
      member,
      stage: 'joining',
      problem: null,
      unshared: [],
      holder: null,
      ...viewOf(null)
    }
  }

  /** As of now. Returns it, for those who are told. */
  note(core: FleetCore, now: Instant, problem: string | null): FleetStanding {
    const { name, member } = this.#options
    this.#noteTotals(core)
    this.#sentAt = core.sentAt
    const stage = core.stage(now)
    const [holder, unshared] = [this.#options.holder(), this.#options.unshared()]
    this.#standing = { name, member, stage, problem, unshared, holder, ...viewOf(core.state) }
    return this.#standing
  }

  #noteTotals({ inc, state }: FleetCore): void {
    if (inc !== this.#last.inc) {
      // What an incarnation had is given back when it is over: its connections were closed.
      this.#before.granted += this.#last.granted
      this.#before.returned += this.#last.granted
      this.#last = { inc, granted: 0, returned: 0 }
    }
    const { granted, returned } = state?.members[inc] ?? this.#last
    this.#last = {
      inc,
      granted: Math.max(granted, this.#last.granted),
      returned: Math.max(returned, this.#last.returned)
    }
  }

  get standing(): FleetStanding {
    return this.#standing
  }

  get own(): OwnStanding {
    const { granted, returned } = this.#last
    return {
      contactMs: this.#sentAt === null ? null : elapsedMs(this.#sentAt, instantNow()),
      granted: this.#before.granted + granted,
      returned: this.#before.returned + returned
    }
  }

  /** As prom-client writes its own, to be merged with those. */
  snapshot(): MetricsSnapshot {
    const { stage, phase, era, free, replicas, members, awaited } = this.#standing
    const { holder, member, unshared } = this.#standing
    const { contactMs, granted, returned } = this.own
    const { commands, failures } = this.#options.counts() ?? { commands: 0, failures: 0 }
    const silent = members.filter(({ isSilent }) => isSilent).length
    const standsAs = stage === 'serving' && phase !== null ? phase : stage
    return [
      gauge('fleet_replicas', 'Gateways that the fleet should have.', { '': replicas }),
      gauge(
        'fleet_members',
        'Gateways of the fleet, by state.',
        { present: members.length - silent, silent, awaited: awaited.length },
        'state'
      ),
      gauge(
        'fleet_phase',
        '1 for how this gateway stands in its fleet.',
        Object.fromEntries(PHASES.map((one) => [one, one === standsAs ? 1 : 0])),
        'phase'
      ),
      gauge('fleet_era', 'Goes up whenever the engine has lost what it knew.', { '': era ?? 0 }),
      gauge('fleet_lease', 'Connections that this gateway may have.', { '': granted - returned }),
      gauge('fleet_free', 'Connections in no lease.', { '': free }),
      counter('fleet_granted_total', 'Connections granted to this gateway.', granted),
      counter('fleet_returned_total', 'Connections that it gave back.', returned),
      gauge(
        'fleet_contact_seconds',
        'Since the last confirmed sign of life, from which the lease counts; none before the first.',
        contactMs === null ? {} : { '': contactMs / 1000 }
      ),
      gauge('fleet_unshared', 'Kinds of records that cannot be read or written now.', {
        '': unshared.length
      }),
      gauge('fleet_sign_in_holder', '1 where this gateway renews the sign-in of all.', {
        '': holder === member ? 1 : 0
      }),
      counter('fleet_engine_commands_total', 'Commands sent to the engine.', commands),
      counter('fleet_engine_failures_total', 'Of these, those without a good answer.', failures)
    ]
  }
}

const PHASES = ['joining', 'learning', 'open', 'closing', 'cut'] as const

/** `values` by that of its one label; '' where there is none. */
function gauge(name: string, help: string, values: Readonly<Record<string, number>>, label = '') {
  return {
    name: `kiro_gateway_${name}`,
    help,
    type: 'gauge',
    aggregator: 'sum',
    values: Object.entries(values).map(([key, value]) => ({
      labels: label === '' ? {} : { [label]: key },
      value
    }))
  }
}

function counter(name: string, help: string, value: number) {
  const values = [{ labels: {}, value }]
  return { name: `kiro_gateway_${name}`, help, type: 'counter', aggregator: 'sum', values }
}
