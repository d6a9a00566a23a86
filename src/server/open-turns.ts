import type { GatewayError } from '../shared/errors.ts'

/** Something that can be ended early. */
interface Abortable {
  abort(error: GatewayError): void
}

export interface DrainOptions {
  readonly timeoutMs: number
  readonly graceMs: number
  readonly error: GatewayError
}

/** The requests being served now. */
export class OpenTurns {
  /** Bounded by the number of connections, which have one request under way each. */
  readonly #turns = new Set<Abortable>()
  #onEmpty: (() => void) | null = null

  get size(): number {
    return this.#turns.size
  }

  add(turn: Abortable): void {
    this.#turns.add(turn)
  }

  remove(turn: Abortable): void {
    this.#turns.delete(turn)
    if (this.#turns.size === 0) this.#onEmpty?.()
  }

  /**
   * Resolves when all have ended. After `timeoutMs` those that are left are ended with `error`, and after `graceMs`
   * more nobody waits for clients that do not even read that. A later call takes the place of an earlier one, which
   * resolves at once.
   */
  async drain({ timeoutMs, graceMs, error }: DrainOptions): Promise<void> {
    if (this.#turns.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onEmpty?.()
    this.#onEmpty = resolve
    let timer = setTimeout(() => {
      timer = setTimeout(resolve, graceMs)
      for (const turn of this.#turns) turn.abort(error)
    }, timeoutMs)
    await promise
    clearTimeout(timer)
  }
}
