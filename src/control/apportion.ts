/**
 * Divides `total` in proportion to `weights` into whole numbers that add up to it exactly (largest
 * remainder; of equal remainders the first). All zero if the weights are.
 */
export function apportion(total: number, weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((a, b) => a + b, 0)
  if (sum === 0) return weights.map(() => 0)
  const exact = weights.map((weight) => (total * weight) / sum)
  const parts = exact.map((part) => Math.floor(part))
  const rest = total - parts.reduce((a, b) => a + b, 0)
  const byRemainder = exact
    .map((part, index) => ({ index, remainder: part - Math.floor(part) }))
    .toSorted((a, b) => b.remainder - a.remainder || a.index - b.index)
  for (const { index } of byRemainder.slice(0, rest)) parts[index] = (parts[index] ?? 0) + 1
  return parts
}

/** What the worker in `slot` (from 0) leases at start: `floor(total / workers)`, the remainder one each to the first. */
export function shareAt(slot: number, total: number, workers: number): number {
  if (slot >= workers) return 0
  return Math.floor(total / workers) + (slot < total % workers ? 1 : 0)
}

/** The shares of all. */
export function sharesOf(total: number, workers: number): readonly number[] {
  return Array.from({ length: workers }, (_, slot) => shareAt(slot, total, workers))
}
