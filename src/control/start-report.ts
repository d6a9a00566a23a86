import { type ContainerLimits, readOpenFilesLimit } from '../config/container.ts'
import type { MemoryPlan } from '../config/memory-plan.ts'
import { listSettings, writeSetting } from '../config/setting-text.ts'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import { linksIn } from '../shared/private-files.ts'
import { version } from '../shared/version.ts'

const MAX_MEMBERS = 20
const MEBIBYTE = 1024 * 1024
const MASK = '[redacted]'

export interface StartFacts {
  readonly config: Config
  readonly limits: ContainerLimits
  readonly memory: MemoryPlan
}

export function logStart(log: Pick<Logger, 'info'>, { config, limits, memory }: StartFacts): void {
  log.info(
    {
      version,
      node: process.versions.node,
      state: config.credentials.stateDir,
      limits: {
        cpus: limits.cpus ?? 'none',
        memory: limits.memoryBytes === null ? 'none' : inMegabytes(limits.memoryBytes),
        'open files': readOpenFilesLimit() ?? 'none'
      },
      shares: {
        memory: inMegabytes(memory.limitBytes),
        workers: memory.workers,
        'threads of each': memory.threads,
        'client connections of each': memory.connectionsPerWorker,
        'memory for bodies of each': inMegabytes(memory.bodyBytesPerWorker)
      }
    },
    'gateway starting'
  )
  const settings = differingSettings(config)
  for (let from = 0; from < settings.length; from += MAX_MEMBERS) {
    const some = Object.fromEntries(settings.slice(from, from + MAX_MEMBERS))
    log.info({ settings: some }, 'settings that differ from the defaults')
  }
}

/** In the form of `.env`; secrets are masked. */
export function differingSettings(config: Config): readonly (readonly [string, string])[] {
  return listSettings().flatMap(({ group, name, setting }) => {
    const value: unknown = Reflect.get(Object(Reflect.get(config, group)), name)
    if (setting.env === 'STATE_DIR') return [] // it is said in any case
    if (JSON.stringify(value) === JSON.stringify(setting.default)) return []
    return [[setting.env, setting.isSecret === true ? MASK : writeSetting(setting, value)] as const]
  })
}

/** Warns about links in STATE_DIR, which are not written through. Never rejects. */
export async function logLinks(
  log: Pick<Logger, 'warn'>,
  { credentials: { stateDir } }: Pick<Config, 'credentials'>
): Promise<void> {
  const links = (await linksIn(stateDir)).toSorted()
  if (links.length > 0) log.warn({ folder: stateDir, links }, 'symbolic links are not followed')
}

export function logReady(
  log: Pick<Logger, 'info'>,
  { server: { host }, observe: { dashboard } }: Pick<Config, 'server' | 'observe'>,
  port: number
): void {
  const here = `http://${addressFor(host)}:${port}`
  log.info(
    {
      url: `http://${host}:${port}`,
      open: {
        ...(dashboard === 'on' && { dashboard: `${here}/` }),
        'base URL, OpenAI': `${here}/v1`,
        'base URL, Anthropic': here,
        description: `${here}/docs`,
        metrics: `${here}/metrics`
      }
    },
    'gateway ready'
  )
}

function addressFor(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / MEBIBYTE)} MB`
}
