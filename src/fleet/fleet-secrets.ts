import { readFile } from 'node:fs/promises'
import { operatorError } from '../shared/errors.ts'
import { FleetSeal } from './fleet-seal.ts'

export interface FleetSecretSettings {
  readonly name: string
  readonly secrets: readonly string[]
  readonly secretFile: string | null
}

/** The first secret is used, all are accepted. @throws {GatewayError} GW_CONFIG_INVALID for a bad file */
export async function sealOf(settings: FleetSecretSettings): Promise<FleetSeal> {
  return new FleetSeal(await fleetSecrets(settings), settings.name)
}

/** @throws {GatewayError} GW_CONFIG_INVALID for a bad file */
export async function fleetSecrets({
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
