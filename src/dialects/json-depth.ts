import { isJsonObject } from '../kiro/json-object.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Whether a parsed value is nested deeper than `levels`. Looks no deeper, so it never overflows the stack. */
export function isValueDeeper(value: unknown, levels: number): boolean {
  if (Array.isArray(value)) {
    return levels === 0 || value.some((item) => isValueDeeper(item, levels - 1))
  }
  if (!isJsonObject(value)) return false
  if (levels === 0) return true
  // Without a list of the values: measured, three times as fast on a conversation.
  for (const key in value) {
    if (isValueDeeper(value[key], levels - 1)) return true
  }
  return false
}

/** What JSON text is made of, strings aside. */
export interface TextOutline {
  readonly isDeeper: boolean
  readonly objects: number
  readonly arrays: number
  /** Of all objects. */
  readonly members: number
  /** Items after the first, of all arrays and objects. */
  readonly commas: number
}

/**
 * The same for JSON text that is too large to be parsed on trust, and what else is in it: counts what stands outside
 * strings, and stops where it is deeper than `levels`.
 */
export function outlineText(bytes: Uint8Array, levels: number): TextOutline {
  const { length } = bytes
  let [depth, objects, arrays, members, commas] = [0, 0, 0, 0, 0]
  for (let at = 0; at < length && depth <= levels; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = endOfString(bytes, at)
    } else if (byte === COMMA) {
      commas++
    } else if (byte === COLON) {
      members++
    } else if (byte === OPEN_OBJECT) {
      objects++
      depth++
    } else if (byte === OPEN_ARRAY) {
      arrays++
      depth++
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--
    }
  }
  return { isDeeper: depth > levels, objects, arrays, members, commas }
}

/** Where the string that begins at `start` has its closing quote. */
function endOfString(bytes: Uint8Array, start: number): number {
  const { length } = bytes
  let at = start + 1
  while (at < length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}
