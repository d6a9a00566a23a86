/** Sets a member as the newest, and drops the oldest of more than `max`. */
export function setNewest<K, V>(map: Map<K, V>, max: number, key: K, value: V): void {
  map.delete(key)
  map.set(key, value)
  dropOldest(map, max)
}

/** Like `setNewest()`. */
export function addNewest<V>(set: Set<V>, max: number, value: V): void {
  set.delete(value)
  set.add(value)
  dropOldest(set, max)
}

function dropOldest<K>(
  kept: { readonly size: number; keys(): Iterable<K>; delete(key: K): boolean },
  max: number
): void {
  const [oldest] = kept.keys()
  if (kept.size > max && oldest !== undefined) kept.delete(oldest)
}
