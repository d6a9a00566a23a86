import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { argumentsOf, type Recipe } from './reproduce.ts'
import type { Verdict } from './shrink.ts'

const PROGRAM = 'test/world/simulate.ts'
const PROJECT = join(import.meta.dirname, '../..')
const MOST_OUTPUT_BYTES = 2 ** 26

export interface Elsewhere {
  /** All that it printed. */
  readonly text: string
  /** What it said beside that. */
  readonly errors: string
  /** `null` if it could not say, as when its time was over. */
  readonly verdict: Verdict | null
  /** Of its log; `null` if it could not say. */
  readonly digest: string | null
  /** CPU time, in seconds; what passed on the wall if it could not say. */
  readonly cpuS: number
}

/** What a world says of itself, in part. */
interface Summary extends Verdict {
  readonly digest: string
  readonly cpuS: number
}

export interface ElsewhereOptions {
  readonly root?: string
  /** 0 for no limit. */
  readonly timeoutMs?: number
  readonly onProgress?: (text: string) => void
}

/**
 * Lives through a world in a process of its own: time stands still there for all who wait for it. `root`: another copy of
 * the project. `onProgress` gets what it says while it runs.
 */
export function runElsewhere(
  recipe: Recipe,
  { root = PROJECT, timeoutMs = 0, onProgress }: ElsewhereOptions = {}
): Promise<Elsewhere> {
  const { promise, resolve } = Promise.withResolvers<Elsewhere>()
  const args = ['--disable-warning=ExperimentalWarning', join(root, PROGRAM)]
  const begunAt = performance.now()
  const child = execFile(
    process.execPath,
    [...args, ...argumentsOf(recipe), '--whole'],
    { timeout: Math.ceil(timeoutMs), maxBuffer: MOST_OUTPUT_BYTES, env: environment(root) },
    (_error, stdout, stderr) => {
      const summary = summaryIn(stdout)
      const cpuS = summary?.cpuS ?? (performance.now() - begunAt) / 1e3
      const digest = summary?.digest ?? null
      resolve({ text: stdout, errors: stderr, verdict: summary, digest, cpuS })
    }
  )
  if (onProgress !== undefined) child.stderr?.on('data', onProgress)
  return promise
}

/** Code is compiled once for all worlds, unless its coverage is counted: then nothing may be left out. */
function environment(root: string): NodeJS.ProcessEnv {
  const { env } = process
  if (env['NODE_V8_COVERAGE'] !== undefined) return env
  return { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/kiro-gateway-world'), ...env }
}

/** Reads the summary, which is the first line unless there is a log. */
function summaryIn(text: string): Summary | null {
  const line = text.split('\n').find((one) => one.startsWith('{"seed":'))
  return line === undefined ? null : (JSON.parse(line) as Summary)
}
