import { tokensOf } from './token-estimate.ts'

/**
 * The client's bound on an answer in tokens, kept by cutting: the upstream has none, or a coarser one.
 * Tokens are the local estimate's, fractions included, so how the answer was cut into pieces makes no difference.
 */
export class AnswerLimit {
  readonly #maxTokens: number
  /** UTF-16 units, and UTF-8 bytes beyond them: whole numbers, so that nothing is lost in adding up. */
  #chars = 0
  #extraBytes = 0
  #isReached = false

  /** Without a bound everything fits. */
  constructor(maxTokens: number | undefined) {
    this.#maxTokens = maxTokens ?? Number.POSITIVE_INFINITY
  }

  get isNone(): boolean {
    return this.#maxTokens === Number.POSITIVE_INFINITY
  }

  /** Something did not fit: the answer ends here. */
  get isReached(): boolean {
    return this.#isReached
  }

  /** As much of the text as fits. */
  take(text: string): string {
    if (this.#isReached) return ''
    if (this.takeWhole(text)) return text
    let fittingChars = 0
    for (const char of text) {
      if (!this.#add(char)) break
      fittingChars += char.length
    }
    return text.slice(0, fittingChars)
  }

  /** Takes what makes sense only as a whole; false if it does not fit. */
  takeWhole(text: string): boolean {
    if (this.#isReached || this.isNone) return !this.#isReached
    this.#isReached = !this.#add(text)
    return !this.#isReached
  }

  #add(text: string): boolean {
    const chars = this.#chars + text.length
    const extraBytes = this.#extraBytes + Buffer.byteLength(text) - text.length
    if (tokensOf(chars, extraBytes) > this.#maxTokens) return false
    this.#chars = chars
    this.#extraBytes = extraBytes
    return true
  }
}
