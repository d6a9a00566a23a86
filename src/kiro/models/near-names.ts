import { editDistance } from '../../shared/edit-distance.ts'

const MAX_NEAR = 3
/** Time goes with the product of the lengths. */
const MAX_COMPARED_CHARS = 64
const MAX_WORDS = 8
const WORD = /[a-z]{3,}/g

const versions = new Intl.Collator('en', { numeric: true })

/**
 * Returns up to three names that a person may have meant, nearest first: names with few other letters, then the newest that share
 * a word, such as all `kimi-…` for `kimi`. Others are of no help and are left out.
 */
export function nearNames(name: string, known: readonly string[]): readonly string[] {
  const wanted = comparable(name)
  const words = wordsOf(wanted)
  const most = Math.max(1, Math.floor(wanted.length / 4))
  const all = known.map((one) => ({ one, distance: editDistance(wanted, comparable(one)) }))
  const misspelt = all
    .filter(({ distance }) => distance <= most)
    .toSorted((a, b) => a.distance - b.distance)
  const related = all
    .filter(({ one, distance }) => distance > most && sharesWord(words, wordsOf(comparable(one))))
    .toSorted((a, b) => versions.compare(b.one, a.one))
  return [...misspelt, ...related].slice(0, MAX_NEAR).map(({ one }) => one)
}

function comparable(name: string): string {
  return name.slice(0, MAX_COMPARED_CHARS).toLowerCase()
}

function wordsOf(name: string): readonly string[] {
  return (name.match(WORD) ?? []).slice(0, MAX_WORDS)
}

function sharesWord(words: readonly string[], others: readonly string[]): boolean {
  return words.some((word) => others.some((other) => editDistance(word, other) <= 1))
}
