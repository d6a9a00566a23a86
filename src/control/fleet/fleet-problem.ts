import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { FleetRefusal } from '../../fleet/fleet-news.ts'
import { MAX_MEMBERS } from '../../fleet/fleet-state.ts'
import type { Instant } from '../../shared/elapsed.ts'

export function fleetProblem(core: FleetCore, now: Instant): string | null {
  const stage = core.stage(now)
  const { state } = core
  if (stage === 'joining') {
    return state === null
      ? "This gateway is waiting for its fleet's Valkey."
      : 'This gateway is waiting to join its fleet.'
  }
  if (stage === 'cut' || stage === 'closing') {
    return 'This gateway has lost contact with its fleet. It serves again once contact is restored.'
  }
  if (state?.phase === 'learning' && core.size(now) === 0) {
    const { members, replicas, awaited } = state
    const here = new Set(Object.values(members).map(({ name }) => name)).size
    const missing = Object.keys(awaited).length
    const gone = missing === 0 ? '' : `, and there is no sign of ${missing} that held connections`
    return `The fleet is waiting for all gateways of FLEET_REPLICAS: ${here} of ${replicas} are present${gone}.`
  }
  return null
}

export const REFUSALS: Readonly<Record<FleetRefusal, string>> = {
  newer: 'The fleet runs a newer version of this program. Update this gateway.',
  foreign:
    'The fleet has a different FLEET_SECRET. It must be the same for all gateways of FLEET_NAME.',
  name: 'Another running gateway of the fleet has the same FLEET_MEMBER. Each needs its own name.',
  full: `The fleet already has ${MAX_MEMBERS} members.`
}
