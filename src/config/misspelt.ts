/** Sentences about names of the environment that look like misspelt settings: at most two letters off. */
export function findMisspelt(
  given: readonly string[],
  known: ReadonlySet<string>
): readonly string[] {
  return given
    .filter((name) => /^(HTTP|KIRO)_/.test(name) && !known.has(name))
    .flatMap((name) => {
      const meant = [...known].find((setting) => editDistance(name, setting) <= 2)
      return meant === undefined ? [] : `${name} is not a setting; was ${meant} meant?`
    })
}

/** Letters to insert, remove or replace to get from one word to the other. */
function editDistance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1)
      const inserted = (current[column - 1] ?? 0) + 1
      const removed = (above[column] ?? 0) + 1
      current.push(Math.min(replaced, inserted, removed))
    }
    above = current
  }
  return above[to.length] ?? 0
}
