import { subscribe } from 'node:diagnostics_channel'
import { renameSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { queryObjects, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'
import { CoreWaits } from '../bench/core-waits.ts'
import { OwnDelay } from '../bench/loop-delay-probe.ts'

/**
 * Loaded into every process of a gateway (`--import=…?to=FOLDER`). SIGURG, which is of no other use here, collects garbage and
 * writes what is left to `FOLDER/<pid>`.
 */

/** What one process has. */
export interface ProcessState {
  /** V8's heap and what hangs on it outside, in bytes, right after a collection. */
  readonly liveBytes: number
  /** Timers of any kind. */
  readonly timers: number
  readonly sockets: number
  /** On the process itself. */
  readonly listeners: number
  /** That it has been asked since its start. */
  readonly requests: number
  /** The longest time that the loop was held up since the last report, without waiting for a core. */
  readonly stallMs: number
  /** Of that, what it worked. */
  readonly stallCpuMs: number
}

const folder = new URL(import.meta.url).searchParams.get('to')

if (isMainThread && folder !== null) {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  let requests = 0
  subscribe('http.server.request.start', () => void requests++)
  // Collections wait for threads that help them, and these may have no core either.
  const own = new OwnDelay(new CoreWaits(process.pid))
  process.on('SIGURG', () => {
    const { ms: stallMs, cpuMs: stallCpuMs } = own.takeWorst()
    write(`${folder}/${process.pid}`, { ...lookAround(collect), requests, stallMs, stallCpuMs })
    // What this took is no stall of the gateway's; the timer that would find one comes before.
    setTimeout(() => own.takeWorst(), 50)
  })
}

function lookAround(
  collect: () => void
): Omit<ProcessState, 'requests' | 'stallMs' | 'stallCpuMs'> {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  const timer = setTimeout(() => {}, 0)
  const timers = count(timer.constructor) - 1
  clearTimeout(timer)
  return {
    liveBytes: heapUsed + external,
    timers,
    sockets: count(Socket),
    listeners: process
      .eventNames()
      .reduce((sum, name) => sum + process.listenerCount(name as string), 0)
  }
}

/** How many objects of a class are alive. */
function count(one: unknown): number {
  return queryObjects(one as never, { format: 'count' })
}

/** At once, for who reads it. */
function write(path: string, state: ProcessState): void {
  writeFileSync(`${path}.part`, JSON.stringify(state))
  renameSync(`${path}.part`, path)
}
