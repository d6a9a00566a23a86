import { renameSync, writeFileSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector'
import { isMainThread } from 'node:worker_threads'

/**
 * Loaded into all processes of a target (`--import`): SIGWINCH begins a profile of the main thread, the next one writes it to
 * `<pid>` in the folder that `folder` names.
 */

/** What one process has spent while it was profiled. */
export interface Spent {
  readonly profile: Profiler.Profile
  /** Milliseconds of CPU. */
  readonly mainMs: number
  readonly helpersMs: number
}

const INTERVAL_US = 500
const folder = new URL(import.meta.url).searchParams.get('folder')

if (isMainThread && folder !== null) {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
  let before: readonly [main: number, all: number] | null = null
  process.on('SIGWINCH', () => {
    if (before === null) {
      session.post('Profiler.start')
      before = spentMs()
      return
    }
    const [main, all] = spentMs()
    const mainMs = main - before[0]
    const helpersMs = all - before[1] - mainMs
    before = null
    session.post('Profiler.stop', (error, { profile }) => {
      if (error !== null) throw error
      const file = `${folder}/${process.pid}`
      writeFileSync(`${file}.part`, JSON.stringify({ profile, mainMs, helpersMs } satisfies Spent))
      renameSync(`${file}.part`, file)
    })
  })
}

function spentMs(): readonly [main: number, all: number] {
  const [main, all] = [process.threadCpuUsage(), process.cpuUsage()]
  return [(main.user + main.system) / 1000, (all.user + all.system) / 1000]
}
