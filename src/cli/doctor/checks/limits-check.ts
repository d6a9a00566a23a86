import { totalmem } from 'node:os'
import {
  availableCpus,
  chooseConnections,
  chooseWorkers,
  type ContainerLimits,
  readContainerLimits,
  readOpenFilesLimit
} from '../../../config/container.ts'
import {
  DEFAULT_MEMORY_BYTES,
  MIN_MEMORY_BYTES,
  type MemoryPlan,
  planMemory
} from '../../../config/memory-plan.ts'
import type { Config } from '../../../config/settings.ts'
import { isTracing } from '../../../config/trace-settings.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'

export interface Limits extends ContainerLimits {
  readonly openFiles: number | null
  readonly machineBytes: number
}

export const limitsCheck: Check = {
  id: 'limits',
  title: 'memory, CPUs, open files',
  async run({ config }) {
    const limits = {
      ...readContainerLimits(),
      openFiles: readOpenFilesLimit(),
      machineBytes: totalmem()
    }
    return judgeLimits(limits, config, availableCpus(limits))
  }
}

export function judgeLimits(
  limits: Limits,
  config: Config,
  cpus: number
): readonly DoctorFinding[] {
  const limitBytes = config.memory.limitBytes ?? limits.memoryBytes ?? DEFAULT_MEMORY_BYTES
  const wanted = { workers: chooseWorkers(config, cpus), threads: config.transform.threads }
  const wishes = { ...wanted, isTracing: isTracing(config) }
  const plan = limitBytes < MIN_MEMORY_BYTES ? null : planMemory(limitBytes, wishes)
  return [
    judgeMemory(limits, { limitBytes, wanted, plan }),
    judgeCpus(cpus, plan?.workers ?? wanted.workers),
    ...(plan === null ? [] : [judgeFiles(limits.openFiles, config, plan)])
  ]
}

interface Planned {
  readonly limitBytes: number
  readonly wanted: Pick<MemoryPlan, 'workers' | 'threads'>
  readonly plan: MemoryPlan | null
}

function judgeMemory(limits: Limits, { limitBytes, wanted, plan }: Planned): DoctorFinding {
  const source =
    limits.memoryBytes === null
      ? 'no limit but that of the machine'
      : `the container is limited to ${toMb(limits.memoryBytes)}`
  const granted = Math.min(limits.memoryBytes ?? limits.machineBytes, limits.machineBytes)
  if (plan === null) {
    return found('memory-too-small', `${toMb(limitBytes)} of memory are not enough (${source}).`)
  }
  if (limitBytes > granted) {
    return found(
      'memory-beyond',
      `MEMORY_LIMIT is ${toMb(limitBytes)}, but only ${toMb(granted)} are available (${source}).`
    )
  }
  if (plan.workers < wanted.workers || plan.threads < wanted.threads) {
    const what = `${toMb(limitBytes)} hold ${plan.workers} of ${wanted.workers} workers with ${plan.threads} of ${wanted.threads} threads each (${source}).`
    return found('memory-tight', what)
  }
  return found(
    'memory-planned',
    `${toMb(limitBytes)} of memory for ${plan.workers} workers (${source}).`
  )
}

function judgeCpus(cpus: number, workers: number): DoctorFinding {
  const what = `${Math.round(cpus * 100) / 100} CPUs for ${workers} workers.`
  return found(cpus < Math.min(workers, 1) || cpus < workers / 2 ? 'cpus-few' : 'cpus-enough', what)
}

const ENOUGH_CLIENTS = 200

function judgeFiles(openFiles: number | null, config: Config, plan: MemoryPlan): DoctorFinding {
  if (openFiles === null) return found('files-enough', 'Open files are not limited.')
  const wanted = chooseConnections(config, plan, null)
  const fit = chooseConnections(config, plan, openFiles)
  const upstream = config.pool.maxConnections ?? 0
  const what = `${openFiles} open files allow ${fit} client connections for each of ${plan.workers} workers, besides ${upstream} to the upstream.`
  if (openFiles <= upstream + 100) return found('files-too-few', what)
  return found(fit < Math.min(wanted, ENOUGH_CLIENTS) ? 'files-few' : 'files-enough', what)
}

function toMb(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MB`
}
