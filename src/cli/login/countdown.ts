import type { Terminal } from '../command.ts'

const SECOND_MS = 1000

export class Countdown implements Disposable {
  readonly #terminal: Pick<Terminal, 'progress'>
  readonly #text: string
  #remark = ''
  #until = 0
  #timer: NodeJS.Timeout | null = null

  constructor(terminal: Pick<Terminal, 'progress'>, text: string) {
    this.#terminal = terminal
    this.#text = text
  }

  /** Epoch ms. */
  start(until: number): void {
    this.#until = until
    this.#timer ??= setInterval(() => this.#show(), SECOND_MS)
    this.#show()
  }

  remark(text: string): void {
    this.#remark = text
    if (this.#timer !== null) this.#show()
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #show(): void {
    const leftS = Math.max(0, Math.round((this.#until - Date.now()) / SECOND_MS))
    const left = `${Math.floor(leftS / 60)}:${String(leftS % 60).padStart(2, '0')}`
    const remark = this.#remark === '' ? '' : ` · ${this.#remark}`
    this.#terminal.progress(`${this.#text} · ${left} left${remark}`)
  }
}
