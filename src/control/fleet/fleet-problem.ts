import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { FleetRefusal } from '../../fleet/fleet-news.ts'
import { MAX_MEMBERS } from '../../fleet/fleet-state.ts'
import type { Instant } from '../../shared/elapsed.ts'

/** Why nothing can be served; `null` if it can. */
export function fleetProblem(core: FleetCore, now: Instant): string | null {
  const stage = core.stage(now)
  const { state } = core
  if (stage === 'joining') {
    return state === null
      ? 'This gateway waits for the engine of its fleet.'
      : 'This gateway waits to be taken into its fleet.'
  }
  if (stage === 'cut' || stage === 'closing') {
    return 'This gateway has not heard of its fleet for too long, and serves again when it has.'
  }
  if (state?.phase === 'learning' && core.size(now) === 0) {
    const { members, replicas, awaited } = state
    const here = new Set(Object.values(members).map(({ name }) => name)).size
    const missing = Object.keys(awaited).length
    const gone = missing === 0 ? '' : `, and ${missing} that had connections have not been heard of`
    return `The fleet waits until all of FLEET_REPLICAS have come: ${here} of ${replicas} are here${gone}.`
  }
  return null
}

/** Why this gateway cannot be a member, for its operator. */
export const REFUSALS: Readonly<Record<FleetRefusal, string>> = {
  newer: 'The fleet is run by a newer version of this program: update this gateway.',
  foreign:
    'The fleet has another FLEET_SECRET: it must be the same for all gateways of FLEET_NAME.',
  name: 'Another gateway of the fleet has the same FLEET_MEMBER and is alive: each needs a name of its own.',
  full: `The fleet has ${MAX_MEMBERS} members already.`
}
