import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { ValkeyStore } from '../../fleet/valkey-store.ts'
import { viewOf } from '../../fleet/fleet-view.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { elapsedMs, type Instant, instantNow } from '../../shared/elapsed.ts'
import type { FleetStatus, OwnFleetStatus } from '../../shared/fleet-status.ts'

export interface FleetFiguresOptions {
  readonly name: string
  readonly member: string
  readonly holder: () => string | null
  readonly unshared: () => readonly string[]
  readonly counts: () => ValkeyStore['counts'] | null
}

/** Figures of this gateway's membership; noting them costs only a comparison. */
export class FleetFigures {
  #metrics: ReturnType<typeof declare> | null = null
  readonly #options: FleetFiguresOptions
  #status: FleetStatus
  #sentAt: Instant | null = null
  /** Totals of past incarnations: they must not decrease. */
  #before = { granted: 0, returned: 0 }
  #last = { inc: '', granted: 0, returned: 0 }

  constructor(options: FleetFiguresOptions) {
    this.#options = options
    const { name, member } = options
    this.#status = {
      name,
      member,
      stage: 'joining',
      problem: null,
      unshared: [],
      holder: null,
      ...viewOf(null)
    }
  }

  note(core: FleetCore, now: Instant, problem: string | null): FleetStatus {
    const { name, member } = this.#options
    this.#noteTotals(core)
    this.#sentAt = core.sentAt
    const stage = core.stage(now)
    const [holder, unshared] = [this.#options.holder(), this.#options.unshared()]
    this.#status = { name, member, stage, problem, unshared, holder, ...viewOf(core.state) }
    return this.#status
  }

  #noteTotals({ inc, state }: FleetCore): void {
    if (inc !== this.#last.inc) {
      // A past incarnation has given everything back: its connections were closed.
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

  get status(): FleetStatus {
    return this.#status
  }

  get own(): OwnFleetStatus {
    const { granted, returned } = this.#last
    return {
      contactMs: this.#sentAt === null ? null : elapsedMs(this.#sentAt, instantNow()),
      granted: this.#before.granted + granted,
      returned: this.#before.returned + returned
    }
  }

  noteMetrics(metrics: Metrics): void {
    const { stage, phase, era, free, replicas, members, awaited } = this.#status
    const { holder, member, unshared } = this.#status
    const { contactMs, granted, returned } = this.own
    const { commands, failures } = this.#options.counts() ?? { commands: 0, failures: 0 }
    const silent = members.filter(({ isSilent }) => isSilent).length
    const standsAs = stage === 'serving' && phase !== null ? phase : stage
    this.#metrics ??= declare(metrics)
    const { counters, gauges } = this.#metrics
    gauges.replicas.set(replicas)
    gauges.members.set({ state: 'present' }, members.length - silent)
    gauges.members.set({ state: 'silent' }, silent)
    gauges.members.set({ state: 'awaited' }, awaited.length)
    for (const one of PHASES) gauges.phase.set({ phase: one }, one === standsAs ? 1 : 0)
    gauges.era.set(era ?? 0)
    gauges.lease.set(granted - returned)
    gauges.free.set(free)
    if (contactMs === null) gauges.contact.remove()
    else gauges.contact.set(contactMs / 1000)
    gauges.unshared.set(unshared.length)
    gauges.signInHolder.set(holder === member ? 1 : 0)
    for (const counter of Object.values(counters)) counter.reset()
    counters.granted.inc(granted)
    counters.returned.inc(returned)
    counters.commands.inc(commands)
    counters.failures.inc(failures)
  }
}

const PHASES = ['joining', 'learning', 'open', 'closing', 'cut'] as const

function declare(metrics: Metrics) {
  return {
    gauges: {
      replicas: metrics.gauge(
        'kiro_gateway_fleet_replicas',
        'Gateways that there should be (maximum).'
      ),
      members: metrics.gauge(
        'kiro_gateway_fleet_members',
        'Gateways: `present`, `silent` (not heard of for a while), `awaited` (may have connections, and has not come) (maximum).',
        ['state']
      ),
      phase: metrics.gauge(
        'kiro_gateway_fleet_phase',
        '1 for the phase of this gateway: `joining`, `learning`, `open`, `closing`, `cut`.',
        ['phase']
      ),
      era: metrics.gauge(
        'kiro_gateway_fleet_era',
        'Goes up when Valkey has lost what it knew (maximum).'
      ),
      lease: metrics.gauge('kiro_gateway_fleet_lease', 'Connections that this gateway may hold.'),
      free: metrics.gauge('kiro_gateway_fleet_free', 'Connections in no lease (maximum).'),
      contact: metrics.gauge(
        'kiro_gateway_fleet_contact_seconds',
        'Since the last confirmed sign of life, from which its lease counts; left out before the first.'
      ),
      unshared: metrics.gauge(
        'kiro_gateway_fleet_unshared',
        'Kinds of records (account, limits, usage …) that this gateway cannot read or write although Valkey answers.'
      ),
      signInHolder: metrics.gauge(
        'kiro_gateway_fleet_sign_in_holder',
        '1 if this gateway renews the sign-in for the fleet.'
      )
    },
    counters: {
      granted: metrics.counter(
        'kiro_gateway_fleet_granted_total',
        'Connections granted to this gateway.'
      ),
      returned: metrics.counter(
        'kiro_gateway_fleet_returned_total',
        'Connections that this gateway gave back.'
      ),
      commands: metrics.counter(
        'kiro_gateway_fleet_engine_commands_total',
        'Commands sent to Valkey.'
      ),
      failures: metrics.counter(
        'kiro_gateway_fleet_engine_failures_total',
        'Commands to Valkey that were refused, timed out or had no connection.'
      )
    }
  }
}
