import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/*
 * Prepares a release: `npm run release -- 1.0.0`. Sets the version, gives the topmost section of CHANGELOG.md its version and date,
 * writes generated files again, checks, tests, commits, and tags. Pushes nothing. `--print` shows what the notes are.
 */

const ROOT = import.meta.dirname
/** The workflow publishes no others. */
const VERSION = /^\d+\.\d+\.\d+$/
/** Files beside package.json that name the version. */
const NAMING = ['docker/kubernetes/overlay/kustomization.yaml', 'docker/kubernetes/README.md']
const UNRELEASED = /^## .*\(not released\)$/m

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    print: { type: 'boolean', default: false },
    'no-tests': { type: 'boolean', default: false }
  }
})

try {
  release()
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n`)
  process.exitCode = 1
}

function release(): void {
  const version = positionals[0] ?? ''
  if (!VERSION.test(version)) throw new Error('Say which version: npm run release -- 1.0.0')
  const changelog = read('CHANGELOG.md')
  const notes = notesOf(changelog)
  if (values.print) {
    say(notes)
    return
  }
  requireClean()
  requireNewer(version)
  const date = new Date().toISOString().slice(0, 10)
  write('CHANGELOG.md', changelog.replace(UNRELEASED, `## ${version} (${date})`))
  const { version: before } = JSON.parse(read('package.json'))
  for (const path of NAMING) write(path, read(path).replaceAll(before, version))
  run('npm', 'version', version, '--no-git-tag-version', '--allow-same-version')
  run('npm', 'run', '--silent', 'generate')
  run('npm', 'run', '--silent', 'check')
  if (!values['no-tests']) run('npm', 'test')
  run('git', 'commit', '--quiet', '--all', '--message', `chore(release): ${version}`)
  const tag = ['tag', '--annotate', `v${version}`, '--cleanup=verbatim', '--message']
  run('git', ...tag, `${version}\n\n${notes}`)
  say(
    `Prepared ${version}: committed, and tagged v${version} with the notes below. Nothing is pushed; this publishes it:`
  )
  say(`  git push --follow-tags\n\n${notes}`)
}

/** The topmost section, without its heading. */
function notesOf(changelog: string): string {
  const [heading = ''] = UNRELEASED.exec(changelog) ?? []
  if (heading === '') throw new Error('CHANGELOG.md has no section that is "(not released)".')
  const rest = changelog.slice(changelog.indexOf(heading) + heading.length)
  const notes = rest.split(/^## /m, 1)[0]?.trim() ?? ''
  if (notes === '') throw new Error('CHANGELOG.md says nothing about this release.')
  return notes
}

function requireClean(): void {
  const changed = output('git', 'status', '--porcelain')
  if (changed !== '') throw new Error(`Commit or remove these first:\n${changed}`)
}

function requireNewer(version: string): void {
  if (output('git', 'tag', '--list', `v${version}`) !== '')
    throw new Error(`v${version} is released already. Choose a newer version.`)
  const { version: before } = JSON.parse(read('package.json'))
  if (version.localeCompare(before, 'en', { numeric: true }) < 0)
    throw new Error(`${version} is older than ${before}. Choose a newer version.`)
}

function run(program: string, ...args: readonly string[]): void {
  say(`$ ${[program, ...args].join(' ').split('\n', 1)[0]}`)
  try {
    execFileSync(program, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  } catch {
    throw new Error(
      `${program} ${args[0]} failed, so nothing is committed. "git checkout ." takes the changes back.`
    )
  }
}

function output(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { cwd: ROOT, encoding: 'utf8' }).trim()
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

function write(path: string, text: string): void {
  writeFileSync(join(ROOT, path), text)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
