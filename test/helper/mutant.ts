import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Machines } from './simulated-cluster.ts'

/** A fault, written as what a hasty change might do to one place of the source. */
export interface Mutant {
  readonly story: string
  readonly file: string
  readonly from: string
  readonly to: string
}

/** The machines with one fault, made from a copy of the source in `folder`. */
export async function mutate(folder: string, { file, from, to }: Mutant): Promise<Machines> {
  for (const part of ['admission', 'control', 'ipc', 'shared'])
    cpSync(join(import.meta.dirname, '../../src', part), join(folder, part), { recursive: true })
  const path = join(folder, file)
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} has to hold this once: ${from}`)
  writeFileSync(path, source.replace(from, to))
  const { LeaseCore } = await importFrom(folder, 'admission/lease-core.ts')
  const { nextLedger, openLedger } = await importFrom(folder, 'control/budget/ledger.ts')
  return { LeaseCore, nextLedger, openLedger } as unknown as Machines
}

function importFrom(folder: string, file: string): Promise<Record<string, unknown>> {
  return import(pathToFileURL(join(folder, file)).href)
}
