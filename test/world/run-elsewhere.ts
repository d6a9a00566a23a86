import { execFile } from 'node:child_process'
import { argumentsOf, type Recipe } from './reproduce.ts'
import type { Verdict } from './shrink.ts'

const PROGRAM = new URL('simulate.ts', import.meta.url).pathname
const MOST_OUTPUT_BYTES = 2 ** 26

export interface Elsewhere {
  /** All that it printed. */
  readonly text: string
  /** `null` if it could not say, as when its time was over. */
  readonly verdict: Verdict | null
}

/** Lives through a world in a process of its own: time stands still there for all who wait for it. `root`: of another copy of the project. */
export function runElsewhere(recipe: Recipe, timeoutMs = 0): Promise<Elsewhere> {
  const { promise, resolve } = Promise.withResolvers<Elsewhere>()
  const args = ['--disable-warning=ExperimentalWarning', PROGRAM, ...argumentsOf(recipe), '--whole']
  const options = { timeout: Math.ceil(timeoutMs), maxBuffer: MOST_OUTPUT_BYTES }
  execFile(process.execPath, args, options, (_error, stdout, stderr) =>
    resolve({ text: stdout + stderr, verdict: verdictIn(stdout) })
  )
  return promise
}

/** Reads the summary, which is the first line unless there is a log. */
function verdictIn(text: string): Verdict | null {
  const line = text.split('\n').find((one) => one.startsWith('{"seed":'))
  return line === undefined ? null : (JSON.parse(line) as Verdict)
}
