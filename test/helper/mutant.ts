import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** A fault, written as what a hasty change might do to one place of the source. */
export interface Mutant {
  readonly story: string
  /** In `src/`. */
  readonly file: string
  readonly from: string
  readonly to: string
}

export interface Copied {
  /** Folders of `src/` that are copied. */
  readonly parts: readonly string[]
  /** Files in them whose exports are wanted. */
  readonly files: readonly string[]
}

/** Loads files of the source with one fault, from a copy in `folder`; gives all of their exports. */
export async function mutate(
  folder: string,
  { file, from, to }: Mutant,
  { parts, files }: Copied
): Promise<unknown> {
  for (const part of parts)
    cpSync(join(import.meta.dirname, '../../src', part), join(folder, part), { recursive: true })
  const path = join(folder, file)
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} has to hold this once: ${from}`)
  writeFileSync(
    path,
    source.replace(from, () => to)
  )
  const modules = files.map((one) => import(pathToFileURL(join(folder, one)).href))
  return Object.assign({}, ...(await Promise.all(modules))) as unknown
}
