import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../chaos/random.ts'
import { isComplete, startChat } from '../../helper/chat-client.ts'

/** What became of one call. */
export interface Outcome {
  readonly name: string
  readonly what: 'whole' | 'refused' | 'cut' | 'left'
  /** Milliseconds of the load's life. */
  readonly beganMs: number
  readonly endedMs: number
  /** Of a refusal, or of the end of a stream that was cut. */
  readonly text: string
}

export interface LoadOptions {
  readonly random: Random
  readonly names: readonly string[]
  /** Where a gateway answers; '' while it does not. */
  readonly urlOf: (name: string) => string
  readonly clients: number
}

/** Calls at once from many clients, most of them to one gateway, and after a while to another. */
export class SkewedLoad {
  readonly outcomes: Outcome[] = []
  readonly #options: LoadOptions
  readonly #loops: readonly Promise<void>[]
  readonly #began = performance.now()
  #favourite: string
  #isOver = false

  constructor(options: LoadOptions) {
    this.#options = options
    this.#favourite = this.#any()
    this.#loops = Array.from({ length: options.clients }, () => this.#loop())
  }

  /** Now most ask another one. */
  turn(): void {
    this.#favourite = this.#any()
  }

  /** Resolves when the last call has ended. */
  async end(): Promise<readonly Outcome[]> {
    this.#isOver = true
    await Promise.all(this.#loops)
    return this.outcomes
  }

  async #loop(): Promise<void> {
    const { random } = this.#options
    await delay(random.between(0, 200))
    while (!this.#isOver) {
      const name = random.chance(0.8) ? this.#favourite : this.#any()
      const { what } = await this.#call(name)
      await delay(what === 'whole' ? random.between(0, 60) : 200)
    }
  }

  async #call(name: string): Promise<Outcome> {
    const { random, urlOf } = this.#options
    const beganMs = performance.now() - this.#began
    const url = urlOf(name)
    const prompt = `sim:events=${random.between(1, 14)} sim:gap=60`
    const leavesAfterMs = random.chance(0.05) ? random.between(0, 500) : null
    const outcome = { name, beganMs }
    if (url === '') return this.#note({ ...outcome, what: 'refused', text: 'not started' })
    const { answer, request } = startChat(url, prompt)
    const leaver =
      leavesAfterMs === null ? null : setTimeout(() => request.destroy(), leavesAfterMs)
    const got = await answer
    if (leaver !== null) clearTimeout(leaver)
    if (isComplete(got)) return this.#note({ ...outcome, what: 'whole', text: '' })
    if (leavesAfterMs !== null) return this.#note({ ...outcome, what: 'left', text: '' })
    const text = `${got.status} ${got.text.slice(-300)}`
    return this.#note({ ...outcome, what: got.status === 200 ? 'cut' : 'refused', text })
  }

  #note(outcome: Omit<Outcome, 'endedMs'>): Outcome {
    const whole = { ...outcome, endedMs: performance.now() - this.#began }
    this.outcomes.push(whole)
    return whole
  }

  #any(): string {
    return this.#options.random.pick(this.#options.names) ?? ''
  }
}
