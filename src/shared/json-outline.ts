import { isJsonObject, type JsonObject, parseJsonObject } from './json.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Looks no deeper than `levels`, so it never overflows the stack. */
export function isValueDeeper(value: unknown, levels: number): boolean {
  if (Array.isArray(value)) {
    return levels === 0 || value.some((item) => isValueDeeper(item, levels - 1))
  }
  if (!isJsonObject(value)) return false
  if (levels === 0) return true
  // Without a list of the values: three times as fast on a conversation.
  for (const key in value) {
    if (isValueDeeper(value[key], levels - 1)) return true
  }
  return false
}

export interface TextOutline {
  readonly isDeeper: boolean
  readonly objects: number
  readonly arrays: number
  readonly members: number
  /** Items after the first, in all arrays and objects. */
  readonly commas: number
}

/** Outlines untrusted JSON text without parsing it; stops where it is deeper than `levels`. */
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

function endOfString(bytes: Uint8Array, start: number): number {
  const { length } = bytes
  let at = start + 1
  while (at < length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

/** The longest known answer, a list of 30 models, has 1,500 parts and 12 levels. */
const MAX_PARTS = 50_000
const MAX_LEVELS = 64

/** `null` for too many parts: each may take forty times its text, and V8 dies when the heap is too small. */
export function parseForeignObject(text: string): JsonObject | null {
  const outline = outlineText(Buffer.from(text), MAX_LEVELS)
  const { isDeeper, objects, arrays, members, commas } = outline
  if (isDeeper || objects + arrays + members + commas > MAX_PARTS) return null
  return parseJsonObject(text)
}
