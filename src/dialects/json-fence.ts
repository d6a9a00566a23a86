const Fence = '```'

/** Longest fenced answer that is held; a longer one is given out with its fence. */
const MaxHeldChars = 1024 * 1024

/**
 * Removes the Markdown code fence that some models put around a JSON answer (kiro-protocol §9.9).
 * Whether a fence wraps the whole answer shows at the end only, so an answer that begins with one is
 * held until then; any other answer passes from its first character on.
 */
export class JsonFence {
  #state: 'start' | 'fenced' | 'open' = 'start'
  #held = ''

  push(delta: string): string {
    if (this.#state === 'open') return delta
    this.#held += delta
    if (this.#state === 'start') {
      const beginning = this.#held.trimStart()
      if (beginning.startsWith(Fence)) this.#state = 'fenced'
      else if (!Fence.startsWith(beginning)) return this.#giveOut(this.#held)
    }
    return this.#held.length > MaxHeldChars ? this.#giveOut(this.#held) : ''
  }

  /** Gives out what is held, without its fence if that wraps all of it. */
  release(): string {
    if (this.#held === '') return ''
    return this.#giveOut(this.#state === 'fenced' ? unwrap(this.#held) : this.#held)
  }

  #giveOut(text: string): string {
    this.#held = ''
    this.#state = 'open'
    return text
  }
}

/** A fence line inside means that there are several blocks; JSON text can't have such a line. */
function unwrap(text: string): string {
  const lines = text.trim().split('\n')
  const inner = lines.slice(1, -1)
  const isWrapped =
    lines.length > 2 &&
    lines.at(-1)?.trim() === Fence &&
    !inner.some((line) => line.trimStart().startsWith(Fence))
  return isWrapped ? inner.join('\n').trim() : text
}
