import { parseJsonObject } from '../../shared/json.ts'
import { type AnswerRoom, heapBytesOf, LongText } from '../answer/output-text.ts'

const OPENING = /^\s*\{\s*"input"\s*:\s*"/
const MAX_OPENING_CHARS = 256
/** Longest arguments of another form that are searched for a text: parsing takes many times as much memory. */
const MAX_OTHER_CHARS = 262_144

/**
 * The raw text of a call whose arguments arrive as `{"input": "…"}` in pieces cut anywhere. Text is released as soon
 * as it is certain, never half a character.
 *
 *   opening ──{"input":"──▶ text ──closing quote──▶ closed
 *      └──anything else──▶ other: nothing until the end
 */
export class RawInput {
  #state: 'opening' | 'text' | 'closed' | 'other' = 'opening'
  #held = ''
  readonly #other = new LongText()
  readonly #room: AnswerRoom
  /** High surrogate of a character that was written as two escapes. */
  #half = ''

  constructor(room: AnswerRoom) {
    this.#room = room
  }

  push(json: string): string {
    switch (this.#state) {
      case 'opening':
        return this.#open(json)
      case 'text':
        return this.#read(this.#held + json)
      case 'other':
        if (this.#room.hold(heapBytesOf(json))) this.#other.add(json)
        break
      case 'closed':
        break
    }
    return ''
  }

  /** Returns the rest; arguments without a text named `input` are returned as they are. */
  end(): string {
    if (this.#state === 'text' || this.#state === 'closed') return ''
    const json = this.#held + this.#other.take().join('')
    const input = json.length > MAX_OTHER_CHARS ? null : parseJsonObject(json)?.['input']
    return typeof input === 'string' ? input : json
  }

  #open(json: string): string {
    this.#held += json
    const opening = OPENING.exec(this.#held)?.[0]
    if (opening !== undefined) {
      this.#state = 'text'
      return this.#read(this.#held.slice(opening.length))
    }
    if (this.#held.length > MAX_OPENING_CHARS) this.#state = 'other'
    return ''
  }

  #read(json: string): string {
    const end = findClosingQuote(json)
    if (end !== -1) this.#state = 'closed'
    const certain = end === -1 ? wholeEscapesEnd(json) : end
    // A slice that the next piece replaces.
    this.#held = end === -1 ? json.slice(certain) : ''
    if (certain === 0 && this.#state === 'text') return ''
    const text = this.#half + decode(json.slice(0, certain))
    const last = text.charCodeAt(text.length - 1)
    const isHalf = this.#state === 'text' && last >= 0xd800 && last <= 0xdbff
    // A slice of one character is a copy.
    this.#half = isHalf ? text.slice(-1) : ''
    return isHalf ? text.slice(0, -1) : text
  }
}

function findClosingQuote(json: string): number {
  let at = json.indexOf('"')
  while (at !== -1 && isEscaped(json, at)) at = json.indexOf('"', at + 1)
  return at
}

function wholeEscapesEnd(json: string): number {
  const at = json.lastIndexOf('\\')
  if (at === -1 || isEscaped(json, at)) return json.length
  const escapeChars = json[at + 1] === 'u' ? 6 : 2
  return at + escapeChars <= json.length ? json.length : at
}

function isEscaped(json: string, at: number): boolean {
  let from = at
  while (from > 0 && json[from - 1] === '\\') from--
  return (at - from) % 2 === 1
}

/** Invalid JSON decodes to nothing: its call is found broken at the end. */
function decode(json: string): string {
  try {
    return String(JSON.parse(`"${json}"`))
  } catch {
    return ''
  }
}
