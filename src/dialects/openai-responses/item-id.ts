/** What the ids of items begin with, by what they are. */
export type ItemPrefix = 'msg' | 'rs' | 'fc' | 'ctc' | 'tsc' | 'ws' | 'cmp'

/** Hexadecimal digits that a response's id shares with the ids of its items; the last four of theirs count them. */
const KEY_DIGITS = 28
const RESPONSE_PREFIX = 'resp_'
const KNOWN_ID = /^(?:resp|msg|rs|fc|ctc|tsc|ws|cmp)_([0-9a-f]{28})[0-9a-f]{4}$/

/** The id of a response, made of 32 hexadecimal digits. */
export function toResponseId(hex: string): string {
  return RESPONSE_PREFIX + hex
}

/** The id of the item at `index` of a response's output: another one for each, and from each its response is known. */
export function toItemId(prefix: ItemPrefix, responseId: string, index: number): string {
  const key = responseId.slice(RESPONSE_PREFIX.length, RESPONSE_PREFIX.length + KEY_DIGITS)
  return `${prefix}_${key}${index.toString(16).padStart(4, '0')}`
}

/**
 * What the id of a response has in common with those of its items: 28 hexadecimal digits and nothing else, so that
 * it may name a file. `null` for every other text, whoever made it.
 */
export function responseKeyOf(id: string): string | null {
  return KNOWN_ID.exec(id)?.[1] ?? null
}
