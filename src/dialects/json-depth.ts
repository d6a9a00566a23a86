import { isJsonObject } from '../kiro/json-object.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** `[` and `{` differ by the bit 0x20 alone, and so do `]` and `}`. */
const OPEN = 0x7b
const CLOSE = 0x7d
const CASE_BIT = 0x20

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

/** The same for JSON text that is too large to be parsed on trust: counts the brackets outside strings. */
export function isTextDeeper(bytes: Uint8Array, levels: number): boolean {
  const { length } = bytes
  let depth = 0
  for (let at = 0; at < length; at++) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) {
      at = endOfString(bytes, at)
    } else if ((byte | CASE_BIT) === OPEN) {
      if (++depth > levels) return true
    } else if ((byte | CASE_BIT) === CLOSE) {
      depth--
    }
  }
  return false
}

/** Where the string that begins at `start` has its closing quote. */
function endOfString(bytes: Uint8Array, start: number): number {
  const { length } = bytes
  let at = start + 1
  while (at < length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}
