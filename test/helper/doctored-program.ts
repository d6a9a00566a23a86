import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const ROOT = join(import.meta.dirname, '../..')

/** The program with a fault in one of its files, in a folder of its own, which goes with the test. Gives that folder. */
export function doctoredProgram(
  t: Test,
  file: string,
  { from, to }: { readonly from: string; readonly to: string }
): string {
  const folder = mkdtempSync(join(tmpdir(), 'doctored-program-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const part of ['src', 'workers', 'package.json'])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const path = join(folder, file)
  const source = readFileSync(path, 'utf8')
  t.equal(source.split(from).length, 2, 'the fault has one place')
  writeFileSync(path, source.replace(from, to))
  return folder
}
