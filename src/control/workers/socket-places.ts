/** Places of WebSockets, so that their limit holds for all workers together. */
export class SocketPlaces {
  readonly #max: () => number
  /** WebSockets of each worker, with those that are being opened. Bounded by the number of workers. */
  readonly #open = new Map<string, number>()

  /** `max` may change: connections above it stay open. */
  constructor(max: () => number) {
    this.#max = max
  }

  /** False if there is no place. `open`: the worker's WebSockets, with the one that it asks for. */
  take(worker: string, open: number): boolean {
    this.note(worker, open - 1)
    const all = this.#open.values().reduce((sum, one) => sum + one, 0)
    if (all + 1 > this.#max()) return false
    this.note(worker, open)
    return true
  }

  note(worker: string, open: number): void {
    this.#open.set(worker, open)
  }

  onLeft(worker: string): void {
    this.#open.delete(worker)
  }
}
