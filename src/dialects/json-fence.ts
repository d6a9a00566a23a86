import { type AnswerRoom, heapBytesOf } from './answer-room.ts'
import { LongText } from './long-text.ts'

const Fence = '```'

/** Longest fenced answer that is held; a longer one is given out with its fence. */
const MaxHeldChars = 1024 * 1024
/** Blanks that may stand before a fence. */
const MaxLeadingChars = 1024

/**
 * Removes the Markdown code fence that some models put around a JSON answer (kiro-protocol §9.9).
 * Whether a fence wraps the whole answer shows at the end only, so an answer that begins with one is
 * held until then; any other answer passes from its first character on.
 */
export class JsonFence {
  readonly #room: AnswerRoom
  #state: 'start' | 'fenced' | 'open' = 'start'
  readonly #held = new LongText()

  constructor(room: AnswerRoom) {
    this.#room = room
  }

  push(delta: string): string {
    if (this.#state === 'open') return delta
    this.#held.add(delta)
    if (this.#state === 'start') {
      const beginning = this.#held.toString().trimStart()
      if (beginning.startsWith(Fence)) this.#state = 'fenced'
      else if (!Fence.startsWith(beginning) || this.#held.length > MaxLeadingChars) {
        return this.#giveOut()
      }
    }
    const hasRoom = this.#room.hold(heapBytesOf(delta)) && this.#held.length <= MaxHeldChars
    return hasRoom ? '' : this.#giveOut()
  }

  /** Gives out what is held, without its fence if that wraps all of it. */
  release(): string {
    const isFenced = this.#state === 'fenced'
    if (this.#held.length === 0) return ''
    const text = this.#giveOut()
    return isFenced ? unwrap(text) : text
  }

  #giveOut(): string {
    this.#state = 'open'
    return this.#held.take().join('')
  }
}

/** A fence line inside means that there are several blocks; JSON text can't have such a line. */
function unwrap(text: string): string {
  const block = text.trim()
  const from = block.indexOf('\n')
  const to = block.lastIndexOf('\n')
  if (from === to || block.slice(to).trim() !== Fence) return text
  const inner = block.slice(from + 1, to)
  return /^[^\S\n]*```/m.test(inner) ? text : inner.trim()
}
