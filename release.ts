import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/*
 * Prepares a release: `npm run release -- 1.0.0`. Sets the version, gives the topmost section of CHANGELOG.md its version and date,
 * pins the image's base to the digest that its tag has today, writes generated files again, checks, tests, commits, and tags.
 * Pushes nothing. `--print` shows what the notes are.
 */

const ROOT = import.meta.dirname
/** The workflow publishes no others. */
const VERSION = /^\d+\.\d+\.\d+$/
/** Files beside package.json that name the version. */
const NAMING = ['docker/kubernetes/overlay/kustomization.yaml', 'docker/kubernetes/README.md']
const DOCKERFILE = 'docker/Dockerfile'
/** Image of Node and its digest, which a new version of Node has not yet. */
const BASE = /^ARG NODE_IMAGE=(?<name>[a-z]+):(?<tag>[\w.-]+)(?:@sha256:[0-9a-f]{64})?$/m
const INDEXES =
  'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json'
const PLATFORMS = ['amd64', 'arm64']
const TIMEOUT_MS = 30_000
const UNRELEASED = /^## .*\(not released\)$/m

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    print: { type: 'boolean', default: false },
    'no-tests': { type: 'boolean', default: false },
    registry: { type: 'string', default: 'https://registry-1.docker.io' }
  }
})

try {
  await release()
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n`)
  process.exitCode = 1
}

async function release(): Promise<void> {
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
  const base = await baseByDigest(read(DOCKERFILE))
  const date = new Date().toISOString().slice(0, 10)
  write('CHANGELOG.md', changelog.replace(UNRELEASED, `## ${version} (${date})`))
  const { version: before } = JSON.parse(read('package.json'))
  write(DOCKERFILE, read(DOCKERFILE).replace(BASE, base))
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

/** The line of the Dockerfile, with the digest of the index that the tag names now, as computed from its bytes. */
async function baseByDigest(dockerfile: string): Promise<string> {
  const { name = '', tag = '' } = BASE.exec(dockerfile)?.groups ?? {}
  if (name === '') throw new Error(`${DOCKERFILE} names no base: ARG NODE_IMAGE=node:…`)
  const url = `${values.registry}/v2/library/${name}/manifests/${tag}`
  try {
    const index = await readIndex(url)
    const { manifests = [] } = JSON.parse(index.toString())
    const has = (architecture: string): boolean =>
      manifests.some(({ platform }: Manifest) => platform?.architecture === architecture)
    if (!PLATFORMS.every(has)) throw new Error(`It is not there for ${PLATFORMS.join(' and ')}.`)
    const digest = createHash('sha256').update(index).digest('hex')
    return `ARG NODE_IMAGE=${name}:${tag}@sha256:${digest}`
  } catch (cause) {
    const { message } = cause instanceof Error ? ownCause(cause) : new Error(String(cause))
    throw new Error(
      `The digest of ${name}:${tag} is not known: ${url} cannot be read. ${message}`,
      { cause }
    )
  }
}

/** Returns why a call failed: fetch() itself says only that. */
function ownCause(error: Error): Error {
  return error.cause instanceof Error ? error.cause : error
}

interface Manifest {
  readonly platform?: { readonly architecture?: string }
}

/** Signs in as nobody, as the registry asks for in its first answer. */
async function readIndex(url: string): Promise<Buffer> {
  const first = await ask(url, {})
  const { realm, service, scope } = challengeIn(first.headers.get('www-authenticate') ?? '')
  if (first.status !== 401 || realm === undefined) return bodyOf(first)
  const query = new URLSearchParams({ service: service ?? '', scope: scope ?? '' })
  const signIn = JSON.parse(
    (await bodyOf(await ask(`${realm}?${query.toString()}`, {}))).toString()
  )
  return bodyOf(await ask(url, { authorization: `Bearer ${signIn.token}` }))
}

function ask(url: string, headers: Readonly<Record<string, string>>): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  return fetch(url, { headers: { accept: INDEXES, ...headers }, signal })
}

function challengeIn(header: string): Readonly<Record<string, string | undefined>> {
  const pairs = header.matchAll(/(\w+)="([^"]*)"/g)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
}

async function bodyOf(response: Response): Promise<Buffer> {
  if (response.status !== 200) throw new Error(`It answered with status ${response.status}.`)
  return Buffer.from(await response.arrayBuffer())
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
