import { createHash } from 'node:crypto'

/*
 * A stored answer is a file, and in a fleet a record in Valkey, named by 40 hexadecimal digits:
 *
 *   0a1b2c3d 4e5f…          whose it is (8 digits), and which of that owner's it is (32)
 */

export const ITEM_NAME_DIGITS = 40
const ITEM_NAME = new RegExp(`^[0-9a-f]{${ITEM_NAME_DIGITS}}$`)
const OWNER_DIGITS = 8
/** Unnamed clients and operators share a part: people invent such keys, and few digits would confirm a guess. */
const OPERATOR = /^(?:anyone|[0-9a-f]{32})$/
const OPERATOR_PART = '0'.repeat(OWNER_DIGITS)

/** Text of a stored answer that was deleted: other gateways of the fleet must not have it again. */
export const DELETED_ITEM = '{}'

/** `responseKey` is random, so the name tells nothing of its owner's key. */
export function toItemName(owner: string, responseKey: string): string {
  const part = OPERATOR.test(owner) ? OPERATOR_PART : digits(owner, OWNER_DIGITS)
  return part + digits(`${owner} ${responseKey}`, ITEM_NAME_DIGITS - OWNER_DIGITS)
}

export function isItemName(text: string): boolean {
  return ITEM_NAME.test(text)
}

export function ownerPartOf(name: string): string {
  return name.slice(0, OWNER_DIGITS)
}

function digits(text: string, count: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, count)
}
