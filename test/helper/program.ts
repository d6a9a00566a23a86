import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/*
 * The program that tests start. It is a bundle, as in the image, of the sources as they are now: its processes start in half the
 * CPU time that those of the sources take. It is made once and kept for all test processes, until a source changes.
 */

const ROOT = join(import.meta.dirname, '../..')
const KEPT = join(ROOT, 'node_modules/.cache/kiro-gateway-test-programs')
/** Everything a bundle depends on. */
const SOURCES = ['package-lock.json', 'package.json', 'build.ts', 'bundle.ts', 'src', 'workers']
const UNUSED_MS = 24 * 3_600_000

/** An entry, and where its processes keep what V8 has compiled. */
export interface Program {
  readonly entry: string
  readonly compiled: string
}

/** The sources themselves, for coverage, figures, and tests that look at modules. */
export const SOURCE_PROGRAM: Program = {
  entry: join(ROOT, 'src/start.js'),
  compiled: join(ROOT, 'node_modules/.cache/kiro-gateway-test')
}

let bundled: Program | undefined

/** For commands: the bundle, or the sources where tap counts the coverage of what a test starts. */
export function programForCommands(): Program {
  return process.env['_TAPJS_PROCESSINFO_COVERAGE_'] === '1' ? SOURCE_PROGRAM : bundledProgram()
}

/** The bundle of the sources, laid out as in the image. Gateways reach hardly a line that nothing else does, so their coverage is not counted. */
export function bundledProgram(): Program {
  bundled ??= findOrBundle()
  return bundled
}

function findOrBundle(): Program {
  const folder = join(KEPT, hashOfSources())
  if (!existsSync(folder)) bundle(folder)
  const now = new Date()
  utimesSync(folder, now, now)
  return { entry: join(folder, 'src/start.js'), compiled: join(folder, 'compiled') }
}

function hashOfSources(): string {
  const hash = createHash('sha256')
  for (const part of SOURCES) {
    const pattern = statSync(join(ROOT, part)).isDirectory() ? `${part}/**/*.*` : part
    for (const path of globSync(pattern, { cwd: ROOT }).toSorted())
      hash.update(`${path}\0`).update(readFileSync(join(ROOT, path)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** As the Dockerfile does. Several test processes may do it at once: the first to end wins. */
function bundle(target: string): void {
  mkdirSync(KEPT, { recursive: true })
  removeUnused()
  const folder = mkdtempSync(join(KEPT, 'new-'))
  const clone = cloneSources()
  for (const script of ['build.ts', 'bundle.ts'])
    execFileSync(process.execPath, ['--no-warnings', script], { cwd: clone, env: {} })
  for (const part of ['package.json', 'src/start.js', 'dist'])
    cpSync(join(clone, part), join(folder, part), { recursive: true })
  rmSync(clone, { recursive: true })
  for (const part of ['docs', 'llms.txt']) symlinkSync(join(ROOT, part), join(folder, part))
  try {
    renameSync(folder, target)
  } catch (error) {
    rmSync(folder, { recursive: true })
    if (!existsSync(target)) throw error
  }
}

/** Elsewhere, since Node reads no types below `node_modules`. */
function cloneSources(): string {
  const clone = mkdtempSync(join(tmpdir(), 'gateway-bundle-'))
  for (const part of SOURCES) cpSync(join(ROOT, part), join(clone, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
  return clone
}

/** Bundles of earlier sources. */
function removeUnused(): void {
  for (const name of readdirSync(KEPT)) {
    const folder = join(KEPT, name)
    if (Date.now() - statSync(folder).mtimeMs > UNUSED_MS) rmSync(folder, { recursive: true })
  }
}
