import { existsSync } from 'node:fs'
import path from 'node:path'
import { inspectConfig } from '../config/load.ts'
import { GatewayError, messageOf } from '../shared/errors.ts'
import { parseJsonObject, textMember } from '../shared/json.ts'
import { entryOf, isOfProject } from '../shared/program-name.ts'
import { version } from '../shared/version.ts'
import { type Command, EXIT_OK, UsageError } from './command.ts'
import { Network } from './network.ts'

const REGISTRY = 'https://registry.npmjs.org'
const TIMEOUT_MS = 10_000

export const update: Command = {
  name: 'update',
  summary: 'Says if there is a newer version and how to update.',
  usage: 'kiro-gateway update',
  options: {},
  help: `Asks the npm registry for the newest version (npm_config_registry, or ${REGISTRY}), and says what to run.
It changes nothing. The gateway never asks by itself.`,
  async run(call) {
    if (call.positionals.length > 0) throw new UsageError('update takes only options')
    const { terminal, env, isJson, signal } = call
    const entry = entryOf(process.argv[1] ?? '')
    const installation = installationOf({ entry, cwd: process.cwd(), exists: existsSync })
    const registry = (env['npm_config_registry'] ?? REGISTRY).replace(/\/+$/, '')
    await using network = new Network(inspectConfig(env).config)
    const newest = await askRegistry(network, registry, signal)
    const { steps } = Installations[installation]
    if (isJson) {
      const found = 'version' in newest ? newest.version : null
      terminal.write(JSON.stringify({ version, newest: found, installation, steps }))
      return EXIT_OK
    }
    terminal.write(`This is version ${version}, ${Installations[installation].what}.`)
    terminal.write(sentenceOn(newest, registry))
    if ('version' in newest && compareVersions(newest.version, version) <= 0) return EXIT_OK
    terminal.write('To update:')
    for (const step of steps) terminal.write(`  ${step}`)
    return EXIT_OK
  }
}

type Newest = { readonly version: string } | { readonly problem: string | null }

function sentenceOn(newest: Newest, registry: string): string {
  const host = URL.parse(registry)?.host ?? registry
  if ('version' in newest) {
    return compareVersions(newest.version, version) > 0
      ? `Version ${newest.version} is newer. Its changes are in CHANGELOG.md.`
      : `It is the newest: ${host} has ${newest.version}.`
  }
  return newest.problem === null
    ? `${host} has no published version to compare with.`
    : `Whether there is a newer one is not known: ${host} cannot be asked. ${newest.problem}`
}

async function askRegistry(
  network: Network,
  registry: string,
  signal: AbortSignal
): Promise<Newest> {
  try {
    const { status, text } = await network.call(
      {
        url: `${registry}/kiro-gateway/latest`,
        method: 'GET',
        headers: { accept: 'application/json' },
        timeoutMs: TIMEOUT_MS,
        setting: 'npm_config_registry'
      },
      signal
    )
    const found = status === 200 ? textMember(parseJsonObject(text) ?? {}, 'version') : null
    if (found !== null && VERSION.test(found)) return { version: found }
    return { problem: status === 404 ? null : `It answered with status ${status}.` }
  } catch (cause) {
    if (signal.aborted || !(cause instanceof GatewayError)) throw cause
    return { problem: messageOf(cause).replace(/^The upstream/, 'It') }
  }
}

/** Semantic Versioning, as far as it is compared here. */
const VERSION = /^\d+\.\d+\.\d+(?:-[\w.-]+)?$/

/** Positive if the first is newer. A pre-release is older than its release. */
export function compareVersions(one: string, other: string): number {
  const [numbers, others] = [one, other].map((text) => text.split('-')[0]?.split('.').map(Number))
  const difference = (numbers ?? []).map((number, at) => number - (others?.[at] ?? 0)).find(Boolean)
  return difference ?? Number(other.includes('-')) - Number(one.includes('-'))
}

interface Place {
  readonly entry: string
  readonly cwd: string
  readonly exists: (path: string) => boolean
}

type Installation = keyof typeof Installations

/** Recognises the installation by where its files are. */
export function installationOf({ entry, cwd, exists }: Place): Installation {
  const folders = entry.split(path.sep)
  const root = path.resolve(path.dirname(entry), '..')
  if (folders.includes('_npx')) return 'npx'
  if (folders.includes('node_modules')) return isOfProject({ entry, cwd }) ? 'project' : 'global'
  if (exists(path.join(root, '.git'))) return 'clone'
  return exists('/.dockerenv') || exists('/run/.containerenv') ? 'image' : 'copy'
}

const Installations = {
  npx: {
    what: 'run by npx, which keeps the version it once fetched',
    steps: [
      'npx kiro-gateway@latest',
      'Give client and service commands the same name: kiro-gateway@latest'
    ]
  },
  global: {
    what: 'installed globally with npm',
    steps: [
      'npm install --global kiro-gateway@latest',
      'Then restart the gateway: sudo systemctl restart kiro-gateway, if it is a service'
    ]
  },
  project: {
    what: 'a dependency of this project',
    steps: ['npm install kiro-gateway@latest', 'Then restart the gateway.']
  },
  clone: {
    what: 'a clone of the repository',
    steps: ['git pull && npm ci', 'Then restart the gateway.']
  },
  image: {
    what: 'in a container',
    steps: [
      'Build or pull the new image, then: docker compose up --detach',
      'docker/README.md describes an update without a refused request.'
    ]
  },
  copy: {
    what: 'a copy of the program without git or npm',
    steps: ['Replace the folder by the new version, then restart the gateway.']
  }
} as const satisfies Record<string, { what: string; steps: readonly string[] }>
