import { type AnswerRoom, heapBytesOf } from './answer-room.ts'
import { findPartial } from './hold-back.ts'
import { detach, LongText } from './long-text.ts'
import type { TextCallForm } from './text-call-form.ts'
import { parseTextCalls, type TextCall } from './text-call-parser.ts'

/** How a call written as text begins. */
const Openings = ['[Called ', '<invoke name="', '<function_calls>'] as const

/** The beginning of a held text up to the tool's name. */
const NameHead = /^(?:\[Called |(?:<function_calls>\s*)?<invoke name=")([^\s"]*)[\s"]/

/** A longer text is no call of a tool any more, only held for nothing. */
const MaxHeldChars = 256 * 1024
/** Nor is one that has not come to a name by then. */
const MaxHeadChars = 512

/**
 * Finds tool calls that a model wrote as text instead of making them (kiro-protocol §5.7). A text is taken for
 * calls only if it is exactly that: from the beginning of a line to the end of the answer nothing but calls of
 * tools on offer, in an answer without real calls. From where such a text may begin it is held.
 *
 * ```
 *   passing ──an opening at the start of a line──▶ holding ──end of the answer, all calls──▶ calls
 *      ▲                                              └───anything else──▶ text as it was ──▶ done
 * ```
 */
export class TextCalls {
  readonly #forms: Readonly<Record<string, TextCallForm>>
  readonly #room: AnswerRoom
  #state: 'passing' | 'holding' | 'done'
  readonly #held = new LongText()
  /** What is held names a tool on offer. */
  #isNamed = false
  #isLineStart = true

  constructor(forms: Readonly<Record<string, TextCallForm>>, room: AnswerRoom) {
    this.#forms = forms
    this.#room = room
    this.#state = Object.keys(forms).length === 0 ? 'done' : 'passing'
  }

  /** Lets all text through as it is, so that it need not be asked. */
  get isDone(): boolean {
    return this.#state === 'done'
  }

  /** The text that is sure to be no call. */
  push(delta: string): string {
    if (this.#state === 'done') return delta
    this.#held.add(delta)
    const passed = this.#state === 'passing' ? this.#pass() : ''
    return this.#isHopeless(delta) ? passed + this.release() : passed
  }

  /** Gives out what is held: something else comes up in the answer, so it was text. */
  release(): string {
    const text = this.#held.take().join('')
    if (this.#state === 'holding') this.#state = 'done'
    this.#noteLine(text)
    return text
  }

  /** The answer has no real calls: what is held, as calls if it is some. */
  end(): { readonly text: string; readonly calls: readonly TextCall[] } {
    const calls =
      this.#state === 'holding' ? parseTextCalls(this.#held.toString(), this.#forms) : null
    const text = this.release()
    return calls === null ? { text, calls: [] } : { text: '', calls }
  }

  #isHopeless(delta: string): boolean {
    if (this.#state !== 'holding') return false
    const { length } = this.#held
    if (length > MaxHeldChars || !this.#room.hold(heapBytesOf(delta))) return true
    if (this.#isNamed) return false
    const name = NameHead.exec(this.#held.toString())?.[1]
    this.#isNamed = name !== undefined && Object.hasOwn(this.#forms, name)
    return !this.#isNamed && (name !== undefined || length > MaxHeadChars)
  }

  #pass(): string {
    const text = this.#held.take().join('')
    const at = this.#findOpening(text)
    if (at.isWhole) this.#state = 'holding'
    this.#held.add(detach(text.slice(at.index)))
    const passed = text.slice(0, at.index)
    this.#noteLine(passed)
    return passed
  }

  /** The first opening at the start of a line, or the tail that may become one. */
  #findOpening(text: string): { readonly index: number; readonly isWhole: boolean } {
    let first = { index: text.length, isWhole: false }
    for (const opening of Openings) {
      let index = text.indexOf(opening)
      while (index !== -1 && !this.#startsLine(text, index))
        index = text.indexOf(opening, index + 1)
      if (index !== -1 && index < first.index) first = { index, isWhole: true }
      const partial = findPartial(text, opening)
      if (partial < first.index && this.#startsLine(text, partial)) {
        first = { index: partial, isWhole: false }
      }
    }
    return first
  }

  #startsLine(text: string, index: number): boolean {
    for (let at = index - 1; at >= 0; at--) {
      const char = text[at]
      if (char === '\n') return true
      if (char !== ' ' && char !== '\t') return false
    }
    return this.#isLineStart
  }

  #noteLine(passed: string): void {
    if (passed === '') return
    const line = passed.slice(passed.lastIndexOf('\n') + 1)
    if (line.trim() !== '') this.#isLineStart = false
    else if (line.length < passed.length) this.#isLineStart = true
  }
}
