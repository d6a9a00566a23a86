import { isMeant } from '../keys/key-text.ts'
import type { NamedKey } from '../keys/key.ts'
import { operatorError, type GatewayError } from '../shared/errors.ts'

const MAX_NAMED = 20
const MAX_NAME_CHARS = 64

/** Names the keys that exist. */
export function noSuchKey(keys: readonly NamedKey[], name: string): GatewayError {
  const isRevoked = keys.some((one) => isMeant(one, name))
  const known = keys.filter(({ revokedAt }) => revokedAt === null).map((one) => one.name)
  const list = known.slice(0, MAX_NAMED).join(', ')
  const hint =
    known.length === 0
      ? 'There are none.'
      : `There are: ${list}${known.length > MAX_NAMED ? ', …' : ''}.`
  const said = JSON.stringify(name.slice(0, MAX_NAME_CHARS))
  return operatorError(
    isRevoked ? `The key ${said} is already revoked.` : `There is no key ${said}. ${hint}`
  )
}
