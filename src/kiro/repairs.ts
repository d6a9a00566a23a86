import { toPointer } from './json-pointer.ts'
import type { RepairCode } from './repair-table.ts'

/** Where in the client's body a repair was made. */
export interface RepairPlace {
  readonly code: RepairCode
  /** RFC 6901; `''` for the whole body. */
  readonly pointer: string
}

/** Places that are told of one repair; a long conversation may need it at every message. */
const MAX_PLACES = 100

/** Collects the repairs of one request: each code once, in the order of first use. */
export class Repairs {
  readonly #codes = new Set<RepairCode>()

  /**
   * `at` says where: a path as in error messages (`messages[3].content[1]`) or a JSON pointer, with the members
   * `below` it, which may have any name. Only a `PlacedRepairs` looks at it.
   */
  note(code: RepairCode, _at?: string, _below?: readonly string[]): void {
    this.#codes.add(code)
  }

  get codes(): readonly RepairCode[] {
    return [...this.#codes]
  }
}

/** Keeps the places, too: for lint. */
export class PlacedRepairs extends Repairs {
  readonly #places = new Map<RepairCode, Set<string>>()

  override note(code: RepairCode, at = '', below: readonly string[] = []): void {
    super.note(code)
    const pointers = this.#places.get(code) ?? new Set()
    if (pointers.size < MAX_PLACES) pointers.add(toPointer(at, below))
    this.#places.set(code, pointers)
  }

  /** Each place of each repair once, at most `MAX_PLACES` of a kind. */
  get places(): readonly RepairPlace[] {
    return [...this.#places].flatMap(([code, pointers]) =>
      [...pointers].map((pointer) => ({ code, pointer }))
    )
  }
}
