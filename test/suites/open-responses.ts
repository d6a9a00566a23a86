import { join } from 'node:path'
import { runProgram } from './run-program.ts'
import type { Case, SuitePlace } from './suite.ts'

/** Runs the compliance tests of Open Responses by their own program; `tsx` finds the imports that it writes without endings. */
export async function runOpenResponses(place: SuitePlace): Promise<readonly Case[]> {
  const cwd = join(place.installed, 'source')
  const gateway = ['--base-url', `${place.url}/v1`, '--api-key', place.key, '--model', place.model]
  const argv = [process.execPath, '--import', 'tsx', 'bin/compliance-test.ts', ...gateway, '--json']
  const { stdout, stderr } = await runProgram({ argv, cwd }, place)
  const start = stdout.indexOf('{')
  if (start < 0) return [{ name: 'the program', problem: stderr.slice(-2000) }]
  const { results } = JSON.parse(stdout.slice(start)) as { results: readonly ComplianceResult[] }
  return results.map(toCase)
}

interface ComplianceResult {
  readonly id: string
  readonly status: 'passed' | 'failed' | 'skipped'
  readonly errors?: readonly string[]
}

function toCase({ id, status, errors = [] }: ComplianceResult): Case {
  if (status === 'skipped') return { name: id, problem: null, isSkipped: true }
  return { name: id, problem: status === 'passed' ? null : errors.join('; ') }
}
