import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { GatewayError } from '../shared/errors.ts'

/** What a gateway knows of the secret of its fleet. */
export interface FleetSecretSettings {
  /** `FLEET_NAME` */
  readonly name: string
  /** `FLEET_SECRET` */
  readonly secrets: readonly string[]
  /** `FLEET_SECRET_FILE` */
  readonly secretFile: string | null
}

/**
 * What the register says of each secret that is accepted, the one that is used first.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID as `fleetSecrets()`
 */
export async function checksOf(settings: FleetSecretSettings): Promise<readonly string[]> {
  const secrets = await fleetSecrets(settings)
  return secrets.map((secret) => checkOf(secret, settings.name))
}

/** @throws {GatewayError} GW_CONFIG_INVALID for a file that can't be read, or has none in it */
export async function fleetSecrets({
  secrets,
  secretFile
}: Pick<FleetSecretSettings, 'secrets' | 'secretFile'>): Promise<readonly string[]> {
  if (secretFile === null) return secrets
  const text = await readFile(secretFile, 'utf8').catch(() => {
    throw invalid('FLEET_SECRET_FILE can not be read.')
  })
  const found = text.split(/[\s,]+/).filter((secret) => secret !== '')
  if (found.length === 0 || found.some(({ length }) => length < 32 || length > 512)) {
    throw invalid(
      'FLEET_SECRET_FILE must hold secrets of at least 32 characters, separated by commas.'
    )
  }
  return found
}

/** What the register says of a secret: nobody can tell it from that, and each fleet has another. */
function checkOf(secret: string, name: string): string {
  return createHmac('sha256', secret).update(`kiro-gateway fleet ${name}`).digest('hex')
}

function invalid(message: string): GatewayError {
  return new GatewayError('GW_CONFIG_INVALID', undefined, { message })
}
