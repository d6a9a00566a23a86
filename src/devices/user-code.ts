import { randomInt } from 'node:crypto'

/** Letters without vowels, so that no words arise, and without look-alikes (RFC 8628 §6.1). */
export const USER_CODE_LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'
export const USER_CODE_CHARS = 8

const USER_CODE = new RegExp(`^[${USER_CODE_LETTERS}]{${USER_CODE_CHARS}}$`)
/** A longer text is none, however many dashes it has. */
const MAX_TYPED_CHARS = 40

/** Returns a random code of eight letters, as it is stored. */
export function makeUserCode(): string {
  return Array.from({ length: USER_CODE_CHARS }, randomLetter).join('')
}

/** Reads a code as people type it: case, dashes and spaces do not matter. `null` if it cannot be one. */
export function readUserCode(typed: string): string | null {
  if (typed.length > MAX_TYPED_CHARS) return null
  const code = typed.replace(/[\s\p{Pd}]/gu, '').toUpperCase()
  return USER_CODE.test(code) ? code : null
}

/** Returns the code as it is shown: `XXXX-XXXX`. */
export function showUserCode(code: string): string {
  const middle = USER_CODE_CHARS / 2
  return `${code.slice(0, middle)}-${code.slice(middle)}`
}

function randomLetter(): string {
  return USER_CODE_LETTERS.charAt(randomInt(USER_CODE_LETTERS.length))
}
