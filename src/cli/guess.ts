import { editDistance } from '../shared/edit-distance.ts'

export const MAX_GUESSED_CHARS = 32

/** Names what a misspelt word may have meant; `null` if nothing is near. */
export function guess(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_GUESSED_CHARS) return null
  return known.find((one) => editDistance(word, one) <= 2) ?? null
}
