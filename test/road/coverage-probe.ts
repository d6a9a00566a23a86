import { renameSync, writeFileSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector'
import { isMainThread } from 'node:worker_threads'

/**
 * Loaded into the primary and its workers (`--import`): counts calls of the gateway's functions. Each SIGWINCH writes what was
 * called since the one before to `<pid>.<n>` in the folder that `folder` names, n from 0 on.
 */

/** Functions that were called, by file below `src/`. */
export type Called = Readonly<Record<string, readonly string[]>>

const folder = new URL(import.meta.url).searchParams.get('folder')

if (isMainThread && folder !== null) {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  let taken = 0
  process.on('SIGWINCH', () => {
    session.post('Profiler.takePreciseCoverage', (error, coverage) => {
      const file = `${folder}/${process.pid}.${taken++}`
      writeFileSync(`${file}.part`, JSON.stringify(error ?? toCalled(coverage.result)))
      renameSync(`${file}.part`, file)
    })
  })
}

function toCalled(scripts: readonly Profiler.ScriptCoverage[]): Called {
  const called: Record<string, string[]> = {}
  for (const { url, functions } of scripts) {
    const path = /\/src\/(.+)$/.exec(url)?.[1]
    if (path === undefined || url.includes('/node_modules/')) continue
    // The first range is the whole function; one without a name that begins at 0 is the module itself.
    const names = functions
      .filter(({ ranges }) => (ranges[0]?.count ?? 0) > 0)
      .map(({ functionName, ranges }) => functionName || `(at ${ranges[0]?.startOffset})`)
    if (names.length > 0) called[path] = names
  }
  return called
}
