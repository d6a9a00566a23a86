import { panelError } from './panel-answer.ts'

/** Two open pages of a person ask no more at once. */
const MAX_OF_ONE = 8

/** Bounds what one named key asks about itself at once, so that nobody takes the turn of all others. */
export class PersonalQuestions {
  /** By key. Bounded by the keys that there are. */
  readonly #running = new Map<string, number>()

  /** `key` is `null` for an operator. @throws {GatewayError} GW_CONFLICT while too many of the key are running */
  async take<T>(key: string | null, ask: () => Promise<T> | T): Promise<T> {
    if (key === null) return ask()
    const running = this.#running.get(key) ?? 0
    if (running >= MAX_OF_ONE) throw panelError('GW_CONFLICT', STILL_RUNNING)
    this.#running.set(key, running + 1)
    try {
      return await ask()
    } finally {
      const left = (this.#running.get(key) ?? 1) - 1
      if (left === 0) this.#running.delete(key)
      else this.#running.set(key, left)
    }
  }
}

const STILL_RUNNING =
  'Too many questions of this key are still running. Wait for their answers, then ask again.'
