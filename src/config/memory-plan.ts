/** Limits of a V8 heap. V8's young generation takes three semi-spaces at most. */
export interface HeapPlan {
  readonly oldSpaceMb: number
  readonly semiSpaceMb: number
}

/**
 * How the container's memory is shared out. `usedBytes` adds up everything that may be in use at the same
 * time; it stays `headroomBytes` below `limitBytes`.
 */
export interface MemoryPlan {
  readonly limitBytes: number
  /** At most as many as asked for; fewer where that many do not fit. */
  readonly workers: number
  /** Of each worker, likewise. */
  readonly threads: number
  readonly primary: HeapPlan
  readonly worker: HeapPlan
  /** Of those that convert; what they have together is shared with the one that reads PDFs. */
  readonly thread: HeapPlan
  /** Part of `thread`: while a PDF is read, no large body is converted. */
  readonly pdfThread: HeapPlan
  /** Request bodies of one worker: being read, transformed and held. */
  readonly bodyBytesPerWorker: number
  /** The same for small bodies alone, while the other is in use. */
  readonly smallLaneBytesPerWorker: number
  /** Answers of a usual size that are held, while the memory for bodies is in use. */
  readonly answerLaneBytesPerWorker: number
  /** What processes and threads take outside their heaps. */
  readonly baseBytes: number
  /** Sockets: what the kernel holds for them, which the container pays for, and Node outside its heaps. */
  readonly socketBytes: number
  /** Connections of clients that fit while nothing is sent on them. */
  readonly connectionsPerWorker: number
  readonly headroomBytes: number
  readonly usedBytes: number
}

export interface MemoryWishes {
  readonly workers: number
  readonly threads: number
}

/** What to plan for where neither `MEMORY_LIMIT` nor a cgroup says it. */
export const defaultMemoryBytes = 512 * 1024 * 1024

/** The least that one worker with one thread can live in; also the lower bound of `MEMORY_LIMIT`. */
export const minMemoryBytes = 224 * 1024 * 1024

/**
 * Shares a container's memory out. Drops threads, then workers, that would leave the rest too little to live.
 *
 * @throws {RangeError} below `minMemoryBytes`
 */
export function planMemory(limitBytes: number, wishes: MemoryWishes): MemoryPlan {
  if (limitBytes < minMemoryBytes) {
    throw new RangeError(`${limitBytes} bytes are too few to plan, ${minMemoryBytes} are needed`)
  }
  for (let { workers } = wishes; workers >= 1; workers--) {
    for (let { threads } = wishes; threads >= 1; threads--) {
      const plan = share(limitBytes, { workers, threads })
      if (isLivable(plan)) return plan
    }
  }
  return share(limitBytes, { workers: 1, threads: 1 })
}

const mebibyte = 1024 * 1024
/** Measured on Node 24 with all libraries loaded: PSS less the heap is 23 MB for each of three processes. */
const processBaseMb = 26
/** An isolate with Node's own code in it, less its heap. */
const threadBaseMb = 6
/** A book of some hundred pages takes 20 MB to read, a thread's own code included. */
const pdfHeapMb = 34
/** Below these, starting alone collects garbage all the time. */
const minHeapMb = { primary: 28, worker: 44, thread: 28 } as const
/** Beyond these, a larger heap only collects later. */
const maxHeapMb = { primary: 64, worker: 1024, thread: 1024 } as const
/** With room for 4 MB of young objects instead of 2 a conversation of 400 KB takes a fifth less of a CPU. */
const roomyThreadMb = 48
const minBodiesMb = 8
/** Four small bodies at the limit of what is small, or dozens of usual ones. */
const smallLaneMb = 2
/** Some thirty answers of a usual size that are long; what is shorter needs none of it. */
const answerLaneMb = 2

/**
 * An idle connection of a client, measured with 4,000 of them on Node 24: 7 KiB outside the heap and 4 KiB in the
 * kernel, without buffers. Of a worker's heap it takes 4 KiB more.
 */
const connectionBytes = 11 * 1024
/** A worker has no use for more, whatever memory there is. */
const maxConnections = 16_384

/**
 * ```
 * limit ─┬─ headroom 1/16
 *        ├─ sockets  1/16
 *        ├─ base     for each process and thread, and one more for PDFs
 *        └─ rest ─┬─ primary heap 12 %
 *                 └─ 15 % bodies · 47 % worker heaps, of which 2 MiB each for small bodies and answers · 38 % thread heaps
 * ```
 */
function share(limitBytes: number, { workers, threads }: MemoryWishes): MemoryPlan {
  const limitMb = Math.floor(limitBytes / mebibyte)
  const headroomMb = Math.ceil(limitMb / 16)
  const socketMb = Math.ceil(limitMb / 16)
  const baseMb = processBaseMb * (1 + workers) + threadBaseMb * workers * (threads + 1)
  const restMb = limitMb - headroomMb - socketMb - baseMb
  const primaryMb = clamp(restMb * 0.12, minHeapMb.primary, maxHeapMb.primary)
  const sharedMb = (restMb - primaryMb) / workers
  const workerMb = clamp(sharedMb * 0.47 - smallLaneMb - answerLaneMb, 0, maxHeapMb.worker)
  const threadMb = clamp((sharedMb * 0.38) / threads, 0, maxHeapMb.thread)
  const pdfMb = Math.min(threadMb, Math.max(pdfHeapMb, Math.floor(threadMb / 2)))
  const bodiesMb = Math.max(0, Math.floor(sharedMb * 0.15))
  const perWorkerMb = workerMb + threadMb * threads + bodiesMb + smallLaneMb + answerLaneMb
  const usedMb = baseMb + socketMb + primaryMb + workers * perWorkerMb
  return {
    limitBytes,
    workers,
    threads,
    primary: toHeap(primaryMb, 1),
    worker: toHeap(workerMb, workerMb >= 64 ? 4 : 2),
    thread: toHeap(threadMb, threadMb >= roomyThreadMb ? 4 : 2),
    pdfThread: toHeap(pdfMb, threadMb >= 64 ? 4 : 2),
    bodyBytesPerWorker: bodiesMb * mebibyte,
    smallLaneBytesPerWorker: smallLaneMb * mebibyte,
    answerLaneBytesPerWorker: answerLaneMb * mebibyte,
    baseBytes: baseMb * mebibyte,
    socketBytes: socketMb * mebibyte,
    connectionsPerWorker: Math.min(
      maxConnections,
      Math.floor((socketMb * mebibyte) / workers / connectionBytes)
    ),
    headroomBytes: headroomMb * mebibyte,
    usedBytes: usedMb * mebibyte
  }
}

function isLivable({ primary, worker, thread, bodyBytesPerWorker }: MemoryPlan): boolean {
  return (
    heapMb(primary) >= minHeapMb.primary &&
    heapMb(worker) >= minHeapMb.worker &&
    heapMb(thread) >= minHeapMb.thread &&
    bodyBytesPerWorker >= minBodiesMb * mebibyte
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
