import type { WorkerProcess } from './supervisor-options.ts'

/** Workers that belong to no slot any more: each has a successor, and ends when its last clients have left. */
export class LeavingWorkers {
  /** Bounded by one for each slot and restart, killed when its patience is over. */
  readonly #workers = new Map<WorkerProcess, { readonly timer: NodeJS.Timeout; onGone(): void }>()

  get pids(): readonly number[] {
    return [...this.#workers.keys()].map(({ pid }) => pid)
  }

  /** Takes a worker over. One that is still there after `patienceMs` is stuck, and killed. */
  add(worker: WorkerProcess, patienceMs: number, onGone: () => void): void {
    const timer = setTimeout(() => worker.kill(), patienceMs)
    this.#workers.set(worker, { timer, onGone })
  }

  /** False if it is none of these. */
  gone(worker: WorkerProcess): boolean {
    const entry = this.#workers.get(worker)
    if (entry === undefined) return false
    this.#workers.delete(worker)
    clearTimeout(entry.timer)
    entry.onGone()
    return true
  }

  drain(): void {
    for (const worker of this.#workers.keys()) worker.drain()
  }

  kill(): void {
    for (const worker of this.#workers.keys()) worker.kill()
  }
}
