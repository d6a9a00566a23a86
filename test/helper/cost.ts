import { setImmediate as nextTurn } from 'node:timers/promises'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Twice, because V8 frees array buffers on another thread after a collection, and the next one waits for that. */
export function collectGarbage(): void {
  gc()
  gc()
}

/** Bytes of the heap, and of buffers beside it, that are in use now that all garbage is gone. */
export async function bytesInUse(): Promise<{ readonly heap: number; readonly outside: number }> {
  await nextTurn()
  collectGarbage()
  return {
    heap: getHeapStatistics().used_heap_size,
    outside: process.memoryUsage().arrayBuffers
  }
}

/** Bytes of the heap that `run` leaves in use. */
export async function heapGrowth(run: () => unknown): Promise<number> {
  const before = await bytesInUse()
  await run()
  return (await bytesInUse()).heap - before.heap
}

/** CPU time of this thread that `run` takes, however busy the machine is. */
export function cpuMs(run: () => void): number {
  const before = process.threadCpuUsage()
  run()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

/** Linux may count CPU time in steps of four milliseconds: one measurement goes on for so long, however short the work is. */
const LEAST_MEASURED_MS = 40
/** Of work that takes so long one measurement is enough. */
const LONG_MS = 1000

/** CPU time of one run, by the shortest of several measurements: others that use the machine only ever make one longer. */
export function fastestMs(run: () => void, measurements = 5): number {
  let best = meanMs(run)
  for (let count = 1; count < measurements && best <= LONG_MS; count++)
    best = Math.min(best, meanMs(run))
  return best
}

/** Of as many runs as take long enough to be measured. */
function meanMs(run: () => void): number {
  let ms = 0
  for (let runs = 1; ; runs++) {
    ms += cpuMs(run)
    if (ms >= LEAST_MEASURED_MS) return ms / runs
  }
}
