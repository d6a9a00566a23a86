import { editDistance } from './edit-distance.ts'

export const MAX_GUESSED_CHARS = 32

/** Returns the nearest word that a misspelt one may have meant; `null` if none is near. */
export function guess(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_GUESSED_CHARS) return null
  const near = known
    .map((one) => ({ one, distance: editDistance(word, one) }))
    .filter(({ distance }) => distance <= 2 && distance * 2 < word.length)
    .toSorted((left, right) => left.distance - right.distance)
  return near[0]?.one ?? null
}
