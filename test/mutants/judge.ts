import { execFileSync, spawn } from 'node:child_process'
import { globSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import { loadedBy } from './faults.ts'

/** A copy of one version of the project: faults are put into it, never into the project itself. */
export interface Copy {
  readonly root: string
  readonly sources: readonly string[]
  readonly tests: readonly string[]
  /** Files that load a file when they run, by its path. */
  readonly importers: ReadonlyMap<string, readonly string[]>
  /** Test files that have passed without a fault. */
  readonly passing: Set<string>
}

export interface Judgement {
  /** The test file that failed; null if none did. */
  readonly caughtBy: string | null
  readonly tried: readonly string[]
  /** Test files that failed with the fault and twice without it, so that they say nothing of it. */
  readonly unclear: readonly string[]
}

export interface JudgeOptions {
  /** Command that starts each test, such as `nice`. */
  readonly through: readonly string[]
  readonly secondsPerTest: number
  readonly maxTests: number
  readonly maxIntegrationTests: number
}

/** Start gateways as processes, so that imports do not tell what they reach. */
const INTEGRATION = 'test/integration/'
const NODE_FLAGS = ['--import=./test/helper/unwritten-memory.ts']

/** Writes a commit into a folder, beside the modules of the project at `project`. */
export function copyOf(commit: string, project: string, root: string): Copy {
  mkdirSync(root, { recursive: true })
  const archive = execFileSync('git', ['archive', commit], { cwd: project, maxBuffer: 2 ** 30 })
  execFileSync('tar', ['-x', '-C', root], { input: archive })
  linkModules(join(project, 'node_modules'), join(root, 'node_modules'))
  const files = globSync('{src,workers,test}/**/*.ts', { cwd: root }).map((path) =>
    path.replaceAll(sep, '/')
  )
  const importers = new Map<string, string[]>()
  for (const path of files)
    for (const specifier of loadedBy(readFileSync(join(root, path), 'utf8'))) {
      if (!specifier.startsWith('.')) continue
      const loaded = posix.join(posix.dirname(path), specifier)
      importers.set(loaded, [...(importers.get(loaded) ?? []), path])
    }
  return {
    root,
    sources: files.filter((path) => !path.startsWith('test/')).toSorted(),
    tests: files.filter((path) => path.endsWith('.test.ts')).toSorted(),
    importers,
    passing: new Set()
  }
}

/** Links each module, but not what the tests of the project keep beside them: what is made of a copy goes with it. */
function linkModules(from: string, to: string): void {
  mkdirSync(to)
  for (const name of readdirSync(from))
    if (name !== '.cache') symlinkSync(join(from, name), join(to, name))
}

/**
 * Lists the tests that may notice a fault in `path`: those of its name, then those that load it over the fewest files, then
 * integration tests whose names share a word with its path.
 */
export function testsFor(copy: Copy, path: string, options: JudgeOptions): string[] {
  const own = posix.basename(path, '.ts')
  const isOwn = (test: string): boolean => {
    const name = posix.basename(test)
    return name.startsWith(`${own}.`) || name.startsWith(`${own}-`)
  }
  const near = (test: string): number =>
    sharedLength(test.slice('test/'.length), path.slice('src/'.length))
  const distances = distancesFrom(copy, path)
  const loading = copy.tests
    .filter((test) => !test.startsWith(INTEGRATION) && (isOwn(test) || distances.has(test)))
    .toSorted(
      (a, b) =>
        Number(isOwn(b)) - Number(isOwn(a)) ||
        (distances.get(a) ?? 0) - (distances.get(b) ?? 0) ||
        near(b) - near(a)
    )
  const words = wordsOf(path)
  const integration = copy.tests
    .filter((test) => test.startsWith(INTEGRATION))
    .map((test) => ({ test, shared: wordsOf(test).filter((word) => words.includes(word)).length }))
    .filter(({ shared }) => shared > 0)
    .toSorted((a, b) => b.shared - a.shared)
    .map(({ test }) => test)
  return [
    ...loading.slice(0, options.maxTests),
    ...integration.slice(0, options.maxIntegrationTests)
  ]
}

/**
 * Puts `text` in place of the file at `path`, runs `tests` until one notices it, and puts the file back. A test that fails once
 * may be unsteady: it notices the text if it fails twice with it and passes without it.
 */
export async function judge(
  copy: Copy,
  { path, text, tests }: { path: string; text: string; tests: readonly string[] },
  options: JudgeOptions
): Promise<Judgement> {
  const file = join(copy.root, path)
  const original = readFileSync(file, 'utf8')
  const runWith = (test: string): Promise<boolean> => {
    writeFileSync(file, text)
    return run(copy, test, options).finally(() => writeFileSync(file, original))
  }
  const tried: string[] = []
  const unclear: string[] = []
  for (const test of tests) {
    tried.push(test)
    if (await runWith(test)) continue
    if (!(await passesAlone(copy, test, options))) unclear.push(test)
    else if (!(await runWith(test))) return { caughtBy: test, tried, unclear }
  }
  return { caughtBy: null, tried, unclear }
}

/** Whether a test file passes without a fault, at its second run at the latest: the machine may be busy. */
async function passesAlone(copy: Copy, test: string, options: JudgeOptions): Promise<boolean> {
  if (copy.passing.has(test)) return true
  const passes = (await run(copy, test, options)) || (await run(copy, test, options))
  if (passes) copy.passing.add(test)
  return passes
}

/** Whether a test file passes in time. */
function run(copy: Copy, test: string, options: JudgeOptions): Promise<boolean> {
  const [command, ...args] = [...options.through, process.execPath, ...NODE_FLAGS, test]
  const child = spawn(command, args, {
    cwd: copy.root,
    detached: true, // a group of its own, which ends with it
    stdio: 'ignore',
    env: { ...process.env, TAP_BAIL: '1', TAP_TIMEOUT: String(options.secondsPerTest) }
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(endGroup, options.secondsPerTest * 1000, child.pid)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      endGroup(child.pid)
      resolve(code === 0)
    })
  })
}

/** Ends a process and all that it has started. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of them have ended.
  }
}

function distancesFrom(copy: Copy, path: string): ReadonlyMap<string, number> {
  const distances = new Map([[path, 0]])
  for (const [loaded, distance] of distances)
    for (const importer of copy.importers.get(loaded) ?? [])
      if (!distances.has(importer)) distances.set(importer, distance + 1)
  return distances
}

function sharedLength(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length++
  return length
}

function wordsOf(path: string): readonly string[] {
  const words = path.replace(/(\.test)?\.ts$/, '').split(/[/-]/)
  return words.slice(1).map((word) => word.replace(/s$/, ''))
}
