import { createHash } from 'node:crypto'

/*
 * A stored answer is a file, and in a fleet a record of the engine, with 40 hexadecimal digits as its name:
 *
 *   0a1b2c3d 4e5f…          whose it is (8 digits), and which of that owner's it is (32)
 *
 * Code that makes room can tell by the name what belongs together, without keeping a list.
 */

/** Hexadecimal digits of a name. */
export const ITEM_NAME_DIGITS = 40
const OWNER_DIGITS = 8
/**
 * Owners that have one part together: clients without a key, and the operator's keys, of which no digest may be told. People
 * think them up, and a few digits would show which guess is right.
 */
const OPERATOR = /^(?:anyone|[0-9a-f]{32})$/
const OPERATOR_PART = '0'.repeat(OWNER_DIGITS)

/** `responseKey` is random, so that nothing of its owner's key can be told from the rest of the name. */
export function toItemName(owner: string, responseKey: string): string {
  const part = OPERATOR.test(owner) ? OPERATOR_PART : digits(owner, OWNER_DIGITS)
  return part + digits(`${owner} ${responseKey}`, ITEM_NAME_DIGITS - OWNER_DIGITS)
}

/** The part of a name that says whose it is. */
export function ownerPartOf(name: string): string {
  return name.slice(0, OWNER_DIGITS)
}

function digits(text: string, count: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, count)
}
