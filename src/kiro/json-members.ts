import type { JsonObject } from './json-object.ts'

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
