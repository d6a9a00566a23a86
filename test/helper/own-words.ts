/**
 * Words that say whose they are. Each piece of a text that is made of them names its owner, so that a few bytes in the wrong
 * place show whose they were.
 */

const OWNER = /\bowner=([\w-]+);/g

/** The owner of memory that nobody has written, where `unwritten-memory.ts` is loaded. */
export const NOBODY = 'nobody'

/** A text of about this length, which is its owner's alone. */
export function wordsOf(owner: string, chars: number): string {
  const word = `owner=${owner}; `
  return word.repeat(Math.max(1, Math.ceil(chars / word.length)))
}

/** The owners of the words in a text. */
export function ownersIn(text: string | Buffer): ReadonlySet<string> {
  const found = text.toString().matchAll(OWNER)
  return new Set(Array.from(found, ([, owner = '']) => owner))
}

/** The owners of a text's words who should not be in it. */
export function strangersIn(text: string | Buffer, owner: string): readonly string[] {
  return [...ownersIn(text)].filter((one) => one !== owner)
}
