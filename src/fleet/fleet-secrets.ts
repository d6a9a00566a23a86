import { readFile } from 'node:fs/promises'
import { operatorError } from '../shared/errors.ts'
import { FleetSeal } from './fleet-seal.ts'

/** Settings of the fleet's secret. */
export interface FleetSecretSettings {
  /** `FLEET_NAME` */
  readonly name: string
  /** `FLEET_SECRET` */
  readonly secrets: readonly string[]
  /** `FLEET_SECRET_FILE` */
  readonly secretFile: string | null
}

/**
 * The seal of a fleet, by its secrets: the first is used, all are accepted.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID for a file that can't be read, or has none in it
 */
export async function sealOf(settings: FleetSecretSettings): Promise<FleetSeal> {
  return new FleetSeal(await fleetSecrets(settings), settings.name)
}

async function fleetSecrets({
  secrets,
  secretFile
}: Pick<FleetSecretSettings, 'secrets' | 'secretFile'>): Promise<readonly string[]> {
  if (secretFile === null) return secrets
  const text = await readFile(secretFile, 'utf8').catch(() => {
    throw operatorError('FLEET_SECRET_FILE cannot be read.')
  })
  const found = text.split(/[\s,]+/).filter((secret) => secret !== '')
  if (found.length === 0 || found.some(({ length }) => length < 32 || length > 512)) {
    throw operatorError(
      'FLEET_SECRET_FILE must hold secrets of at least 32 characters, separated by commas.'
    )
  }
  return found
}
