import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
import { CoreWaits } from './core-waits.ts'

/**
 * Loaded into every process of a target (`--import=…?to=FOLDER`): measures how late its event loop runs. SIGURG, which is
 * of no other use here, writes what was measured since the last one to `FOLDER/<pid>`. Workers get no environment but the
 * one they need.
 */

/** Of one process; in milliseconds. */
export interface LoopDelay {
  readonly p50: number
  readonly p99: number
  readonly worst: number
  /** The longest, without the time for which the thread could have run and had no core: that is the machine's. */
  readonly ownWorst: number
  /** Ticks measured. */
  readonly samples: number
}

const ResolutionMs = 10
const folder = new URL(import.meta.url).searchParams.get('to')

/** A loop stood still for so long, and its thread had a core for so much of it; it waited for something else besides. */
export interface Stall {
  readonly ms: number
  readonly cpuMs: number
}

/** How late a timer fires, less the waits for a core that Linux counts. */
export class OwnDelay {
  readonly #waits: CoreWaits
  #at = performance.now()
  #cpu = process.threadCpuUsage()
  #worst: Stall = { ms: 0, cpuMs: 0 }

  /** Whose waits are not the program's own: the loop's thread, by default. */
  constructor(waits = new CoreWaits(process.pid, 'main')) {
    this.#waits = waits
    setInterval(() => this.#look(), ResolutionMs).unref()
  }

  /** The longest since the last call. */
  takeWorst(): Stall {
    const worst = this.#worst
    this.#worst = { ms: 0, cpuMs: 0 }
    return worst
  }

  #look(): void {
    const at = performance.now()
    const { user, system } = process.threadCpuUsage(this.#cpu)
    const cpuMs = (user + system) / 1000
    const awakeMs = at - this.#at - this.#waits.takeLongestMs()
    // What it worked is its own, however long other threads have waited meanwhile.
    const ms = Math.max(awakeMs, cpuMs) - ResolutionMs
    if (ms > this.#worst.ms) this.#worst = { ms, cpuMs }
    this.#cpu = process.threadCpuUsage()
    this.#at = at
  }
}

if (isMainThread && folder !== null) {
  const delays = monitorEventLoopDelay({ resolution: ResolutionMs })
  delays.enable()
  const own = new OwnDelay()
  process.on('SIGURG', () => {
    const report: LoopDelay = {
      p50: toDelayMs(delays.percentile(50)),
      p99: toDelayMs(delays.percentile(99)),
      worst: toDelayMs(delays.max),
      ownWorst: own.takeWorst().ms,
      samples: delays.count
    }
    delays.reset()
    writeFileSync(`${folder}/${process.pid}.part`, JSON.stringify(report))
    renameSync(`${folder}/${process.pid}.part`, `${folder}/${process.pid}`)
  })
}

/** The histogram holds nanoseconds from tick to tick; what is beyond its interval is delay. */
function toDelayMs(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - ResolutionMs)
}
