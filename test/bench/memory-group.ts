import { readFileSync } from 'node:fs'

/** What the kernel counts for one memory cgroup, v2 or v1. In MB of 2^20 bytes. */
export class MemoryGroup {
  readonly #folder: string
  readonly #isUnified: boolean

  constructor(folder: string, isUnified: boolean) {
    this.#folder = folder
    this.#isUnified = isUnified
  }

  /** The group that a process is in. */
  static of(pid: number): MemoryGroup {
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
    const legacy = lines.find((line) => line.split(':')[1]?.split(',').includes('memory'))
    const [line] = legacy === undefined ? lines : [legacy]
    const path = line?.split(':').slice(2).join(':') ?? '/'
    const root = legacy === undefined ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory'
    return new MemoryGroup(`${root}${path}`, legacy === undefined)
  }

  /** As `docker stats` shows it: all that is charged, less files that could be dropped at once. */
  usedMb(): number {
    const charged = this.#figure(this.#isUnified ? 'memory.current' : 'memory.usage_in_bytes')
    return (charged - this.#stat('inactive_file')) / 2 ** 20
  }

  /** Of that, what belongs to no file: heaps, buffers, stacks. Without swap it can only be freed by who has it. */
  anonymousMb(): number {
    return this.#stat(this.#isUnified ? 'anon' : 'rss') / 2 ** 20
  }

  /** Processes that were killed for want of memory. */
  kills(): number {
    return this.#lineOf(this.#isUnified ? 'memory.events' : 'memory.oom_control', 'oom_kill')
  }

  /** v1 counts the groups inside under names of their own. */
  #stat(name: string): number {
    return this.#lineOf('memory.stat', this.#isUnified ? name : `total_${name}`)
  }

  #lineOf(file: string, name: string): number {
    const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(this.#read(file))
    return Number(line?.[1] ?? 0)
  }

  #figure(file: string): number {
    return Number(this.#read(file))
  }

  #read(file: string): string {
    return readFileSync(`${this.#folder}/${file}`, 'utf8')
  }
}
