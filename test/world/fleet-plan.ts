import { Chance } from './chance.ts'

export const ENGINE_PORT = 6379

/** Two gateways and a Valkey. */
export interface FleetPlan {
  readonly gateways: number
  readonly leaseS: number
  /** Key that an operator revokes, its gateway, and when. Virtual ms after the clients have begun; `null` for none. */
  readonly revocation: Revocation | null
}

export interface Revocation {
  readonly key: number
  readonly place: number
  readonly at: number
}

const PART = 0.25
const SECRET = 'secret-of-the-fleet-of-the-world'

/** A part of the worlds have one; drawn apart, so that nothing else of them changes. */
export function drawFleet(seed: number, keys: number): FleetPlan | null {
  const chance = Chance.for(seed, 'fleet')
  if (!chance.isTrue(PART)) return null
  const leaseS = chance.pick([300, 1_800, 1_800])
  const at = chance.between(10_000, 300_000)
  const place = Math.floor(chance.random() * 2)
  return { gateways: 2, leaseS, revocation: keys > 1 ? { key: keys - 1, place, at } : null }
}

export function fleetSettings({ gateways, leaseS }: FleetPlan): Readonly<Record<string, string>> {
  return {
    FLEET_URL: `redis://127.0.0.1:${ENGINE_PORT}`,
    FLEET_REPLICAS: String(gateways),
    FLEET_LEASE: String(leaseS),
    FLEET_SECRET: SECRET
  }
}
