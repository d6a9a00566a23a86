import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Case, SuitePlace } from './suite.ts'

/** Longest time that one suite may take. */
const SUITE_TIMEOUT_MS = 900_000
const MAX_PROBLEM_CHARS = 600

export interface ProgramOutput {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a program of a suite with the gateway's address in its environment, and nothing of the user's keys. */
export async function runProgram(program: Program, place: SuitePlace): Promise<ProgramOutput> {
  const [command = '', ...args] = program.argv
  const child = spawn(command, args, {
    cwd: program.cwd,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: place.installed,
      GATEWAY_URL: place.url,
      GATEWAY_KEY: place.key,
      GATEWAY_MODEL: place.model,
      ...(place.isOnline && { ONLINE: '1' }),
      NO_COLOR: '1',
      ...program.env
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: SUITE_TIMEOUT_MS,
    signal: place.signal
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}

/** Runs a program that prints one case as JSON on each line. */
export async function runCases(program: Program, place: SuitePlace): Promise<readonly Case[]> {
  const { code, stdout, stderr } = await runProgram(program, place)
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  const cases = lines.map((line) => JSON.parse(line) as Case).map(shortened)
  if (code === 0) return cases
  return [...cases, { name: 'the program', problem: `ended with ${code}: ${stderr.slice(-2000)}` }]
}

/** Runs test files with the vitest that a suite has installed. */
export async function runVitest(
  files: readonly string[],
  cwd: string,
  place: SuitePlace
): Promise<readonly Case[]> {
  const report = join(place.installed, 'report.json')
  rmSync(report, { force: true })
  const vitest = join(place.installed, 'node_modules/vitest/vitest.mjs')
  const flags = ['--root', place.installed, '--reporter', 'json', '--outputFile', report]
  const argv = [process.execPath, vitest, 'run', ...flags, ...files]
  const { stderr, stdout } = await runProgram({ argv, cwd }, place)
  if (!existsSync(report)) {
    return [{ name: 'vitest', problem: `${stdout}${stderr}`.slice(-2000) }]
  }
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as VitestReport
  return testResults.flatMap(({ message, assertionResults }) => {
    if (assertionResults.length === 0) return [{ name: 'vitest', problem: message }]
    return assertionResults.map(toCase).map(shortened)
  })
}

interface VitestReport {
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly VitestResult[]
  }[]
}

interface VitestResult {
  readonly fullName: string
  readonly status: string
  readonly failureMessages: readonly string[]
}

function toCase({ fullName, status, failureMessages }: VitestResult): Case {
  if (status === 'passed') return { name: fullName, problem: null }
  if (status === 'failed') return { name: fullName, problem: failureMessages.join('\n') }
  return { name: fullName, problem: null, isSkipped: true }
}

function shortened(one: Case): Case {
  if (one.problem === null) return one
  // Without the stack, which names folders of this machine.
  const [said = ''] = one.problem.split(/\n\s+at /)
  return { ...one, problem: said.slice(0, MAX_PROBLEM_CHARS) }
}
