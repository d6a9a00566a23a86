/**
 * Signals that are kept until the program can act on them: without a listener, an early one would end the process.
 */
export class DeferredSignals {
  readonly #kept = new Set<NodeJS.Signals>()
  #act: ((signal: NodeJS.Signals) => void) | null = null

  constructor(source: NodeJS.EventEmitter, signals: readonly NodeJS.Signals[]) {
    for (const signal of signals) source.on(signal, () => this.#take(signal))
  }

  /** From now on `act` is called for each, at once for those that were kept. */
  handle(act: (signal: NodeJS.Signals) => void): void {
    this.#act = act
    for (const signal of this.#kept) act(signal)
    this.#kept.clear()
  }

  #take(signal: NodeJS.Signals): void {
    if (this.#act === null) this.#kept.add(signal)
    else this.#act(signal)
  }
}
