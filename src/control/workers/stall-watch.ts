import { BEAT_MS, LifeSigns } from '../../ipc/life-signs.ts'
import type { Logger } from '../../observe/logger.ts'
import type { WorkerChannel } from './worker-channel.ts'

type Watched = Pick<WorkerChannel, 'id' | 'pid' | 'isDebugged' | 'kill'>

export interface StallWatchOptions<Worker extends Watched> {
  readonly timeoutMs: () => number | null
  readonly log: Pick<Logger, 'error'>
  readonly onStalled: (worker: Worker) => void
  /** Called when another worker has fallen silent or spoken again. */
  readonly onChange: () => void
  readonly onBeat: () => void
}

const START_MS = 30_000

/** Kills workers whose event loop hangs: they hold clients and permits. SIGKILL also ends stopped processes. */
export class StallWatch<Worker extends Watched> {
  readonly #options: StallWatchOptions<Worker>
  readonly #signs = new LifeSigns<Worker>()
  /** Bounded by the number of workers. */
  #suspects: ReadonlySet<Worker> = new Set()
  readonly #timer: NodeJS.Timeout

  constructor(options: StallWatchOptions<Worker>) {
    this.#options = options
    this.#timer = setInterval(() => this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  add(worker: Worker): void {
    this.#signs.add(worker)
  }

  /** Any message is a sign of life. */
  heard(worker: Worker): void {
    this.#signs.heard(worker)
    if (this.#suspects.has(worker)) this.#suspect()
  }

  remove(worker: Worker): void {
    this.#signs.remove(worker)
    if (this.#suspects.has(worker)) this.#suspect()
  }

  /** True after half the time until it is killed. */
  isSuspect(pid: number | null): boolean {
    return [...this.#suspects].some((worker) => worker.pid === pid)
  }

  /** True if it has missed more than one beat: hanging or very busy. */
  isLate(worker: Worker): boolean {
    return this.#signs.silentMs(worker) > 0
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    this.#signs.beat()
    this.#options.onBeat()
    const timeoutMs = this.#options.timeoutMs()
    for (const worker of this.#signs.silent({ ms: timeoutMs, firstMs: START_MS })) {
      if (!worker.isDebugged) this.#end(worker)
    }
    this.#suspect()
  }

  #end(worker: Worker): void {
    const silentMs = this.#signs.silentMs(worker)
    const facts = { workerId: worker.id, workerPid: worker.pid, silentMs }
    this.#options.log.error(facts, 'worker hangs and is killed')
    this.#signs.remove(worker)
    this.#options.onStalled(worker)
    worker.kill(`gave no sign of life for ${silentMs / 1000} s`)
  }

  #suspect(): void {
    const timeoutMs = this.#options.timeoutMs()
    const ms = timeoutMs === null ? null : timeoutMs / 2
    const suspects = new Set(this.#signs.silent({ ms, firstMs: START_MS }))
    const isSame =
      suspects.size === this.#suspects.size &&
      [...suspects].every((worker) => this.#suspects.has(worker))
    this.#suspects = suspects
    if (!isSame) this.#options.onChange()
  }
}
