import { toPointer } from '../../kiro/json-pointer.ts'

/** Places that are told of; one is mostly enough. */
const MAX_PLACES = 100

/** Pointers to the texts that have half a surrogate pair, names of members included; `['']` if there is none. */
export function findIllFormed(body: unknown): readonly string[] {
  const found = new Set<string>()
  visit(body, [], found)
  return found.size === 0 ? [''] : [...found]
}

/** `names` lead to the value, and do so again when this is over. */
function visit(value: unknown, names: string[], found: Set<string>): void {
  if (found.size >= MAX_PLACES) return
  if (typeof value === 'string' && !value.isWellFormed()) found.add(toPointer('', names))
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    names.push(name)
    if (!name.isWellFormed()) found.add(toPointer('', names))
    visit(member, names, found)
    names.pop()
  }
}
