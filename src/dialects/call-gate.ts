import type { AnswerLimit } from './answer-limit.ts'
import type { StreamPart } from './stream-part.ts'

/**
 * What stands between the model's tool calls and the client: only the first, where the client wants one at a time,
 * and the client's limit. A call that is there as a whole is cut as a whole; one that comes in pieces is cut off.
 *
 * ```
 *   none ──start──▶ whole | streamed | skipped ──end──▶ none
 *                              └──limit──▶ none
 * ```
 */
export class CallGate {
  readonly #limit: AnswerLimit
  readonly #isSingle: boolean
  #state: 'none' | 'whole' | 'streamed' | 'skipped' = 'none'
  #begun = 0
  #whole = 0
  #hasCutCalls = false

  constructor(limit: AnswerLimit, isSingle: boolean) {
    this.#limit = limit
    this.#isSingle = isSingle
  }

  /** A call has begun and not ended: nothing else may come in between. */
  get isOpen(): boolean {
    return this.#state !== 'none'
  }

  /** A call was delivered from its start to its end. */
  get hasWholeCalls(): boolean {
    return this.#whole > 0
  }

  /** A call was begun and broke off: a client that reads along has half of it. */
  get hasCutCalls(): boolean {
    return this.#hasCutCalls
  }

  /** `made`: the part at `index`, which begins the call, and what is known to come after it. */
  start(made: readonly StreamPart[], index: number, out: StreamPart[]): void {
    const part = made[index]
    if (part?.type !== 'tool-start') throw new Error('no call begins there')
    const end = endOfCall(made, index)
    this.#state = 'skipped'
    if (this.#isSingle && this.#begun > 0) return
    const json = end === null ? [] : made.slice(index, end).map(jsonOf)
    if (!this.#limit.isNone && !this.#limit.takeWhole(part.name + json.join(''))) return
    this.#begun++
    this.#state = end === null ? 'streamed' : 'whole'
    out.push(part)
  }

  delta(json: string, out: StreamPart[]): void {
    if (this.#state === 'whole') out.push({ type: 'tool-delta', json })
    if (this.#state !== 'streamed') return
    const fitting = this.#limit.isNone ? json : this.#limit.take(json)
    if (fitting !== '') out.push({ type: 'tool-delta', json: fitting })
    if (fitting !== json) this.cut(out)
  }

  /** Nothing more will come: breaks off what the client has half of. */
  cut(out: StreamPart[]): void {
    if (this.#state === 'whole' || this.#state === 'streamed') {
      out.push({ type: 'tool-end', isCut: true })
      this.#hasCutCalls = true
    }
    this.#state = 'none'
  }

  end(part: Extract<StreamPart, { type: 'tool-end' }>, out: StreamPart[]): void {
    if (this.#state === 'whole' || this.#state === 'streamed') {
      out.push(part)
      if (part.isCut === true) this.#hasCutCalls = true
      else this.#whole++
    }
    this.#state = 'none'
  }
}

/** Where the call that begins at `index` ends; null if that is not among the parts. */
function endOfCall(parts: readonly StreamPart[], index: number): number | null {
  for (let at = index; at < parts.length; at++) if (parts[at]?.type === 'tool-end') return at
  return null
}

function jsonOf(part: StreamPart): string {
  return part.type === 'tool-delta' ? part.json : ''
}
