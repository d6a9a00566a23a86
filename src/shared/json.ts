import { ownText } from './own-memory.ts'

export type JsonObject = Readonly<Record<string, unknown>>

export function asJsonObject(value: unknown): JsonObject | null {
  return isJsonObject(value) ? value : null
}

export function parseJsonObject(text: string): JsonObject | null {
  return asJsonObject(parseJson(text))
}

/** `undefined` where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** `null` unless a non-empty text. */
export function textMember(object: JsonObject, name: string): string | null {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  return typeof value === 'string' && value !== '' ? value : null
}

export function shortTextMember(object: JsonObject, name: string, maxChars: number): string | null {
  const text = textMember(object, name)
  return text === null || text.length <= maxChars ? text : ownText(text.slice(0, maxChars))
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}

export type JsonDraft = Record<string, unknown>

/** Also sets `__proto__`, which plain assignment takes for the prototype. */
export function setOwn(target: JsonDraft, key: string, value: unknown): void {
  if (key !== '__proto__') {
    target[key] = value
    return
  }
  Object.defineProperty(target, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true
  })
}

export function getOwn(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/**
 * Converts `messages[3].content[1]` to a JSON pointer (RFC 6901), `/messages/3/content/1`. `below` are member names
 * under it. A very long pointer is cut to what surrounds the place: names can be as long as a body.
 */
export function toPointer(at: string, below: readonly string[] = []): string {
  const start = at === '' || at === 'body' || at.startsWith('/') ? at : `/${tokensOf(at).join('/')}`
  let pointer = start === 'body' ? '' : start
  for (const name of below) {
    if (pointer.length + name.length > MAX_POINTER_CHARS) break
    pointer += `/${escapeToken(name)}`
  }
  return pointer
}

const MAX_POINTER_CHARS = 4096

const INDEX = /^\d+$/

export function resolvePointer(root: unknown, pointer: string): unknown {
  return valueAt(root, splitPointer(pointer))
}

export function valueAt(root: unknown, names: readonly string[]): unknown {
  let current = root
  for (const name of names) {
    if (typeof current !== 'object' || current === null) return undefined
    if (!Object.hasOwn(current, name)) return undefined
    if (Array.isArray(current) && !INDEX.test(name)) return undefined
    current = Reflect.get(current, name)
  }
  return current
}

export function splitPointer(pointer: string): readonly string[] {
  return pointer.split('/').slice(1).map(unescapeToken)
}

/** Splits a pointer in a URI fragment (RFC 6901 §6), as in `#/$defs/a%20b`. */
export function splitReference(ref: string): readonly string[] {
  const tokens = ref.split('/').slice(1)
  return tokens.map((token) => unescapeToken(decodeToken(token)))
}

function tokensOf(path: string): readonly string[] {
  return path.split(/[.[\]]+/).filter((token) => token !== '')
}

function escapeToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~')
}

function decodeToken(token: string): string {
  if (!token.includes('%')) return token
  try {
    return decodeURIComponent(token)
  } catch {
    return token // not percent-encoded after all: the name is meant literally
  }
}

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

/** True behind an odd number of backslashes. */
export function isEscapedAt(bytes: Uint8Array, at: number): boolean {
  let from = at
  while (bytes[from - 1] === BACKSLASH) from--
  return (at - from) % 2 === 1
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
