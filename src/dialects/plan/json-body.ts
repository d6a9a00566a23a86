import { isAscii } from 'node:buffer'
import type { TLocalizedValidationError } from 'typebox/error'
import type { RuleId } from '../../kiro/rules/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  isJsonObject,
  type JsonObject,
  isValueDeeper,
  outlineText,
  resolvePointer,
  type TextOutline
} from '../../shared/json.ts'
import { ownText } from '../../shared/own-memory.ts'

const MAX_PATH_CHARS = 500

/** Deeper nesting is refused: no client needs it, and recursive walks could overflow the stack. */
export const MAX_JSON_DEPTH = 256

/** Larger bodies are checked before parsing, at twenty times the cost: 32 MB of brackets would take a gigabyte. */
const MAX_TRUSTED_BYTES = 1_048_576

/**
 * Parses a request's body. Broken UTF-8 becomes U+FFFD.
 * @throws {GatewayError} GW_BODY_INVALID if it is not a JSON object, GW_BODY_TOO_LARGE if it seems to take
 * more than `heapBytes` to convert
 */
export function parseJsonBody(body: Uint8Array, heapBytes = Infinity): JsonObject {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const isTrusted = bytes.length <= MAX_TRUSTED_BYTES
  if (!isTrusted) {
    const outline = outlineText(bytes, MAX_JSON_DEPTH)
    if (outline.isDeeper) throw tooDeep()
    refuseCostly(bytes, outline, heapBytes)
  }
  const value = parse(bytes)
  if (isTrusted && isValueDeeper(value, MAX_JSON_DEPTH)) throw tooDeep()
  if (isJsonObject(value)) return value
  throw invalidBody('The request body must be a JSON object.')
}

interface Shape<T> {
  Check(value: unknown): value is T
  Errors(value: unknown): [isValid: boolean, errors: TLocalizedValidationError[]]
}

/**
 * `path` leads to the value from the body's root.
 * @throws {GatewayError} GW_BODY_INVALID that names the part at fault and what is expected
 */
export function checkShape<T>(shape: Shape<T>, value: unknown, path: string): T {
  if (shape.Check(value)) return value
  const [, errors] = shape.Errors(value)
  // Of alternatives that all failed, the one that got furthest was meant.
  const deepest = errors.reduce((best, error) => (depthOf(error) > depthOf(best) ? error : best))
  const atDeepest = errors.filter((error) => error.instancePath === deepest.instancePath)
  const missing = atDeepest.find((error) => error.keyword === 'required')
  if (missing?.keyword === 'required') {
    const [name = ''] = missing.params.requiredProperties
    throw invalidPart(joinPath(path, `${deepest.instancePath}/${name}`), 'is required')
  }
  const part = joinPath(path, deepest.instancePath)
  throw invalidPart(part, wordProblem(atDeepest, resolvePointer(value, deepest.instancePath)))
}

function depthOf(error: TLocalizedValidationError): number {
  return error.instancePath.split('/').length
}

/** `/messages/0/content` → `messages[0].content` */
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

export function invalidPart(
  path: string,
  problem: string,
  rule: RuleId = 'request-shape'
): GatewayError {
  const place = shortenPath(path)
  return new GatewayError('GW_BODY_INVALID', undefined, {
    message: `${place}: ${problem}`,
    param: place,
    rule
  })
}

/** @throws {GatewayError} GW_BODY_INVALID */
export function refuseLong(path: string, text: string, max: number, rule?: RuleId): void {
  if (text.length <= max) return
  throw invalidPart(path, `must have at most ${max} characters, not ${text.length}`, rule)
}

/** Member names of a schema may be as long as the schema; an enclosing place is named then. */
function shortenPath(path: string): string {
  if (path.length <= MAX_PATH_CHARS) return path
  const start = path.slice(0, MAX_PATH_CHARS)
  return ownText(start.slice(0, Math.max(start.lastIndexOf('.'), start.lastIndexOf('['))))
}

function parse(bytes: Buffer): unknown {
  const hasByteOrderMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  try {
    return JSON.parse(bytes.toString('utf8', hasByteOrderMark ? 3 : 0))
  } catch {
    throw invalidBody('The request body is not valid JSON.') // the cause would quote it in the log
  }
}

function tooDeep(): GatewayError {
  return invalidBody(`The request body is nested deeper than ${MAX_JSON_DEPTH} levels.`)
}

export function invalidBody(message: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, { message })
}

/**
 * Peak heap of a conversion. Measured: an object of two members takes 800 as a message and 300 in a schema,
 * a member with a unique name 100, an empty array 40 to 130, a number 8 and space to grow.
 */
const OBJECT_BYTES = 600
const MEMBER_BYTES = 100
const ARRAY_BYTES = 120
const COMMA_BYTES = 12
const COPIES = 2
const WIDE = 2

/**
 * Refuses a body that would need too much heap, before parsing it: V8 ends the whole process if a limit is
 * overshot within one call such as `JSON.parse`.
 * @throws {GatewayError} GW_BODY_TOO_LARGE
 */
export function refuseCostly(bytes: Uint8Array, outline: TextOutline, heapBytes: number): void {
  const { objects, arrays, members, commas } = outline
  const textBytes = bytes.byteLength * COPIES * (isAscii(bytes) ? 1 : WIDE)
  const builtBytes =
    objects * OBJECT_BYTES + arrays * ARRAY_BYTES + members * MEMBER_BYTES + commas * COMMA_BYTES
  if (textBytes + builtBytes <= heapBytes) return
  throw tooCostly(`of ${objects} objects with ${members} members and ${arrays} arrays`)
}

export function tooCostly(outline?: string): GatewayError {
  const what = outline === undefined ? 'The request body' : `The request body, ${outline},`
  return new GatewayError('GW_BODY_TOO_LARGE', outline, {
    message:
      `${what} needs more memory to convert than one request may use. Send a shorter conversation or fewer tools, ` +
      'give the container more memory, or raise MEMORY_LIMIT.'
  })
}
