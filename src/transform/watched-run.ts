import { setTimeout as sleep } from 'node:timers/promises'
import type { Piscina } from 'piscina'
import { GatewayError } from '../shared/errors.ts'
import { isHeapFull } from './thread-result.ts'
import {
  PDF_CELL,
  THREAD_CELL,
  type ThreadJob,
  type ThreadResult,
  type TransformJob
} from './transform-job.ts'

export interface WatchTerms {
  /** Array buffers of the thread, which its heap's limit does not count. */
  readonly maxBufferBytes: number
  readonly maxMs: number
  /** The client's. */
  readonly signal: AbortSignal
}

/** How often a thread's memory is looked at: what unpacks fills some hundred megabytes a second. */
const POLL_MS = 25

/** The second PDF of a request that ends a thread ends the request. */
const MAX_THREADS_ENDED = 2

/**
 * Runs a job that reads attachments, and ends its thread when it takes too much time or memory or when its client
 * leaves: a library that others' files can keep busy is trusted no further. A PDF that ends a thread is left out in
 * another run, so that the request fails with its place, or the conversation goes on without an old one.
 *
 * @throws {GatewayError} GW_BODY_INVALID for more than one PDF of that kind
 */
export async function runWatched(
  piscina: Piscina<ThreadJob, ThreadResult>,
  job: TransformJob,
  terms: WatchTerms
): Promise<ThreadResult> {
  const costly: number[] = []
  for (;;) {
    const progress = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
    const result = await runOnce(piscina, { ...job, pdfs: { progress, costly } }, terms)
    if (result !== null) return result
    const number = Atomics.load(progress, PDF_CELL)
    costly.push(number)
    if (number === 0 || costly.length >= MAX_THREADS_ENDED) throw tooCostly()
  }
}

/** `null` when the job took too much. */
async function runOnce(
  piscina: Piscina<ThreadJob, ThreadResult>,
  job: TransformJob,
  terms: WatchTerms
): Promise<ThreadResult | null> {
  const limit = new AbortController()
  const ended = new AbortController()
  void watch(piscina, job, { terms, limit, ended: ended.signal })
  try {
    return await piscina.run(job, { signal: AbortSignal.any([terms.signal, limit.signal]) })
  } catch (cause) {
    if (!terms.signal.aborted && (limit.signal.aborted || isHeapFull(cause))) return null
    throw cause
  } finally {
    ended.abort()
  }
}

interface Watch {
  readonly terms: WatchTerms
  readonly limit: AbortController
  readonly ended: AbortSignal
}

/** Looks at the job's thread until one of both has ended. */
async function watch(
  piscina: Piscina<ThreadJob, ThreadResult>,
  { pdfs }: TransformJob,
  { terms, limit, ended }: Watch
): Promise<void> {
  const deadline = performance.now() + terms.maxMs
  while (!ended.aborted) {
    const id = pdfs === undefined ? 0 : Atomics.load(pdfs.progress, THREAD_CELL)
    const thread = piscina.threads.find(({ threadId }) => threadId === id)
    // A thread that ends has no statistics.
    const statistics = await thread?.getHeapStatistics().catch(() => null)
    const isOver = (statistics?.external_memory ?? 0) > terms.maxBufferBytes
    if (isOver || performance.now() > deadline) return limit.abort()
    await sleep(POLL_MS, null, { ref: false })
  }
}

function tooCostly(): GatewayError {
  const message = 'The PDFs of this request take too much to read.'
  return new GatewayError('GW_BODY_INVALID', undefined, { message })
}
