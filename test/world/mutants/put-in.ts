import type { Mutant } from './list.ts'

/** Returns the source of the mutant's file with its mistake. */
export function putIn(source: string, { name, path, from, to }: Mutant): string {
  if (source.split(from).length !== 2) throw new Error(`"${name}" does not stand once in ${path}`)
  return source.replace(from, () => to)
}
