/** Signals this close together are one: npm also passes on the Ctrl-C that the whole terminal gets. */
export const SAME_SIGNAL_MS = 500

/** Calls `abort` for the first Ctrl-C or SIGTERM; another one, 0.5 s later or more, ends the process. */
export function onInterrupt(source: NodeJS.EventEmitter, abort: () => void): () => void {
  let isInterrupted = false
  const stop = (): void => void source.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  const onSignal = (): void => {
    if (isInterrupted) return
    isInterrupted = true
    setTimeout(stop, SAME_SIGNAL_MS).unref()
    abort()
  }
  source.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return stop
}

/** Keeps signals until the program can act on them: without a listener, an early one would end the process. */
export class DeferredSignals {
  readonly #kept = new Set<NodeJS.Signals>()
  #act: ((signal: NodeJS.Signals) => void) | null = null

  constructor(source: NodeJS.EventEmitter, signals: readonly NodeJS.Signals[]) {
    for (const signal of signals) source.on(signal, () => this.#take(signal))
  }

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
