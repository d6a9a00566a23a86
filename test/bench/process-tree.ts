import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Milliseconds of one unit in which Linux counts a process's time. */
const TickMs = 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** A process and everything it started, threads included; of Linux only. */
export class ProcessTree {
  readonly #root: number

  constructor(root: number) {
    this.#root = root
  }

  /** The processes that live now, the root first. */
  pids(): number[] {
    const parents = new Map<number, number>()
    for (const name of readdirSync('/proc')) {
      const pid = Number(name)
      const stat = Number.isInteger(pid) ? statOf(pid) : null
      if (stat !== null) parents.set(pid, Number(stat[1]))
    }
    const tree = [this.#root]
    // Grows while it is walked: the children of each are found behind it.
    for (const pid of tree) {
      for (const [child, parent] of parents) if (parent === pid) tree.push(child)
    }
    return tree
  }

  /** User and system time so far, of threads and children that have ended too. */
  cpuMs(): number {
    return this.#cpuMsOf(this.pids())
  }

  /** The same, of each process, the root first. */
  cpuMsOfEach(): readonly number[] {
    return this.pids().map((pid) => this.#cpuMsOf([pid]))
  }

  /** The same, of the root alone. */
  rootCpuMs(): number {
    return this.#cpuMsOf([this.#root])
  }

  #cpuMsOf(pids: readonly number[]): number {
    let ticks = 0
    for (const pid of pids) {
      const stat = statOf(pid)
      // utime, stime, cutime, cstime: fields 14 to 17 of proc(5)
      for (const field of stat?.slice(11, 15) ?? []) ticks += Number(field)
    }
    return ticks * TickMs
  }

  /** Proportional set size: what is shared inside the tree counts once. In MB of 2^20 bytes. */
  pssMb(): number {
    return this.#mbOf(/^Pss:\s+(\d+) kB$/m)
  }

  /** What is the tree's alone, whoever else runs the same programs. In MB of 2^20 bytes. */
  privateMb(): number {
    return this.#mbOf(/^Private_Clean:\s+(\d+) kB$/m) + this.#mbOf(/^Private_Dirty:\s+(\d+) kB$/m)
  }

  #mbOf(line: RegExp): number {
    const rollups = this.pids().map((pid) => readText(`/proc/${pid}/smaps_rollup`))
    return rollups.reduce((kib, text) => kib + Number(line.exec(text)?.[1] ?? 0), 0) / 1024
  }
}

/** Fields of `/proc/<pid>/stat` from the state on: a name in front of them may hold spaces and brackets. */
function statOf(pid: number): string[] | null {
  const text = readText(`/proc/${pid}/stat`)
  return text === '' ? null : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Empty for a process that has just gone. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
