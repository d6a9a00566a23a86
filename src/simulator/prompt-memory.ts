import { createHash } from 'node:crypto'

/** Prompts beyond this many are forgotten, oldest first. */
const MAX_PROMPTS = 1_000

interface Remembered {
  attempts: number
  readonly firstToken: string
}

/** How often a prompt came, and whether the token is the one that sent it first. */
export interface Repetition {
  /** From 1. */
  readonly attempt: number
  readonly isFirstToken: boolean
}

/** Knows which prompts came before: `sim:flaky` and `sim:expired` answer a repetition differently. */
export class PromptMemory {
  readonly #prompts = new Map<string, Remembered>()

  /** Notes one more attempt at `prompt`. */
  note(prompt: string, token: string): Repetition {
    const key = createHash('sha256').update(prompt).digest('base64')
    const remembered = this.#prompts.get(key) ?? { attempts: 0, firstToken: token }
    remembered.attempts++
    this.#prompts.set(key, remembered)
    const [oldest] = this.#prompts.keys()
    if (this.#prompts.size > MAX_PROMPTS && oldest !== undefined) this.#prompts.delete(oldest)
    return { attempt: remembered.attempts, isFirstToken: remembered.firstToken === token }
  }
}
