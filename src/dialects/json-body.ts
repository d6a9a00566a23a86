import type { RuleId } from '../kiro/rules.ts'
import { isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { GatewayError } from '../shared/errors.ts'
import { ownText } from '../shared/own-memory.ts'
import { refuseCostly } from './conversion-cost.ts'
import { isValueDeeper, outlineText } from './json-depth.ts'

/** Longest path that an error names. */
const MAX_PATH_CHARS = 500

/** Deeper nesting is refused: no client needs it, and whatever walks it could overflow the stack. */
export const MAX_JSON_DEPTH = 256

/**
 * Up to this size the nesting is checked after parsing, which costs a twentieth of reading the bytes first.
 * A megabyte of brackets parses into some 30 MB; 32 MB of them would take a gigabyte.
 */
const MAX_TRUSTED_BYTES = 1_048_576

/**
 * The JSON object in a request's body. Broken UTF-8 becomes U+FFFD, as every JSON parser here does it.
 *
 * @throws {GatewayError} GW_BODY_INVALID for anything else; GW_BODY_TOO_LARGE for one that seems to take more than
 *   `heapBytes` to convert.
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

/** The refusal of one part of a body, and the rule that it breaks; the message begins with the path that leads there. */
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

/** Names inside a schema may be as long as the schema; a place around the one at fault is told then. */
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
