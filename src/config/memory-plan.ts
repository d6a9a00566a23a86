/** V8's young generation takes up to three semi-spaces. */
export interface HeapPlan {
  readonly oldSpaceMb: number
  readonly semiSpaceMb: number
}

/** `usedBytes` may all be in use at once; it stays `headroomBytes` below `limitBytes`. */
export interface MemoryPlan {
  readonly limitBytes: number
  readonly workers: number
  readonly threads: number
  readonly primary: HeapPlan
  readonly worker: HeapPlan
  /** Thread for conversions; its total is shared with the PDF thread. */
  readonly thread: HeapPlan
  /** Part of `thread`: no large body is converted while a PDF is read. */
  readonly pdfThread: HeapPlan
  /** Per worker, outside the heap, including the library. */
  readonly pdfBufferBytes: number
  readonly bodyBytesPerWorker: number
  /** For small bodies alone, while the other is in use. */
  readonly smallLaneBytesPerWorker: number
  /** For held answers of usual size, while the memory for bodies is in use. */
  readonly answerLaneBytesPerWorker: number
  /** The kernel's memory for sockets, including unread answers, and Node's outside its heaps. */
  readonly socketBytes: number
  readonly connectionsPerWorker: number
  readonly headroomBytes: number
  readonly usedBytes: number
}

export interface MemoryWishes extends Pick<MemoryPlan, 'workers' | 'threads'> {
  readonly isTracing?: boolean
}

/** Without `MEMORY_LIMIT` and cgroup limit. */
export const DEFAULT_MEMORY_BYTES = 512 * 1024 * 1024

/** One worker with one thread; lower bound of `MEMORY_LIMIT`. */
export const MIN_MEMORY_BYTES = 224 * 1024 * 1024

/** Drops threads, then workers, that would leave too little. @throws {RangeError} below `MIN_MEMORY_BYTES` */
export function planMemory(limitBytes: number, wishes: MemoryWishes): MemoryPlan {
  if (limitBytes < MIN_MEMORY_BYTES) {
    throw new RangeError(`${limitBytes} bytes are too few to plan, ${MIN_MEMORY_BYTES} are needed`)
  }
  for (let { workers } = wishes; workers >= 1; workers--) {
    for (let { threads } = wishes; threads >= 1; threads--) {
      const plan = share(limitBytes, { ...wishes, workers, threads })
      if (isLivable(plan)) return plan
    }
  }
  return share(limitBytes, { ...wishes, workers: 1, threads: 1 })
}

const MEBIBYTE = 1024 * 1024
/** Measured on Node 24 with all libraries: PSS without heap is 23 MB for each of three processes. */
const PROCESS_BASE_MB = 26
const TRACING_MB = 10
const THREAD_BASE_MB = 6
/** A document of some hundred pages takes 20 MB, including the thread's code. */
const PDF_HEAP_MB = 34
/** Larger PDFs are not read. A document of a thousand pages takes 18 MB, the library alone 14. */
const MAX_PDF_BUFFER_MB = 48
/** With less, starting alone collects garbage all the time. */
const MIN_HEAP_MB = { primary: 28, worker: 44, thread: 28 } as const
/** A larger heap only collects later. */
const MAX_HEAP_MB = { primary: 64, worker: 1024, thread: 1024 } as const
/** With 4 MB of young objects instead of 2, a conversation of 400 KB takes a fifth less CPU. */
const ROOMY_THREAD_MB = 48
const MIN_BODIES_MB = 8
/** Four small bodies of maximum size, or dozens of usual ones. */
const SMALL_LANE_MB = 2
/** About thirty long answers of usual size; shorter ones need none. */
const ANSWER_LANE_MB = 2

/** Idle client connection (4,000 on Node 24): 7 KiB outside the heap, 4 KiB in the kernel; 4 KiB more of the heap. */
export const CONNECTION_BYTES = 11 * 1024
/** Part of socket memory for unread answers; they may take more with fewer connections than planned. */
export const UNREAD_PART = 1 / 4
/** More is of no use to a worker. */
const MAX_CONNECTIONS = 16_384

