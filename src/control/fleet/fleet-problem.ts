import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { Instant } from '../../shared/elapsed.ts'

/** Returns why a gateway of a fleet does not serve, as `/readyz` and refused clients say it; `null` if it serves. */
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
