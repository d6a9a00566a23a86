/** Files that are open at once; more would only wait in line for the few threads that read them. */
const BATCH = 16

/** Runs `task` for each value, a few at a time, and gives the results in order. */
export async function inBatches<T, R>(
  values: readonly T[],
  task: (value: T) => Promise<R>
): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < values.length; from += BATCH) {
    results.push(...(await Promise.all(values.slice(from, from + BATCH).map(task))))
  }
  return results
}
