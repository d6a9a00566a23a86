/*
 * Messages about stored answers of a fleet: only names of files, which each side reads and writes in STATE_DIR.
 *
 *   worker ──── items.made: "this answer lies there" ───────────────────────▶ primary, which has the engine keep it, too
 *   worker ──── items.wanted: "of these none lies there" ───────────────────▶ primary, which looks for them in the engine
 *   worker ◀─── items.told: "what there is of them lies there now" ────────── primary
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
export type ItemProblem = 'engine' | 'disk' | 'busy'

export const MAX_ITEMS_WANTED = 512
