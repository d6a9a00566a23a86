import { isAscii } from 'node:buffer'
import type { RuleId } from '../../kiro/rules/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  isJsonObject,
  type JsonObject,
  isValueDeeper,
  outlineText,
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

function invalidBody(message: string): GatewayError {
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
