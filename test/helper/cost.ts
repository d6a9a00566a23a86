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

/** The shortest of several runs: others that use the machine only ever make one longer. */
export function fastestMs(run: () => void, runs = 5): number {
  let best = Number.POSITIVE_INFINITY
  for (let count = 0; count < runs; count++) {
    const { user } = process.threadCpuUsage()
    run()
    best = Math.min(best, (process.threadCpuUsage().user - user) / 1000)
  }
  return best
}
