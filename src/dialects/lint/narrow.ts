/**
 * Finds a small list of items that is refused, when all of them together are. Halves the list from its end: the last item
 * of the shortest beginning that is refused is needed; what stands before it is halved again, beside what is needed, until
 * that alone is refused. `n` items of which `k` are needed take about `k * log2(n)` questions.
 *
 * An empty list is refused if nothing of the items is needed. Each item of the result is needed, if the refusal is one of
 * more items whenever it is one of fewer; if not, the result is refused all the same.
 */
export async function narrow<Item>(
  items: readonly Item[],
  isRefused: (items: readonly Item[]) => Promise<boolean>
): Promise<readonly Item[]> {
  let needed: readonly Item[] = []
  let rest = items
  for (;;) {
    const beside = needed
    const shortest = await shortestRefused(rest, (begin) => isRefused([...begin, ...beside]))
    const last = rest[shortest - 1]
    if (last === undefined) return needed
    needed = [last, ...needed]
    rest = rest.slice(0, shortest - 1)
    if (rest.length === 0) return needed
    if (await isRefused(needed)) return needed
  }
}

/** Returns the number of items of the shortest beginning that is refused; all of them are. */
async function shortestRefused<Item>(
  items: readonly Item[],
  isRefused: (begin: readonly Item[]) => Promise<boolean>
): Promise<number> {
  let taken = -1
  let refused = items.length
  while (refused - taken > 1) {
    const middle = Math.floor((taken + refused) / 2)
    if (await isRefused(items.slice(0, middle))) refused = middle
    else taken = middle
  }
  return refused
}
