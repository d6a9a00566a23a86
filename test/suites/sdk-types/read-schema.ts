import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram } from '../run-program.ts'
import type { SuitePlace } from '../suite.ts'
import { TypeChecker } from './check-type.ts'

const PROGRAMS = fileURLToPath(new URL('../programs', import.meta.url))

/** Makes a checker of the types in a file of `programs/`, with the SDK that is installed at `place`. */
export async function readTypes(file: string, place: SuitePlace): Promise<TypeChecker> {
  const { installed } = place
  for (const name of [file, 'answer-schemas.mjs']) {
    cpSync(join(PROGRAMS, name), join(installed, name))
  }
  const argv = [process.execPath, 'answer-schemas.mjs', file, 'schema.json']
  const { code, stderr } = await runProgram({ argv, cwd: installed }, place)
  if (code !== 0) throw new Error(`no schema of ${file}: ${stderr}`)
  return new TypeChecker(JSON.parse(readFileSync(join(installed, 'schema.json'), 'utf8')))
}
