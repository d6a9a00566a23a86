import type { Permit } from './permit.ts'

export interface WaitingRequest {
  readonly arrivedAt: number
  readonly resolve: (permit: Permit) => void
  readonly reject: (error: Error) => void
}

interface Entry extends WaitingRequest {
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/** The promises of those who wait. Each is settled by whoever takes it out, or stays until then. */
export class WaitingList {
  /** Bounded by the queue whose promises these are. */
  readonly #entries = new Map<number, Entry>()

  get ids(): readonly number[] {
    return [...this.#entries.keys()]
  }

  /** `onAbort` is called when the signal aborts while the request is in the list. */
  add(
    id: number,
    { arrivedAt, signal, onAbort }: { arrivedAt: number; signal: AbortSignal; onAbort: () => void }
  ): Promise<Permit> {
    return new Promise((resolve, reject) => {
      this.#entries.set(id, { arrivedAt, resolve, reject, signal, onAbort })
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Takes a request out, whose promise the caller has to settle. */
  take(id: number): WaitingRequest {
    const entry = this.#entries.get(id)
    if (entry === undefined) throw new Error(`request ${id} does not wait`)
    this.#entries.delete(id)
    entry.signal.removeEventListener('abort', entry.onAbort)
    return entry
  }
}
