import { syncBuiltinESMExports } from 'node:module'
import workerThreads from 'node:worker_threads'
import { transferableSymbol, valueSymbol } from 'piscina'
import { serveBook } from '../../src/control/book/book-service.ts'
import type { FromBook, ToBook } from '../../src/control/book/book-messages.ts'
import type { MarkedJob } from '../../src/transform/transform-job.ts'
import transformRequest from '../../workers/transform-request.ts'
import { replace } from './replace.ts'
import type { Threads, WorldPort, WorldThread } from './threads.ts'

/** Virtual ms of a conversion, and of each MiB of its body. */
const JOB_MS = { least: 0.3, perMiB: 12 }
/** Virtual ms of a transaction of the account book. */
const BOOK_MS = { from: 0.2, to: 6 }
/** Machines are busy at times. */
const SLOWEST = 8
const MEBIBYTE = 2 ** 20

interface PoolMessage {
  readonly port: WorldPort
}

interface PoolTask {
  readonly taskId: number
  readonly task: MarkedJob
}

/** What the gateway's threads run, by the names of their files: the same functions as in real ones. */
export function threadBodies({ world }: Threads): Threads['bodies'] {
  const convert = async (thread: WorldThread, { taskId, task }: PoolTask) => {
    const bytes = task.body.byteLength
    const ms = JOB_MS.least + (bytes / MEBIBYTE) * JOB_MS.perMiB * world.between(1, SLOWEST)
    const working = thread.work(ms)
    const result: unknown = await as(thread, () => transformRequest(task))
    world.note(`converts ${bytes} bytes`)
    await working
    return { response: { taskId, result: valueOf(result), error: null }, moved: movedOf(result) }
  }
  return {
    // Piscina's: gets a port for its jobs, and says that it is ready.
    'worker.js': (port, thread) => {
      port.on('message', ({ port: jobs }: PoolMessage) => {
        jobs.on('message', (job: PoolTask) => {
          convert(thread, job).then(
            ({ response, moved }) => jobs.postMessage(response, moved),
            // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
            (error: unknown) => jobs.postMessage({ taskId: job.taskId, result: null, error })
          )
        })
        port.postMessage({ _WORKER_READY: true })
      })
    },
    'usage-book.ts': (port, thread) => {
      let turn = Promise.resolve()
      serveBook({
        postMessage: (message: FromBook) => port.postMessage(message),
        on: (event, listener: (message: ToBook) => void) =>
          port.on(event, (message: ToBook) => {
            turn = turn
              .then(() => thread.work(world.between(BOOK_MS.from, BOOK_MS.to)))
              .then(() => listener(message))
          })
      })
    }
  }
}

/** Calls what looks for the number of the thread that it runs in. */
function as<T>({ threadId }: WorldThread, act: () => T): T {
  replace(workerThreads, { threadId })
  syncBuiltinESMExports()
  try {
    return act()
  } finally {
    replace(workerThreads, { threadId: 0 })
    syncBuiltinESMExports()
  }
}

function valueOf(result: unknown): unknown {
  return isMoved(result) ? result[valueSymbol] : result
}

function movedOf(result: unknown): readonly unknown[] {
  return isMoved(result) ? [result[transferableSymbol]].flat() : []
}

function isMoved(
  result: unknown
): result is Readonly<Record<typeof transferableSymbol | typeof valueSymbol, unknown>> {
  return typeof result === 'object' && result !== null && transferableSymbol in result
}
