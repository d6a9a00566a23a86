/*
 * Stored answers of a fleet: only names of files, which each side reads and writes in STATE_DIR.
 *
 *   worker ──── items.made: "this file was written" ───────────▶ primary, which also stores it in Valkey
 *   worker ──── items.wanted: "these files are missing" ───────▶ primary, which writes what Valkey has of them
 */

/** Why gateways may have items that are not here: Valkey does not answer; this disk cannot be written; too many questions at once. */
export type ItemProblem = 'valkey' | 'disk' | 'busy'

/** The primary's side. */
export interface SharedItems {
  share(name: string): void
  /** Resolves when what Valkey has is written. Never rejects. */
  fetch(names: readonly string[]): Promise<ItemProblem | null>
}

export const MAX_ITEMS_WANTED = 512
