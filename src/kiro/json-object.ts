/** A JSON object whose members nobody has checked yet. */
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

/** Whether a value is an object: no list and not null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
