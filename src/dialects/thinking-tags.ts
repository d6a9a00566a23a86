import { findPartial } from './hold-back.ts'

const TagNames = ['thinking', 'think', 'reasoning', 'thought'] as const
const OpeningTags = TagNames.map((name) => `<${name}>`)

/** Blanks that may stand before an opening tag; with the longest tag's beginning, 20 characters are held. */
const MaxLeadingBlanks = 10

/** One delta taken apart; where both are filled, the reasoning came first. */
export interface ThinkingSplit {
  readonly reasoning: string
  readonly text: string
}

/**
 * Takes the reasoning out of answers that carry it in tags at their very beginning
 * (kiro-protocol §5.10, parser A). No delta ever holds a piece of a tag.
 *
 * ```
 *   start ──opening tag──▶ inside ──closing tag──▶ gap ──first non-blank──▶ answer
 *     └──────────────────── anything else ──────────────────────────────────▲
 * ```
 */
export class ThinkingTags {
  #state: 'start' | 'inside' | 'gap' | 'answer' = 'start'
  #held = ''
  #closingTag = ''

  push(delta: string): ThinkingSplit {
    if (this.#state === 'answer') return { reasoning: '', text: delta }
    if (this.#state === 'gap') return { reasoning: '', text: this.#skipGap(delta) }
    return this.#state === 'inside' ? this.#readInside(delta) : this.#readStart(delta)
  }

  /** Gives out what is held, for the end of the answer or something else coming up in it. */
  release(): ThinkingSplit {
    const held = this.#held
    this.#held = ''
    if (this.#state === 'inside') return { reasoning: held, text: '' }
    if (held !== '') this.#state = 'answer'
    return { reasoning: '', text: held }
  }

  #readStart(delta: string): ThinkingSplit {
    this.#held += delta
    const beginning = this.#held.trimStart()
    if (this.#held.length - beginning.length > MaxLeadingBlanks) return this.release()
    const tag = OpeningTags.find((opening) => beginning.startsWith(opening))
    if (tag !== undefined) {
      this.#state = 'inside'
      // A slice of few characters.
      this.#closingTag = `</${tag.slice(1)}`
      this.#held = ''
      return this.#readInside(beginning.slice(tag.length))
    }
    const isOpen = OpeningTags.some((opening) => opening.startsWith(beginning))
    return isOpen ? { reasoning: '', text: '' } : this.release()
  }

  #readInside(delta: string): ThinkingSplit {
    const inside = this.#held + delta
    const end = inside.indexOf(this.#closingTag)
    if (end === -1) {
      const safe = findPartial(inside, this.#closingTag)
      // A slice that the next piece replaces.
      this.#held = inside.slice(safe)
      return { reasoning: inside.slice(0, safe), text: '' }
    }
    this.#held = ''
    this.#state = 'gap'
    const text = this.#skipGap(inside.slice(end + this.#closingTag.length))
    return { reasoning: inside.slice(0, end), text }
  }

  #skipGap(delta: string): string {
    const text = delta.trimStart()
    if (text !== '') this.#state = 'answer'
    return text
  }
}
