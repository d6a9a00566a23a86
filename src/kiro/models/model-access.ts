import { GatewayError } from '../../shared/errors.ts'
import type { RuleId } from '../rules/rules.ts'

/** Models that a client's key may use. Plain data: it crosses threads. */
export interface ModelAccess {
  readonly keyName: string
  readonly patterns: readonly string[]
}

const MAX_NAMED = 20
const MAX_ASKED_CHARS = 128

/**
 * Matches `null` (any model) or patterns with the upstream's name and the operator's aliases, in any letter
 * case, but not with other spellings of the client's.
 */
export function mayAskModel(patterns: readonly string[] | null, names: readonly string[]): boolean {
  return (
    patterns === null ||
    patterns.some((pattern) => names.some((name) => fitsPattern(pattern, name)))
  )
}

export function modelNotAllowed(
  access: ModelAccess,
  asked: string,
  all: readonly string[]
): GatewayError {
  const message = `The API key of "${access.keyName}" does not allow the model "${asked.slice(0, MAX_ASKED_CHARS)}". It allows ${allowedBy(access, all)}.`
  const rule: RuleId = 'model-known'
  return new GatewayError('GW_MODEL_NOT_ALLOWED', undefined, { message, param: 'model', rule })
}

export function allowedBy(access: ModelAccess, all: readonly string[]): string {
  const names = all.filter((name) => mayAskModel(access.patterns, [name]))
  const allowed = names.length > 0 ? names : access.patterns
  return allowed.slice(0, MAX_NAMED).join(', ') + (allowed.length > MAX_NAMED ? ', …' : '')
}

/** Matches the whole name without case; `*` stands for any text. */
function fitsPattern(pattern: string, name: string): boolean {
  return matches(pattern.toLowerCase(), name.toLowerCase())
}

/** Takes time proportional to the product of the lengths: never backtracks behind the last `*`. */
function matches(pattern: string, name: string): boolean {
  let at = 0
  let inName = 0
  let star = -1
  let starName = 0
  while (inName < name.length) {
    if (pattern[at] === '*') {
      star = at++
      starName = inName
    } else if (pattern[at] === name[inName]) {
      at++
      inName++
    } else if (star >= 0) {
      at = star + 1
      inName = ++starName
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}
