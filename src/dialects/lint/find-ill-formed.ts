import { toPointer } from '../../kiro/json-pointer.ts'

/** Places that are told of; one is mostly enough. */
const MAX_PLACES = 100

/** Pointers to the texts that have half a surrogate pair, names of members included; `['']` if there is none. */
export function findIllFormed(body: unknown): readonly string[] {
  const found: string[] = []
  visit(body, [], found)
  return found.length === 0 ? [''] : found
}

function visit(value: unknown, names: readonly string[], found: string[]): void {
  if (found.length >= MAX_PLACES) return
  if (typeof value === 'string' && !value.isWellFormed()) found.push(toPointer('', names))
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    if (!name.isWellFormed()) found.push(toPointer('', [...names, name]))
    visit(member, [...names, name], found)
  }
}
