import type { FleetMemberStatus, FleetStatus } from '../shared/fleet-status.ts'
import { eraNumber, type FleetState, grantableIn, permitsOf, sumOfLeases } from './fleet-state.ts'

export type RegisterView = Pick<
  FleetStatus,
  'phase' | 'era' | 'maxConnections' | 'free' | 'replicas' | 'members' | 'awaited'
>

export function viewOf(state: FleetState | null): RegisterView {
  if (state === null) return NOTHING_SEEN
  const { phase, era, max, replicas, members, awaited } = state
  return {
    phase,
    era: eraNumber(era),
    maxConnections: max,
    free: Math.max(0, grantableIn(state) - sumOfLeases(members)),
    replicas,
    members: Object.values(members).map(toMember).toSorted(byName),
    awaited: [...new Set(Object.values(awaited))].toSorted()
  }
}

const NOTHING_SEEN: RegisterView = {
  phase: null,
  era: null,
  maxConnections: 0,
  free: 0,
  replicas: 0,
  members: [],
  awaited: []
}

function toMember(entry: FleetState['members'][string]): FleetMemberStatus {
  const { name, want, isQuiet } = entry
  return { name, connections: permitsOf(entry), waiting: want, isSilent: isQuiet }
}

function byName(one: FleetMemberStatus, other: FleetMemberStatus): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0
}
