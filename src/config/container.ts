import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { MemoryPlan } from './memory-plan.ts'
import type { Config } from './settings.ts'

export interface ContainerLimits {
  readonly cpus: number | null
  readonly memoryBytes: number | null
}

export type ReadText = (path: string) => string | null

/** Reads the tightest limits of this process's cgroup and all above, v2 or v1. */
export function readContainerLimits(read: ReadText = readText): ContainerLimits {
  const groups = parseOwnGroups(read('/proc/self/cgroup') ?? '')
  const v2 = ancestors(groups.get('') ?? '/').map((path) => join('/sys/fs/cgroup', path))
  const v1 = (controller: string) =>
    ancestors(groups.get(controller) ?? '/').map((path) => join('/sys/fs/cgroup', controller, path))
  const cpus = [
    ...v2.map((path) => parseCpuMax(read(join(path, 'cpu.max')) ?? '')),
    ...v1('cpu').map((path) =>
      parseCfsQuota(
        read(join(path, 'cpu.cfs_quota_us')) ?? '',
        read(join(path, 'cpu.cfs_period_us')) ?? ''
      )
    )
  ]
  const memory = [
    ...v2.map((path) => join(path, 'memory.max')),
    ...v1('memory').map((path) => join(path, 'memory.limit_in_bytes'))
  ]
  return {
    cpus: tightest(cpus),
    memoryBytes: tightest(memory.map((path) => parseMemoryLimit(read(path) ?? '')))
  }
}

/** Parses `cpu.max` of v2: `<quota> <period>` or `max <period>`. */
export function parseCpuMax(text: string): number | null {
  const [quota = '', period = ''] = text.trim().split(/\s+/)
  return parseCfsQuota(quota, period)
}

/** Parses quota and period of v1 in µs; -1 means none. */
export function parseCfsQuota(quotaText: string, periodText: string): number | null {
  const quota = toWholeNumber(quotaText)
  const period = toWholeNumber(periodText)
  return quota === null || period === null ? null : quota / period
}

/** Parses `memory.max` (v2) or `memory.limit_in_bytes` (v1, where a huge number means none). */
export function parseMemoryLimit(text: string): number | null {
  const bytes = toWholeNumber(text)
  return bytes === null || bytes >= UNLIMITED_FROM ? null : bytes
}

export function availableCpus(limits: ContainerLimits, parallelism = availableParallelism()) {
  return Math.min(parallelism, limits.cpus ?? parallelism)
}

export function chooseWorkers({ cluster, pool }: Pick<Config, 'cluster' | 'pool'>, cpus: number) {
  const wanted = cluster.workers ?? Math.max(1, Math.min(2, Math.floor(cpus)))
  return Math.min(wanted, pool.maxConnections ?? wanted)
}

/** Client connections of a worker, as configured or planned, within the limit of open files. */
export function chooseConnections(
  { server, pool }: Pick<Config, 'server' | 'pool'>,
  plan: Pick<MemoryPlan, 'connectionsPerWorker' | 'workers'>,
  openFiles: number | null
): number {
  const wanted = server.maxConnections
  const share =
    wanted === null ? plan.connectionsPerWorker : Math.max(1, Math.floor(wanted / plan.workers))
  return fitOpenFiles(share, openFiles, pool.maxConnections)
}

/** Prevents running out of files: Node would silently close accepted connections. */
function fitOpenFiles(share: number, openFiles: number | null, maxUpstream: number | null) {
  if (openFiles === null) return share
  const free = openFiles - OWN_FILES
  const unused = free - (maxUpstream ?? free)
  return Math.max(1, Math.min(share, Math.max(unused, Math.floor(free / 2))))
}

/** A worker's other files (25, with all threads), refused connections, and some to spare. */
const OWN_FILES = 80

/** Limit of this process's open files; `null` without limit. */
export function readOpenFilesLimit(read: ReadText = readText): number | null {
  const [, soft = ''] = /^Max open files\s+(\S+)/m.exec(read('/proc/self/limits') ?? '') ?? []
  return toWholeNumber(soft)
}

const LIMIT_LOOK_MS = 1_000

export function followOpenFiles(
  planned: number,
  maxUpstream: () => number | null,
  { readLimit = () => readOpenFilesLimit(), now = () => performance.now() } = {}
): () => number {
  let connections = planned
  let readAt = -Infinity
  return () => {
    if (now() - readAt < LIMIT_LOOK_MS) return connections
    readAt = now()
    const openFiles = readLimit()
    if (openFiles === null) return connections // without a file to spare it can't be read
    connections = fitOpenFiles(planned, openFiles, maxUpstream())
    return connections
  }
}

/** Memory used as `docker stats` shows it, without unused file cache. `null` without limit. */
export function readMemoryUsed(read: ReadText = readText): number | null {
  const groups = parseOwnGroups(read('/proc/self/cgroup') ?? '')
  const v2 = join('/sys/fs/cgroup', groups.get('') ?? '/')
  const v1 = join('/sys/fs/cgroup/memory', groups.get('memory') ?? '/')
  for (const [folder, used, max] of [
    [v2, 'memory.current', 'memory.max'],
    [v1, 'memory.usage_in_bytes', 'memory.limit_in_bytes']
  ] as const) {
    const bytes = toWholeNumber(read(join(folder, used)) ?? '')
    if (bytes === null || parseMemoryLimit(read(join(folder, max)) ?? '') === null) continue
    const [, cached = '0'] =
      /^(?:total_)?inactive_file (\d+)$/m.exec(read(join(folder, 'memory.stat')) ?? '') ?? []
    return Math.max(0, bytes - Number(cached))
  }
  return null
}

/** v1 says 2^63 less a page for "no limit". */
const UNLIMITED_FROM = 1024 ** 5

function toWholeNumber(text: string): number | null {
  const trimmed = text.trim()
  return /^[0-9]+$/.test(trimmed) && Number(trimmed) > 0 ? Number(trimmed) : null
}

function tightest(limits: readonly (number | null)[]): number | null {
  const known = limits.filter((limit) => limit !== null)
  return known.length === 0 ? null : Math.min(...known)
}

/** Lines are `<id>:<controllers>:<path>`; v2 has no controllers, v1 may have several in one. */
function parseOwnGroups(text: string): ReadonlyMap<string, string> {
  const groups = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, controllers, ...path] = line.split(':')
    for (const controller of controllers?.split(',') ?? []) groups.set(controller, path.join(':'))
  }
  return groups
}

/** `/a/b` is limited by `/a/b`, `/a` and `/`. In a container only `/` exists, whatever the path says. */
function ancestors(path: string): readonly string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  return [...names.keys(), names.length].map((length) => `/${names.slice(0, length).join('/')}`)
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null // no such controller, or not readable for us
  }
}