/**
 * ```
 * limit ─┬─ headroom 1/16, of which buffers of PDFs may take all
 *        ├─ sockets  1/16, of which unread answers have a quarter
 *        ├─ base     for each process and thread, and one more for PDFs
 *        └─ rest ─┬─ primary heap 12 %
 *                 └─ 15 % bodies · 47 % worker heaps, of which 2 MiB each for small bodies and answers · 38 % thread heaps
 * ```
 */
function share(
  limitBytes: number,
  { workers, threads, isTracing = false }: MemoryWishes
): MemoryPlan {
  const limitMb = Math.floor(limitBytes / MEBIBYTE)
  const headroomMb = Math.ceil(limitMb / 16)
  const socketMb = Math.ceil(limitMb / 16)
  const workerBaseMb = PROCESS_BASE_MB + (isTracing ? TRACING_MB : 0)
  const baseMb = PROCESS_BASE_MB + workerBaseMb * workers + THREAD_BASE_MB * workers * (threads + 1)
  const restMb = limitMb - headroomMb - socketMb - baseMb
  const primaryMb = clamp(restMb * 0.12, MIN_HEAP_MB.primary, MAX_HEAP_MB.primary)
  const sharedMb = (restMb - primaryMb) / workers
  const workerMb = clamp(sharedMb * 0.47 - SMALL_LANE_MB - ANSWER_LANE_MB, 0, MAX_HEAP_MB.worker)
  const threadMb = clamp((sharedMb * 0.38) / threads, 0, MAX_HEAP_MB.thread)
  const pdfMb = Math.min(threadMb, Math.max(PDF_HEAP_MB, Math.floor(threadMb / 2)))
  const pdfBufferMb = Math.min(MAX_PDF_BUFFER_MB, THREAD_BASE_MB + Math.floor(headroomMb / workers))
  const bodiesMb = Math.max(0, Math.floor(sharedMb * 0.15))
  const perWorkerMb = workerMb + threadMb * threads + bodiesMb + SMALL_LANE_MB + ANSWER_LANE_MB
  const usedMb = baseMb + socketMb + primaryMb + workers * perWorkerMb
  return {
    limitBytes,
    workers,
    threads,
    primary: toHeap(primaryMb, 1),
    worker: toHeap(workerMb, workerMb >= 64 ? 4 : 2),
    thread: toHeap(threadMb, threadMb >= ROOMY_THREAD_MB ? 4 : 2),
    pdfThread: toHeap(pdfMb, threadMb >= 64 ? 4 : 2),
    pdfBufferBytes: pdfBufferMb * MEBIBYTE,
    bodyBytesPerWorker: bodiesMb * MEBIBYTE,
    smallLaneBytesPerWorker: SMALL_LANE_MB * MEBIBYTE,
    answerLaneBytesPerWorker: ANSWER_LANE_MB * MEBIBYTE,
    socketBytes: socketMb * MEBIBYTE,
    connectionsPerWorker: Math.min(
      MAX_CONNECTIONS,
      Math.floor((socketMb * MEBIBYTE * (1 - UNREAD_PART)) / workers / CONNECTION_BYTES)
    ),
    headroomBytes: headroomMb * MEBIBYTE,
    usedBytes: usedMb * MEBIBYTE
  }
}

function isLivable({ primary, worker, thread, bodyBytesPerWorker }: MemoryPlan): boolean {
  return (
    heapMb(primary) >= MIN_HEAP_MB.primary &&
    heapMb(worker) >= MIN_HEAP_MB.worker &&
    heapMb(thread) >= MIN_HEAP_MB.thread &&
    bodyBytesPerWorker >= MIN_BODIES_MB * MEBIBYTE
  )
}

function toHeap(totalMb: number, semiSpaceMb: number): HeapPlan {
  return { oldSpaceMb: totalMb - 3 * semiSpaceMb, semiSpaceMb }
}

function heapMb({ oldSpaceMb, semiSpaceMb }: HeapPlan): number {
  return oldSpaceMb + 3 * semiSpaceMb
}

function clamp(valueMb: number, minMb: number, maxMb: number): number {
  return Math.floor(Math.max(minMb, Math.min(maxMb, valueMb)))
}
