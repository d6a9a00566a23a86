import { ownText } from './own-memory.ts'

/** A JSON object whose members have not been checked yet. */
export type JsonObject = Readonly<Record<string, unknown>>

/** The value as an object; null for lists, null and everything else. */
export function asJsonObject(value: unknown): JsonObject | null {
  return isJsonObject(value) ? value : null
}

/** The object that a text holds; null when it holds none. Never throws. */
export function parseJsonObject(text: string): JsonObject | null {
  try {
    return asJsonObject(JSON.parse(text))
  } catch {
    return null
  }
}

/** A member that is text and not empty, else null. */
export function textMember(object: JsonObject, name: string): string | null {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  return typeof value === 'string' && value !== '' ? value : null
}

/** The same, cut to so many characters. */
export function shortTextMember(object: JsonObject, name: string, maxChars: number): string | null {
  const text = textMember(object, name)
  return text === null || text.length <= maxChars ? text : ownText(text.slice(0, maxChars))
}

/** True for an object: not a list and not null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Objects in a list; none if the value is not a list. */
export function objectsIn(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}

/** A JSON object that is being built. */
export type JsonDraft = Record<string, unknown>

/** Sets a member, also one named `__proto__`, which plain assignment would take for the prototype. */
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

/** Reads a member that the object itself has; what it inherits does not count. */
export function getOwn(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/**
 * The JSON pointer (RFC 6901) of a place in a body: `messages[3].content[1]`, the form of error messages, is
 * `/messages/3/content/1`. A pointer stays what it is. `below` are the names of members under it, as they are; names can
 * be as long as a body, so a pointer that would be very long leads to what is around the place.
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

/** The value that a pointer leads to; undefined when it leads nowhere. */
export function resolvePointer(root: unknown, pointer: string): unknown {
  return valueAt(root, splitPointer(pointer))
}

/** The value that members of these names, one in the other, lead to; undefined when there is none. */
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

/** The names and indexes that a pointer is made of. */
export function splitPointer(pointer: string): readonly string[] {
  return pointer.split('/').slice(1).map(unescapeToken)
}

/** The same of a pointer in a URI fragment (RFC 6901 §6), as in `#/$defs/a%20b`. */
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
