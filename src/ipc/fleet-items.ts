/*
 * Messages about stored answers of a fleet: only names of files, which each side reads and writes in STATE_DIR.
 *
 *   worker ──── items.made: "this file was written" ───────────▶ primary, which also stores it in Valkey
 *   worker ──── items.wanted: "these files are missing" ───────▶ primary, which looks for them in Valkey
 *   worker ◀─── items.told: "what Valkey has is written now" ─── primary
 */

export type ItemNews =
  | { readonly type: 'items.made'; readonly name: string }
  /** Answered by `items.told`. */
  | { readonly type: 'items.wanted'; readonly requestId: number; readonly names: readonly string[] }

/** `problem`: why gateways may have items that are not here. */
export interface ItemsTold {
  readonly type: 'items.told'
  readonly requestId: number
  readonly problem: ItemProblem | null
}

/** Valkey does not answer; this disk cannot be written; too many questions at once. */
export type ItemProblem = 'valkey' | 'disk' | 'busy'

export const MAX_ITEMS_WANTED = 512
