import { createHash } from 'node:crypto'
import { setNewest } from '../shared/newest.ts'
import { promptOf } from './generation.ts'
import { EXPIRED, failed, type Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

const MAX_PROMPTS = 1_000

const FLAKY = failed(
  'The request could not be processed due to an internal validation error. Please try again.'
)

interface Remembered {
  attempts: number
  readonly firstToken: string
}

/** Remembers prompts with `sim:flaky` and `sim:expired`, which answer a repetition differently. */
export class PromptMemory {
  readonly #prompts = new Map<string, Remembered>()

  refuse(view: RequestView, token: string): Refusal | null {
    const { content, words } = promptOf(view)
    const failures = words.numbers.get('flaky') ?? 0
    const isExpired = words.numbers.has('expired')
    if (failures === 0 && !isExpired) return null
    const key = createHash('sha256').update(`${content}\n${view.modelId}`).digest('base64')
    const remembered = this.#prompts.get(key) ?? { attempts: 0, firstToken: token }
    remembered.attempts++
    setNewest(this.#prompts, MAX_PROMPTS, key, remembered)
    if (remembered.attempts <= failures) return FLAKY
    return isExpired && remembered.firstToken === token ? EXPIRED : null
  }
}
