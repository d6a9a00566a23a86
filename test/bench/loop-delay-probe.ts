import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/**
 * Loaded into every process of a target (`--import=…?to=FOLDER`): measures how late its event loop runs. SIGUSR2 writes
 * what was measured since the last one to `FOLDER/<pid>`. Workers get no environment but the one they need.
 */

/** Of one process; in milliseconds. */
export interface LoopDelay {
  readonly p50: number
  readonly p99: number
  readonly worst: number
  /** Ticks measured. */
  readonly samples: number
}

const ResolutionMs = 10
const folder = new URL(import.meta.url).searchParams.get('to')

if (isMainThread && folder !== null) {
  const delays = monitorEventLoopDelay({ resolution: ResolutionMs })
  delays.enable()
  process.on('SIGUSR2', () => {
    const report: LoopDelay = {
      p50: toDelayMs(delays.percentile(50)),
      p99: toDelayMs(delays.percentile(99)),
      worst: toDelayMs(delays.max),
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
