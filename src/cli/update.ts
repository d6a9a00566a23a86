import { inspectConfig } from '../config/load.ts'
import { GatewayError, messageOf, operatorError } from '../shared/errors.ts'
import { parseJsonObject, textMember } from '../shared/json.ts'
import { version } from '../shared/version.ts'
import { type Command, EXIT_OK, UsageError } from './command.ts'
import { type Installation, programHere } from './installation.ts'
import { Network } from './network.ts'

const CHANGES = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/CHANGELOG.md'
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
    const { installation } = programHere()
    const registry = (env['npm_config_registry'] ?? REGISTRY).replace(/\/+$/, '')
    if (!/^https?:$/.test(URL.parse(registry)?.protocol ?? ''))
      throw operatorError(
        'npm_config_registry must be an address that begins with https:// or http://.'
      )
    await using network = new Network(inspectConfig(env).config)
    const newest = await askRegistry(network, registry, signal)
    const isUnpublished = 'problem' in newest && newest.problem === null
    const steps = updateSteps(installation, isUnpublished)
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
      ? `Version ${newest.version} is newer. Its changes: ${CHANGES}`
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

export function updateSteps(installation: Installation, isUnpublished: boolean): readonly string[] {
  const { steps, unpublished } = Installations[installation]
  return (isUnpublished ? unpublished : null) ?? steps
}

/** Last steps where a service may run this program. */
const RESTART = ['Then restart the gateway. If it is a service:', 'kiro-gateway service restart']
const IMAGE_STEPS = [
  'docker compose -f docker/docker-compose.deploy.yml up --detach',
  'docker/README.md describes an update without a refused request.'
]
/** Packages that no registry has come from a clone. */
const PACK = 'In a clone of the repository: git pull && npm ci && npm pack'

interface Advice {
  readonly what: string
  readonly steps: readonly string[]
  /** Steps while the package is in no registry; `null`: the same. */
  readonly unpublished: readonly string[] | null
}

const Installations: Readonly<Record<Installation, Advice>> = {
  npx: {
    what: 'run by npx, which keeps the version it once fetched',
    steps: [
      'npx kiro-gateway@latest',
      'Give client commands the same name: kiro-gateway@latest. For a service, install it: npm install --global kiro-gateway'
    ],
    unpublished: [PACK, 'npx --yes --package ./kiro-gateway-VERSION.tgz kiro-gateway']
  },
  global: {
    what: 'installed globally with npm',
    steps: ['npm install --global kiro-gateway@latest', ...RESTART],
    unpublished: [PACK, 'npm install --global ./kiro-gateway-VERSION.tgz', ...RESTART]
  },
  project: {
    what: 'a dependency of this project',
    steps: ['npm install kiro-gateway@latest', ...RESTART],
    unpublished: [PACK, 'In this project: npm install ./kiro-gateway-VERSION.tgz', ...RESTART]
  },
  clone: {
    what: 'a clone of the repository',
    steps: ['git pull && npm ci', ...RESTART],
    unpublished: null
  },
  image: {
    what: 'in a container',
    steps: [
      'docker pull ghcr.io/kiro-gateway/kiro-gateway:latest, or build the image from the new sources',
      ...IMAGE_STEPS
    ],
    unpublished: [
      'git pull && docker build -f docker/Dockerfile -t kiro-gateway_kiro-gateway:latest .',
      ...IMAGE_STEPS
    ]
  },
  copy: {
    what: 'a copy of the program without git or npm',
    steps: ['Replace the folder by the new version.', ...RESTART],
    unpublished: null
  }
}
