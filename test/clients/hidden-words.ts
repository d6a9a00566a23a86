import { randomBytes } from 'node:crypto'

/** A word that nobody can have written by chance. */
export function secretWord(): string {
  return `word-${randomBytes(6).toString('hex')}`
}

/** A JSON string in which `text` cannot be found, so that a client which repeats its prompt does not seem to answer. */
export function hiddenString(text: string): string {
  const codes = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
  return `"${codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('')}"`
}

/** Whether `text` has `part` in it; clients may break lines where they like. */
export function hasText(text: string, part: string): boolean {
  return withoutSpace(text).includes(withoutSpace(part))
}

function withoutSpace(text: string): string {
  return text.replaceAll(/\s+/g, '')
}
