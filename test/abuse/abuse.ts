import { readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { bundledProgram } from '../helper/program.ts'
import { type AbuseFindings, type AbuseRow, toTable, violationsOf } from './row.ts'
import { runRow } from './stand.ts'

/** `npm run abuse -- [--row NAME]...`: tries to end workers and to hold others up; exits with 1 if it can. See docs/lab/abuse.md. */

const { values } = parseArgs({
  options: { row: { type: 'string', multiple: true, default: [] } }
})
const rows = await allRows()
const unknown = values.row.filter((name) => !rows.some((row) => row.name === name))
if (unknown.length > 0) {
  const names = rows.map((row) => row.name).join(', ')
  process.stderr.write(`There is no row ${unknown.join(', ')}. Rows: ${names}\n`)
  process.exit(2)
}
const chosen = values.row.length === 0 ? rows : rows.filter((row) => values.row.includes(row.name))
bundledProgram() // while this process does not stand behind all others
const findings: AbuseFindings[] = []
for (const row of chosen) findings.push(await runRow(row, progress))
const violations = findings.flatMap(violationsOf)
process.stdout.write(`${[toTable(findings), ...violations].join('\n')}\n`)
process.exitCode = violations.length === 0 ? 0 : 1

async function allRows(): Promise<readonly AbuseRow[]> {
  const folder = new URL('rows/', import.meta.url)
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts'))
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)))
  return modules.map((module: { row: AbuseRow }) => module.row)
}

function progress(text: string): void {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}\n`)
}
