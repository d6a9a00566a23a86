import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { isModelAllowed, type NamedKey } from '../../keys/key.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { DataPlane } from './data-plane.ts'

/** What is looked up of a plane to say which models there are. */
type Models = Pick<DataPlane, 'catalogue' | 'config'>

const MAX_NAMED = 20

/**
 * A model counts under the upstream's name and under an alias of the operator's, not under whatever else a client calls it:
 * `claude-haiku-of-mine` may be answered by any model.
 *
 * @throws {GatewayError} GW_MODEL_NOT_ALLOWED
 */
export function requireModel(
  key: NamedKey,
  { asked, upstreamModel }: Pick<ReplyPlan, 'asked' | 'upstreamModel'>,
  plane: Models
): void {
  const name = asked.model.trim()
  const isAlias = Object.hasOwn(plane.config().models.aliases, name)
  if (isModelAllowed(key, isAlias ? [upstreamModel, name] : [upstreamModel])) return
  throw modelNotAllowed(key, asked.model, plane)
}

/** Names those that the key may ask, as the list of models does, or its patterns where they fit none. */
export function modelNotAllowed(key: NamedKey, asked: string, plane: Models): GatewayError {
  const message = `The API key of "${key.name}" does not allow the model "${asked.slice(0, 128)}", but ${allowedBy(key, plane)}.`
  return new GatewayError('GW_MODEL_NOT_ALLOWED', undefined, { message, param: 'model' })
}

/** The same error, but for a model that does not exist: a key with a list of models is told of those alone. */
export function asToldTo(key: NamedKey | null, cause: unknown, plane: Models): unknown {
  const isUnknown = cause instanceof GatewayError && cause.code === 'GW_MODEL_UNKNOWN'
  if (!isUnknown || key === null || key.models === null) return cause
  const message = `The model that was asked for does not exist. The API key of "${key.name}" allows ${allowedBy(key, plane)}.`
  return cause.with({ message })
}

function allowedBy(key: NamedKey, plane: Models): string {
  const ids = [
    ...Object.keys(plane.config().models.aliases),
    ...plane.catalogue().models.map(({ id }) => id)
  ].filter((id) => isModelAllowed(key, [id]))
  const allowed = ids.length > 0 ? ids : (key.models ?? [])
  return allowed.slice(0, MAX_NAMED).join(', ') + (allowed.length > MAX_NAMED ? ', …' : '')
}
