import type { DueCall, RoundPlan } from './round-plan.ts'
import type { StreamPart } from './stream-part.ts'
import type { ToolCall } from './tool-parts.ts'

type EndPart = Extract<StreamPart, { type: 'end' }>

/** What one round of an answer came to, where it was not simply the answer. */
export interface RoundReport {
  /** Everything that the model said, as far as it can be sent back to it. */
  readonly text: string
  /** Calls of the gateway's own search, whole ones only. */
  readonly searches: readonly ToolCall[]
  /** Calls that the client did not want, whole ones only. */
  readonly strays: readonly ToolCall[]
  /** A whole call went to the client: the answer ends with this round. */
  readonly hasDelivered: boolean
  readonly end: EndPart
}

/** Text and arguments that are held or sent back, in UTF-16 units; the longest answer of any model is half of it. */
export const MAX_HELD_CHARS = 1_048_576

const NoParts: readonly StreamPart[] = []

/**
 * Stands between the parts of one round and the client. Text is held where the round may turn out not to be the
 * answer; calls that are not the client's business, and the `end`, never pass. Reasoning always does.
 */
export class RoundReader {
  readonly #dueCall: DueCall | null
  readonly #searchTool: string | null
  readonly #mustBeJson: boolean
  #isHolding: boolean
  #text = ''
  /** How much of the text has passed. */
  #passedChars = 0
  /** Nothing is added to the text any more, so that it has no gaps. */
  #isFull = false
  #isTooLong = false
  readonly #searches: ToolCall[] = []
  readonly #strays: ToolCall[] = []
  /** The call that is being kept from the client. */
  #kept: { readonly id: string; readonly name: string; json: string } | null = null
  #hasDelivered = false
  #end: EndPart | null = null

  constructor({ jsonForm, dueCall, webSearch }: RoundPlan) {
    this.#dueCall = dueCall
    this.#searchTool = webSearch?.toolName ?? null
    this.#mustBeJson = jsonForm !== null
    this.#isHolding = this.#mustBeJson || dueCall !== null
  }

  /** What goes to the client now. */
  push(part: StreamPart): readonly StreamPart[] {
    switch (part.type) {
      case 'text':
        return this.#readText(part)
      case 'tool-start':
        if (this.#isClients(part.name)) return this.#mustBeJson ? [part] : [...this.release(), part]
        this.#kept = { id: part.id, name: part.name, json: '' }
        return NoParts
      case 'tool-delta':
        if (this.#kept === null) return [part]
        if (this.#kept.json.length <= MAX_HELD_CHARS) this.#kept.json += part.json
        return NoParts
      case 'tool-end':
        if (this.#kept !== null) return this.#endKept(part.isCut === true)
        if (part.isCut !== true) this.#hasDelivered = true
        return [part]
      case 'end':
        this.#end = part
        return NoParts
      case 'reasoning':
      case 'signature':
      case 'redacted':
      case 'search':
        break
    }
    return [part]
  }

  /**
   * The text that is held; from here on text passes as it comes. Words around a call are no answer in JSON: clients
   * read all text as JSON, so they are given none.
   */
  release(): readonly StreamPart[] {
    if (this.#mustBeJson && this.#hasDelivered) return NoParts
    this.#isHolding = false
    const text = this.#text.slice(this.#passedChars)
    this.#passedChars = this.#text.length
    return text === '' ? NoParts : [{ type: 'text', text }]
  }

  /** The text was longer than what can be held, so that its end is missing. */
  get isTooLong(): boolean {
    return this.#isTooLong
  }

  /** Call after the `end` part. */
  report(): RoundReport {
    if (this.#end === null) throw new Error('the round has not ended')
    return {
      text: this.#text,
      searches: this.#searches,
      strays: this.#strays,
      hasDelivered: this.#hasDelivered,
      end: this.#end
    }
  }

  #readText(part: Extract<StreamPart, { type: 'text' }>): readonly StreamPart[] {
    this.#isFull ||= this.#text.length + part.text.length > MAX_HELD_CHARS
    const isFull = this.#isFull
    if (isFull && this.#isHolding) {
      if (!this.#mustBeJson) return [...this.release(), part]
      this.#isTooLong = true
    }
    if (!isFull) this.#text += part.text
    if (this.#isHolding) return NoParts
    if (!isFull) this.#passedChars = this.#text.length
    return [part]
  }

  /** A search is ours, and where one tool was named no other may be called. */
  #isClients(name: string): boolean {
    return name !== this.#searchTool && !this.#isStray(name)
  }

  #isStray(name: string): boolean {
    const wanted = this.#dueCall?.name ?? null
    return wanted !== null && name !== wanted
  }

  #endKept(isCut: boolean): readonly StreamPart[] {
    const call = this.#kept
    this.#kept = null
    if (call === null || isCut || call.json.length > MAX_HELD_CHARS) return NoParts
    if (this.#isStray(call.name)) this.#strays.push(call)
    else this.#searches.push(call)
    return NoParts
  }
}
