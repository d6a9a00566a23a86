/** Takes time proportional to the product of the lengths: the caller must bound them. */
export function editDistance(from: string, to: string): number {
  let twoAbove: readonly number[] = []
  let above: readonly number[] = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1)
      const inserted = (current[column - 1] ?? 0) + 1
      const removed = (above[column] ?? 0) + 1
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      const swapped = isSwap && row > 1 && column > 1 ? (twoAbove[column - 2] ?? 0) + 1 : Infinity
      current.push(Math.min(replaced, inserted, removed, swapped))
    }
    twoAbove = above
    above = current
  }
  return above[to.length] ?? 0
}
