import { fork } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import type { PropertyNews } from '../helper/fast-check.ts'
import { importsOf } from '../helper/layer-rules.ts'
import { tokenize } from '../helper/source-tokens.ts'

export interface FuzzOptions {
  /** Test files by their paths from the root; see `propertyFiles()`. */
  readonly files: readonly string[]
  readonly minutes: number
  /** How many files run at once. */
  readonly jobs: number
  /** What the first round's seeds come from. */
  readonly seed: number
  readonly report: (line: string) => void
  readonly signal?: AbortSignal
}

/** One test file under one seed. */
export interface FuzzRun {
  readonly file: string
  readonly seed: number
  readonly replay?: { readonly property: number; readonly path: string }
  /** How long each property of it may go on, and when all is over, in ms. */
  readonly sliceMs: number
  readonly endsAt: number
  /** When it is given up, in ms. */
  readonly hangsAfterMs: number
  readonly signal?: AbortSignal
}

interface FuzzOutcome {
  readonly properties: number
  readonly cases: number
  /** What reproduces the failure; `null` if there was none. */
  readonly failure: string | null
  readonly output: string
}

const root = join(import.meta.dirname, '../..')
const HELPER = 'test/helper/fast-check.ts'

/** The first round is quick, so that every property has had a fresh seed soon; then they get more. */
const FIRST_SLICE_MS = 1000
const SLICE_MS = 5000
/** A file that goes on for so long after all of its properties had their time hangs. */
const PATIENCE_MS = 240_000
/** Enough to see what failed; a counter-example may be long. */
const MAX_OUTPUT = 20_000

/** All test files that check properties, directly or by what they import: whoever uses the helper is found. */
export function propertyFiles(): readonly string[] {
  const paths = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => posix.join('test', path))
  const importers = new Map<string, string[]>()
  for (const path of paths)
    for (const specifier of importsOf(tokenize(readFileSync(join(root, path), 'utf8')))) {
      const target = posix.join(posix.dirname(path), specifier ?? '')
      importers.set(target, [...(importers.get(target) ?? []), path])
    }
  const found = new Set([HELPER])
  for (const path of found) for (const importer of importers.get(path) ?? []) found.add(importer)
  return [...found].filter((path) => path.endsWith('.test.ts')).toSorted()
}

/** Runs all files on fresh seeds, round after round, until the time is over. Returns how many runs failed. */
export async function runFuzz(options: FuzzOptions): Promise<number> {
  const endsAt = Date.now() + options.minutes * 60_000
  const { report, signal } = options
  let { files } = options
  let failures = 0
  for (let round = 0; Date.now() < endsAt && signal?.aborted !== true; round += 1) {
    const startedAt = Date.now()
    const sums = { properties: 0, cases: 0 }
    const idle = new Set<string>()
    const queue = [...files.entries()]
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (Date.now() >= endsAt || signal?.aborted === true) return
        const [index, file] = next
        const outcome = await fuzzFile({
          file,
          seed: (options.seed + round * files.length + index) % 2 ** 31,
          sliceMs: round === 0 ? FIRST_SLICE_MS : SLICE_MS,
          endsAt,
          hangsAfterMs: PATIENCE_MS,
          ...(signal === undefined ? {} : { signal })
        })
        sums.properties += outcome.properties
        sums.cases += outcome.cases
        if (outcome.failure !== null) {
          failures += 1
          report(`${outcome.output}\nFAILED ${outcome.failure}`)
        } else if (outcome.properties === 0) idle.add(file)
      }
    }
    await Promise.all(Array.from({ length: options.jobs }, work))
    // What only imports a generator has nothing to do with more time.
    files = files.filter((file) => !idle.has(file))
    const seconds = Math.round((Date.now() - startedAt) / 1000)
    report(
      `round ${round + 1}: ${sums.properties} properties, ${sums.cases} cases in ${seconds} s, failures so far: ${failures}`
    )
  }
  return failures
}

/** Runs one test file in a process of its own. */
export function fuzzFile(run: FuzzRun): Promise<FuzzOutcome> {
  const { file, seed, replay = null, sliceMs, endsAt, signal } = run
  const child = fork(join(root, file), {
    cwd: root,
    silent: true,
    env: {
      ...process.env,
      FUZZ: JSON.stringify({ seed, replay, sliceMs, endsAt }),
      TAP_TIMEOUT: String(run.hangsAfterMs)
    },
    ...(signal === undefined ? {} : { signal })
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => (output = `${output}${String(chunk)}`.slice(-MAX_OUTPUT)))

  let [properties, cases, under] = [0, 0, 0]
  let failed: Extract<PropertyNews, { type: 'failed' }> | null = null
  const watchdog = setTimeout(() => child.kill('SIGKILL'), run.hangsAfterMs)
  child.on('message', (news: PropertyNews) => {
    watchdog.refresh()
    if (news.type === 'begins') under = news.property
    else if (news.type === 'failed') failed ??= news
    else if (news.type === 'ends') {
      properties += 1
      cases += news.cases
    }
  })
  return new Promise((resolve) => {
    child.on('error', () => {}) // an aborted signal: the end follows
    child.on('close', (code, killedBy) => {
      clearTimeout(watchdog)
      const isWell = (code === 0 && failed === null) || signal?.aborted === true
      const how = killedBy === null ? `exit code ${code}` : `hung or killed by ${killedBy}`
      const what =
        failed === null
          ? `${how}${under === 0 ? '' : `, last begun property ${under}`}`
          : `property ${failed.property}, path ${failed.path}`
      resolve({
        properties,
        cases,
        output,
        failure: isWell
          ? null
          : `${file}, seed ${seed}, ${what}\nreplay: npm run fuzz -- ${replayArguments(file, seed, failed)}`
      })
    })
  })
}

function replayArguments(
  file: string,
  seed: number,
  failed: { readonly property: number; readonly path: string } | null
): string {
  const place = failed === null ? '' : ` --property ${failed.property} --path ${failed.path}`
  return `--replay ${relative('.', file)} --seed ${seed}${place}`
}
