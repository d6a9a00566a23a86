import { isAscii } from 'node:buffer'
import { GatewayError } from '../shared/errors.ts'
import type { TextOutline } from './json-depth.ts'

/**
 * Heap in bytes that a conversion takes at its peak for each thing in the body. Measured: an object of two members is about
 * 800 bytes as a message and 300 in a schema, a member with a name of its own about 100, an empty array 40 to 130, a
 * number 8 and a hole for its growth.
 */
const OBJECT_BYTES = 600
const MEMBER_BYTES = 100
const ARRAY_BYTES = 120
const COMMA_BYTES = 12
/** The text and the strings that are parsed of it, at a byte or two for each character. */
const COPIES = 2
const WIDE = 2

/**
 * Refuses a body that would need more heap than there is before anything is built of it: V8 ends the whole process
 * where a limit is overshot inside one call, such as that of `JSON.parse`.
 *
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

/** For a body that needs more memory while it is converted than there is for one. */
export function tooCostly(outline?: string): GatewayError {
  const what = outline === undefined ? 'The request body' : `The request body, ${outline},`
  return new GatewayError('GW_BODY_TOO_LARGE', outline, {
    message:
      `${what} takes more memory to convert than there is for one: send a shorter conversation or fewer tools, ` +
      'give the container more memory, or raise MEMORY_LIMIT.'
  })
}
