import {
  type FleetState,
  floorOf,
  permitsOf,
  grantableIn,
  sharesOf,
  sumOfLeases
} from './fleet-state.ts'

/** Connections that others need from a member. */
export interface FleetDemand {
  readonly permits: number
  readonly urgent: number
}

export const NO_DEMAND: FleetDemand = { permits: 0, urgent: 0 }

/** Idle permits go to waiters; those above the share also to members below theirs; after a lowered limit to none. */
export function demandOn(state: FleetState, own: string, lease: number): FleetDemand {
  const shares = sharesOf(state)
  const share = shares.get(own) ?? 0
  let wanted = 0
  let lacking = 0
  for (const [inc, entry] of Object.entries(state.members)) {
    if (inc === own || entry.isQuiet) continue
    wanted += entry.want
    lacking += Math.min(entry.want, Math.max(0, (shares.get(inc) ?? 0) - permitsOf(entry)))
  }
  const owed = owedBy(own, state, shares)
  const urgent = Math.min(lease, owed + Math.min(Math.max(0, lease - share), lacking))
  const idle = Math.min(wanted, Math.max(0, lease - floorOf(share)))
  return { permits: Math.max(urgent, idle), urgent }
}

/** Part of a shrink that a member must return, in proportion to its excess over its share. */
function owedBy(own: string, state: FleetState, shares: ReadonlyMap<string, number>): number {
  const over = sumOfLeases(state.members) - grantableIn(state)
  if (over <= 0) return 0
  let excesses = 0
  let excess = 0
  for (const [inc, entry] of Object.entries(state.members)) {
    const more = Math.max(0, permitsOf(entry) - (shares.get(inc) ?? 0))
    excesses += more
    if (inc === own) excess = more
  }
  return excesses === 0 ? 0 : Math.ceil((over * excess) / excesses)
}
