import type { UpstreamEvent } from '../../kiro/wire/event.ts'
import { type AnswerRoom, heapBytesOf, LongText } from './output-text.ts'
import type { StreamPart } from './stream-part.ts'
import type { AnswerLimit } from './usage.ts'

/**
 * Gate between the model's tool calls and the client: passes only the first if the client wants one at a time, and
 * enforces the client's limit. A call that arrives whole is dropped whole; one that arrives in pieces is cut off.
 *
 *   none ──start──▶ whole | streamed | skipped ──end──▶ none
 *                              └──limit──▶ none
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

  get isOpen(): boolean {
    return this.#state !== 'none'
  }

  get hasWholeCalls(): boolean {
    return this.#whole > 0
  }

  /** A streaming client has half of a call. */
  get hasCutCalls(): boolean {
    return this.#hasCutCalls
  }

  /** `made[index]` begins the call; the parts after it are known already. */
  start(made: readonly StreamPart[], index: number, out: StreamPart[]): void {
    const part = made[index]
    if (part?.type !== 'tool-start') throw new Error('no call begins there')
    let end = index
    while (end < made.length && made[end]?.type !== 'tool-end') end++
    const isWhole = end < made.length
    this.#state = 'skipped'
    if (this.#isSingle && this.#begun > 0) return
    const json = isWhole ? made.slice(index, end).map(jsonOf) : []
    if (!this.#limit.isNone && !this.#limit.takeWhole(part.name + json.join(''))) return
    this.#begun++
    this.#state = isWhole ? 'whole' : 'streamed'
    out.push(part)
  }

  delta(json: string, out: StreamPart[]): void {
    if (this.#state === 'whole') out.push({ type: 'tool-delta', json })
    if (this.#state !== 'streamed') return
    const fitting = this.#limit.push(json)
    if (fitting !== '') out.push({ type: 'tool-delta', json: fitting })
    if (fitting !== json) this.cut(out)
  }

  cut(out: StreamPart[]): void {
    this.end({ type: 'tool-end', isCut: true }, out)
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

function jsonOf(part: StreamPart): string {
  return part.type === 'tool-delta' ? part.json : ''
}

const EVENT_BYTES = 256

interface WaitingText {
  readonly type: 'text' | 'reasoning'
  readonly pieces: LongText
}

/** Events that arrive while a call is written. Joins pieces of one text, which would each take more memory. */
export class WaitingEvents {
  readonly #room: AnswerRoom
  #events: (UpstreamEvent | WaitingText)[] = []
  #heldBytes = 0

  constructor(room: AnswerRoom) {
    this.#room = room
  }

  add(event: UpstreamEvent, bytes: number): void {
    const text = plainText(event)
    if (text === null) return this.#keep(event, bytes)
    const last = this.#events.at(-1)
    if (last !== undefined && 'pieces' in last && last.type === event.type) {
      if (this.#hold(heapBytesOf(text))) last.pieces.add(text)
      return
    }
    const pieces = new LongText()
    pieces.add(text)
    this.#keep({ type: event.type === 'text' ? 'text' : 'reasoning', pieces }, heapBytesOf(text))
  }

  take(): readonly UpstreamEvent[] {
    if (this.#events.length === 0) return []
    const events = this.#events
    this.#events = []
    this.#room.free(this.#heldBytes)
    this.#heldBytes = 0
    return events.flatMap((event): readonly UpstreamEvent[] => {
      if (!('pieces' in event)) return [event]
      return event.pieces.take().map((text) => ({ type: event.type, text }))
    })
  }

  #keep(event: UpstreamEvent | WaitingText, bytes: number): void {
    if (this.#hold(EVENT_BYTES + bytes)) this.#events.push(event)
  }

  #hold(bytes: number): boolean {
    const hasRoom = this.#room.hold(bytes)
    if (hasRoom) this.#heldBytes += bytes
    return hasRoom
  }
}

function plainText(event: UpstreamEvent): string | null {
  if (event.type === 'text') return event.text
  if (event.type !== 'reasoning' || event.signature || event.redacted) return null
  return event.text ?? ''
}
