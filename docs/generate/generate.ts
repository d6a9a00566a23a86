import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Generated } from './generated.ts'

/*
 * Writes what documents repeat of the code: `npm run generate`. With `--check` it writes nothing and fails where a file is
 * stale, as `npm run check` has it.
 */

const ROOT = join(import.meta.dirname, '../..')
const isCheck = process.argv.includes('--check')

const stale = Object.entries(Generated).flatMap(([path, make]) => {
  const before = readFileSync(join(ROOT, path), 'utf8')
  const now = make(before)
  if (now === before) return []
  if (!isCheck) writeFileSync(join(ROOT, path), now)
  return [path]
})

const done = isCheck ? 'Stale; run "npm run generate":' : 'Written:'
if (stale.length > 0) process.stdout.write(`${done} ${stale.join(', ')}\n`)
if (isCheck && stale.length > 0) process.exitCode = 1
