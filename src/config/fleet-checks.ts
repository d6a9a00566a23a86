import type { Contradiction } from './cross-checks.ts'
import type { Config } from './settings.ts'

export function fleetProblems({ fleet, pool }: Config): readonly Contradiction[] {
  if (fleet.url === null) return []
  const problems: Contradiction[] = []
  const say = (about: readonly string[], sentence: string): void => {
    problems.push({ about: ['FLEET_URL', ...about], sentence })
  }
  const { replicas, secrets, secretFile, identity, podUid } = fleet
  const { maxConnections, maxRequestsPerMinute: pace } = pool
  if (replicas === null) {
    say(['FLEET_REPLICAS'], 'FLEET_URL needs FLEET_REPLICAS, the number of gateways in the fleet.')
  }
  if (maxConnections === null) {
    say(
      ['HTTP_MAX_CONNECTIONS'],
      'FLEET_URL needs a number in HTTP_MAX_CONNECTIONS, which the gateways share.'
    )
  } else if (replicas !== null && maxConnections < replicas) {
    say(
      ['HTTP_MAX_CONNECTIONS', 'FLEET_REPLICAS'],
      `HTTP_MAX_CONNECTIONS is ${maxConnections}, fewer than the ${replicas} gateways of FLEET_REPLICAS that share them.`
    )
  }
  if (pace !== null && replicas !== null && pace < replicas) {
    say(
      ['UPSTREAM_MAX_REQUESTS_PER_MINUTE', 'FLEET_REPLICAS'],
      `UPSTREAM_MAX_REQUESTS_PER_MINUTE is ${pace}, fewer than the ${replicas} gateways of FLEET_REPLICAS that share them.`
    )
  }
  if (secrets.length === 0 && secretFile === null) {
    say(
      ['FLEET_SECRET', 'FLEET_SECRET_FILE'],
      'FLEET_URL needs FLEET_SECRET or FLEET_SECRET_FILE, the same for all gateways. "openssl rand -hex 32" generates one.'
    )
  }
  if (secrets.length > 0 && secretFile !== null) {
    say(
      ['FLEET_SECRET', 'FLEET_SECRET_FILE'],
      'FLEET_SECRET and FLEET_SECRET_FILE are both set. Remove one of them.'
    )
  }
  if (identity === 'statefulset' && podUid === null) {
    say(
      ['FLEET_IDENTITY', 'FLEET_POD_UID'],
      'FLEET_IDENTITY=statefulset needs FLEET_POD_UID, which the downward API gives (metadata.uid).'
    )
  }
  return problems
}
