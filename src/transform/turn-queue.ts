/** Whose turn it is among those who wait, by key. Given from above, as this folder knows nothing of admission. */
export interface TurnQueue {
  push(id: number, key: string): void
  /** False if nobody of this id waits. */
  remove(id: number): boolean
  /** Takes out whose turn it is. */
  shift(): number | null
  /** A job of this key has taken so long; dear keys have their next turns later. */
  charge(key: string, costMs: number): void
  /** Who may be refused in favour of one more of this key; `null` where that would be no fairer. */
  evictionFor(key: string): number | null
}
