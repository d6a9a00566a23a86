import { floorOf } from '../../src/fleet/fleet-state.ts'
import { fleetTimes, type FleetTimes } from '../../src/shared/elapsed.ts'
import type { FleetPlan } from './fleet-plan.ts'
import type { WorldGateway } from './gateway.ts'
import type { World } from './world.ts'

/** After contact with Valkey is back, everything that depends on it is again as it should be. Virtual ms, as all below. */
const RECOVERY_MS = 15_000
/** Less than a lease that is left when the last beat was confirmed. */
const SLACK_MS = 5_000
/** In the words of each client API. */
const NOT_SERVING = /\bfleet\b/
const CANNOT_ASK = /gw_fleet_silent/i

/** What has happened to a fleet, and what may come of it (`docs/fleet.md`). */
export class WorldFleet {
  readonly #world: World
  readonly #times: FleetTimes
  readonly #gateways: readonly WorldGateway[]
  /** How often Valkey has forgotten something. */
  losses = 0
  /** Since when each gateway has not reached Valkey; those that reach it are left out. */
  readonly #awaySince = new Map<WorldGateway, number>()
  /** When contact was last wrong in any way, by gateway. */
  readonly #troubledAt = new Map<WorldGateway, number>()
  /** When each gateway was back that had been away for so long that it did not serve any more. */
  readonly #lapsedUntil = new Map<WorldGateway, number>()
  /** When a gateway was last killed. */
  #crashedAt = -Infinity

  constructor(
    world: World,
    { plan, gateways }: { readonly plan: FleetPlan; readonly gateways: readonly WorldGateway[] }
  ) {
    this.#world = world
    this.#times = fleetTimes(plan.leaseS * 1_000)
    this.#gateways = gateways
  }

  /** Contact is wrong from now on, or was until now. */
  onTrouble(gateway: WorldGateway): void {
    this.#troubledAt.set(gateway, this.#world.now)
  }

  onAway(gateway: WorldGateway): void {
    this.onTrouble(gateway)
    if (!this.#awaySince.has(gateway)) this.#awaySince.set(gateway, this.#world.now)
  }

  onBack(gateway: WorldGateway): void {
    if (this.#hasLapsed(gateway)) this.#lapsedUntil.set(gateway, this.#world.now)
    this.onTrouble(gateway)
    this.#awaySince.delete(gateway)
  }

  onCrash(gateway: WorldGateway): void {
    this.#crashedAt = this.#world.now
    this.onTrouble(gateway)
  }

  /** Whether all have been in contact with Valkey for long enough, and alive. */
  isCalm(forMs = RECOVERY_MS): boolean {
    return this.#gateways.every((one) => this.isCalmAt(one, forMs))
  }

  isCalmAt(gateway: WorldGateway, forMs = RECOVERY_MS): boolean {
    const { now } = this.#world
    if (!gateway.isServing || this.#awaySince.has(gateway)) return false
    const troubledAt = this.#troubledAt.get(gateway) ?? -Infinity
    return now - Math.max(troubledAt, this.#crashedAt) >= forMs
  }

  /** Whether anything has been wrong since then that may leave a renewal in doubt. */
  wasTroubledSince(at: number): boolean {
    return [...this.#troubledAt.values()].some((troubledAt) => troubledAt >= at)
  }

  /** Whether a gateway may say that it does not serve as a member, or cannot ask the others for what they have stored. */
  mayNotServe(port: number, body: string): boolean {
    if (CANNOT_ASK.test(body)) return !this.isCalm()
    const gateway = this.#gateways.find((one) => one.port === port)
    if (gateway === undefined || !NOT_SERVING.test(body)) return false
    const isBack = this.#world.now - (this.#lapsedUntil.get(gateway) ?? -Infinity) < RECOVERY_MS
    const hasRestarted = gateway.starts > 1 && !this.isCalmAt(gateway)
    return this.#hasLapsed(gateway) || isBack || hasRestarted
  }

  /** Whether it has had no contact for so long that it must not serve any more. */
  #hasLapsed(gateway: WorldGateway): boolean {
    const { now } = this.#world
    const awaySince = this.#awaySince.get(gateway) ?? now
    return now - awaySince >= this.#times.closesMs - SLACK_MS
  }

  /** Permits that a gateway has to give to others who wait. */
  spareOf(idle: number, most: number): number {
    const share = Math.ceil(most / this.#gateways.length)
    return Math.max(0, idle - floorOf(share))
  }
}
