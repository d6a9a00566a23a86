import { createHash } from 'node:crypto'
import { setNewest } from '../../src/shared/newest.ts'
import type { Repetition } from './refusals.ts'

const MAX_PROMPTS = 1_000

interface Remembered {
  attempts: number
  readonly firstToken: string
}

/** Remembers prompts: `sim:flaky` and `sim:expired` answer a repetition differently. */
export class PromptMemory {
  readonly #prompts = new Map<string, Remembered>()

  note(prompt: string, token: string): Repetition {
    const key = createHash('sha256').update(prompt).digest('base64')
    const remembered = this.#prompts.get(key) ?? { attempts: 0, firstToken: token }
    remembered.attempts++
    setNewest(this.#prompts, MAX_PROMPTS, key, remembered)
    return { attempt: remembered.attempts, isFirstToken: remembered.firstToken === token }
  }
}
