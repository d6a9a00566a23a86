import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { ProcessTree } from '../bench/process-tree.ts'

const LimitBytes = 512 * 1024 * 1024
const CpuPeriodUs = 100_000
const Cpus = 2
const SampleMs = 250
/** A hundredth of what a group usually has. */
const UnifiedWeight = { 'cpu.weight': 1 }
const LegacyWeight = { 'cpu.shares': 10 }
/** A hundred times as much: beside other work of the machine, a group counts as one process, however many are in it. */
const UnifiedLead = { 'cpu.weight': 10_000 }
const LegacyLead = { 'cpu.shares': 102_400 }

/** The limits of the compose file around one process tree, and how much memory it took. */
export interface SmallBox {
  /** What to start a program with, so that it runs inside. */
  readonly launcher: readonly string[]
  /** What the container is called in the report. */
  readonly name: string
  peakMb(): number
  /** Processes that the kernel killed for want of memory. */
  kills(): number
  /** Watches the tree where the kernel doesn't. */
  watch(pid: number): void
  /** Once nothing runs inside any more. */
  close(): Promise<void>
}

/** A cgroup where this user may make one, v2 or v1, else a watch over the process tree without a limit. */
export function createSmallBox(): SmallBox {
  const name = `kiro-gateway-abuse-${process.pid}`
  return unifiedBox(name) ?? legacyBox(name) ?? watchedBox()
}

/** Moves itself into the cgroups it is given, then becomes the program. */
function launcherInto(folders: readonly string[]): readonly string[] {
  const moves = folders.map((folder) => `echo $$ > '${folder}/cgroup.procs'`).join(' && ')
  return ['sh', '-c', `${moves} && exec "$@"`, 'sh']
}

function unifiedBox(name: string): SmallBox | null {
  const folder = `/sys/fs/cgroup/${name}`
  const cpus = `${Cpus * CpuPeriodUs} ${CpuPeriodUs}`
  if (!made(folder, { 'memory.max': LimitBytes, 'cpu.max': cpus, ...UnifiedLead })) return null
  return {
    launcher: launcherInto([folder]),
    name: 'cgroup v2, 512 MB and 2 CPUs',
    peakMb: () => Number(readFileSync(`${folder}/memory.peak`, 'utf8')) / 2 ** 20,
    kills: () => figureIn(`${folder}/memory.events`, 'oom_kill'),
    watch: () => {},
    close: () => removeSoon([folder])
  }
}

function legacyBox(name: string): SmallBox | null {
  const memory = `/sys/fs/cgroup/memory/${name}`
  const cpu = `/sys/fs/cgroup/cpu/${name}`
  if (!made(memory, { 'memory.limit_in_bytes': LimitBytes })) return null
  const quota = {
    'cpu.cfs_period_us': CpuPeriodUs,
    'cpu.cfs_quota_us': Cpus * CpuPeriodUs,
    ...LegacyLead
  }
  const folders = made(cpu, quota) ? [memory, cpu] : [memory]
  return {
    launcher: launcherInto(folders),
    name: `cgroup v1, 512 MB${folders.length === 2 ? ' and 2 CPUs' : ''}`,
    peakMb: () => Number(readFileSync(`${memory}/memory.max_usage_in_bytes`, 'utf8')) / 2 ** 20,
    kills: () => figureIn(`${memory}/memory.oom_control`, 'oom_kill'),
    watch: () => {},
    close: () => removeSoon(folders)
  }
}

/**
 * Puts this process, whose attackers would have a machine of their own elsewhere, behind the gateway, and bystanders and
 * upstream (`pids`), which would have theirs, before all: where a cgroup can be made, and a real-time priority be had.
 * Between groups of the same weight the kernel has let those that hardly need a CPU wait for 300 ms. Gives what undoes
 * it.
 */
export function standBack(pids: readonly number[]): () => Promise<void> {
  for (const pid of pids) preferAlways(pid)
  const name = `kiro-gateway-abuse-attackers-${process.pid}`
  for (const [root, weight] of [
    ['/sys/fs/cgroup', UnifiedWeight],
    ['/sys/fs/cgroup/cpu', LegacyWeight]
  ] as const) {
    if (!made(`${root}/${name}`, weight)) continue
    writeFileSync(`${root}/${name}/cgroup.procs`, String(process.pid))
    return async () => {
      writeFileSync(`${root}/cgroup.procs`, String(process.pid))
      await removeSoon([`${root}/${name}`])
    }
  }
  return async () => {}
}

/** With all its threads. Most rows ask for a small part of a CPU; the upstream of endless answers takes one. */
function preferAlways(pid: number): void {
  try {
    execFileSync('chrt', ['--all-tasks', '--rr', '--pid', '1', String(pid)], { stdio: 'ignore' })
  } catch {
    // Not on this system, or not for this user: the figures are those of a busy machine then.
  }
}

function watchedBox(): SmallBox {
  let peak = 0
  let timer: NodeJS.Timeout | undefined
  return {
    launcher: [],
    name: 'no cgroup: memory is the sum of the processes, and nothing enforces the limit',
    peakMb: () => peak,
    kills: () => 0,
    watch: (pid) => {
      const tree = new ProcessTree(pid)
      timer = setInterval(() => (peak = Math.max(peak, tree.pssMb())), SampleMs)
    },
    close: async () => clearInterval(timer)
  }
}

/** `false` where the cgroup, or one of its limits, can't be had; then nothing is left of it. */
function made(folder: string, limits: Readonly<Record<string, string | number>>): boolean {
  try {
    mkdirSync(folder)
  } catch {
    return false
  }
  try {
    for (const [file, value] of Object.entries(limits))
      writeFileSync(`${folder}/${file}`, String(value), { flag: 'r+' }) // a plain folder has no such file
    return true
  } catch {
    rmdirSync(folder)
    return false
  }
}

function figureIn(file: string, name: string): number {
  const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(readFileSync(file, 'utf8'))
  return Number(line?.[1] ?? 0)
}

/** The kernel lets a cgroup go a moment after its last process. */
async function removeSoon(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    for (let tries = 0; tries < 50; tries++) {
      try {
        rmdirSync(folder)
        break
      } catch {
        await delay(100)
      }
    }
  }
}
