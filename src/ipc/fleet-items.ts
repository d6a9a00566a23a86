/*
 * Messages of a worker and the primary about stored answers that several gateways share. Names of files alone: each reads
 * and writes them in STATE_DIR.
 *
 *   worker ──── items.made: "this answer lies there" ───────────────────────▶ primary, which has the engine keep it, too
 *   worker ──── items.wanted: "of these none lies there" ───────────────────▶ primary, which looks for them in the engine
 *   worker ◀─── items.told: "what there is of them lies there now" ────────── primary
 */

/** Worker → primary. */
export type ItemNews =
  | { readonly type: 'items.made'; readonly name: string }
  /** Answered by `items.told`. */
  | { readonly type: 'items.wanted'; readonly requestId: number; readonly names: readonly string[] }

/** Primary → worker. `problem`: why others may have some that are not there. */
export interface ItemsTold {
  readonly type: 'items.told'
  readonly requestId: number
  readonly problem: ItemProblem | null
}

/** The engine does not answer; what it has cannot be written here; too many ask at once. */
export type ItemProblem = 'engine' | 'disk' | 'busy'

/** Longest list of one question. */
export const MAX_ITEMS_WANTED = 512
