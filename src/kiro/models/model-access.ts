import { GatewayError } from '../../shared/errors.ts'
import { fitsPattern } from '../../shared/name-pattern.ts'
import type { RuleId } from '../rules/rules.ts'

/** The models that a client's key may ask, where not all of them. Plain data: it crosses threads. */
export interface ModelAccess {
  readonly keyName: string
  /** `*` stands for any text. */
  readonly patterns: readonly string[]
}

const MAX_NAMED = 20
const MAX_ASKED_CHARS = 128

/**
 * Returns whether a key with these patterns (`null`: any model) may ask a model, by any of the names that it goes by: the upstream's and
 * the operator's aliases, but not what a client may write for it. A pattern matches a whole name, in upper or lower case.
 */
export function mayAskModel(patterns: readonly string[] | null, names: readonly string[]): boolean {
  return (
    patterns === null ||
    patterns.some((pattern) => names.some((name) => fitsPattern(pattern, name)))
  )
}

/** Names the models that the key may ask, of all that there are. */
export function modelNotAllowed(
  access: ModelAccess,
  asked: string,
  all: readonly string[]
): GatewayError {
  const message = `The API key of "${access.keyName}" does not allow the model "${asked.slice(0, MAX_ASKED_CHARS)}". It allows ${allowedBy(access, all)}.`
  const rule: RuleId = 'model-known'
  return new GatewayError('GW_MODEL_NOT_ALLOWED', undefined, { message, param: 'model', rule })
}

/** Names the models that the key may ask, as the list of models has them, or its patterns where they fit none. */
export function allowedBy(access: ModelAccess, all: readonly string[]): string {
  const names = all.filter((name) => mayAskModel(access.patterns, [name]))
  const allowed = names.length > 0 ? names : access.patterns
  return allowed.slice(0, MAX_NAMED).join(', ') + (allowed.length > MAX_NAMED ? ', …' : '')
}
