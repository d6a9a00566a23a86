import type { TLocalizedValidationError } from 'typebox/error'
import { isJsonObject } from '../kiro/json-object.ts'
import { invalidPart } from './json-body.ts'

/** What is used here of a compiled TypeBox schema. */
export interface Shape<T> {
  Check(value: unknown): value is T
  Errors(value: unknown): [isValid: boolean, errors: TLocalizedValidationError[]]
}

/**
 * Checks a value against a compiled schema and gives it its type.
 *
 * `path` leads to the value from the body's root, `''` for the body itself.
 *
 * @throws {GatewayError} GW_BODY_INVALID that names the part at fault and what is expected there.
 */
export function checkShape<T>(shape: Shape<T>, value: unknown, path: string): T {
  if (shape.Check(value)) return value
  const [, errors] = shape.Errors(value)
  // Of an alternative that failed everywhere, the branch that came furthest is the one that was meant.
  const deepest = errors.reduce((best, error) => (depthOf(error) > depthOf(best) ? error : best))
  const atDeepest = errors.filter((error) => error.instancePath === deepest.instancePath)
  const missing = atDeepest.find((error) => error.keyword === 'required')
  if (missing?.keyword === 'required') {
    const [name = ''] = missing.params.requiredProperties
    throw invalidPart(joinPath(path, `${deepest.instancePath}/${name}`), 'is required')
  }
  const part = joinPath(path, deepest.instancePath)
  throw invalidPart(part, wordProblem(atDeepest, valueAt(value, deepest.instancePath)))
}

function depthOf(error: TLocalizedValidationError): number {
  return error.instancePath.split('/').length
}

/** `/messages/0/content` below `''` is `messages[0].content`. */
function joinPath(path: string, pointer: string): string {
  let joined = path
  for (const token of pointer.split('/').slice(1)) {
    if (/^\d+$/.test(token)) joined += `[${token}]`
    else joined += joined === '' ? token : `.${token}`
  }
  return joined === '' ? 'body' : joined
}

function wordProblem(errors: readonly TLocalizedValidationError[], value: unknown): string {
  const expected = new Set<string>()
  for (const { keyword, params, message } of errors) {
    if (keyword === 'minItems' || keyword === 'minLength') return 'must not be empty'
    if (keyword === 'minimum') return `must be at least ${params.limit}`
    if (keyword === 'type') {
      if (params.type !== 'null') expected.add(withArticle(String(params.type)))
    } else if (keyword === 'enum') {
      for (const allowed of params.allowedValues) expected.add(JSON.stringify(allowed))
    } else if (keyword !== 'anyOf') {
      return message
    }
  }
  return `must be ${[...expected].join(' or ')}, not ${nameOf(value)}`
}

function withArticle(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function nameOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return value.length > 40 ? 'a string' : JSON.stringify(value)
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' || typeof value === 'boolean') return `${value}`
  return 'an object'
}

function valueAt(root: unknown, pointer: string): unknown {
  let current: unknown = root
  for (const token of pointer.split('/').slice(1)) {
    if (Array.isArray(current)) current = current[Number(token)]
    else if (isJsonObject(current)) current = current[token]
  }
  return current
}
