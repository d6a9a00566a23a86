import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SuitePlace } from './suite.ts'

const PROGRAMS = fileURLToPath(new URL('./programs', import.meta.url))

/** Copies programs of this folder beside the packages of a suite, where their imports are found. */
export function copyPrograms(names: readonly string[], { installed }: SuitePlace): void {
  for (const name of names) cpSync(join(PROGRAMS, name), join(installed, name))
}
