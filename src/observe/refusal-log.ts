import type { Logger } from './logger.ts'

const LINES = 10
const WINDOW_MS = 10_000

/** Limits log lines of requests without a key: any client that reaches the port can cause them. */
export class RefusalLog {
  readonly #log: Pick<Logger, 'info'>
  #written = 0
  /** Bounded by the number of error codes. */
  readonly #unwritten = new Map<string, number>()
  #timer: NodeJS.Timeout | null = null

  constructor(log: Pick<Logger, 'info'>) {
    this.#log = log
  }

  note(refusal: { readonly code: string; readonly [fact: string]: unknown }): void {
    this.#timer ??= setTimeout(() => this.#endWindow(), WINDOW_MS).unref()
    if (this.#written++ < LINES) this.#log.info(refusal, 'request refused')
    else this.#unwritten.set(refusal.code, (this.#unwritten.get(refusal.code) ?? 0) + 1)
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#endWindow()
  }

  #endWindow(): void {
    this.#timer = null
    this.#written = 0
    if (this.#unwritten.size === 0) return
    this.#log.info({ codes: Object.fromEntries(this.#unwritten) }, 'more requests refused')
    this.#unwritten.clear()
  }
}
