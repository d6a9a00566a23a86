import { randomUUID } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { UpstreamEvent } from '../../kiro/wire/event.ts'
import { isValueDeeper } from '../../shared/json.ts'
import { JsonScanner, MAX_DEPTH } from './json-scanner.ts'
import {
  type AnswerRoom,
  ENDLESS_ROOM,
  heapBytesOf,
  LongText,
  wholeCharsEnd
} from './output-text.ts'
import { type StreamPart, toDeltas } from './stream-part.ts'
import type { AnswerLimit } from './usage.ts'

export type ToolEvent = Extract<UpstreamEvent, { type: 'tool' }>

interface ToolCallsOptions {
  readonly toolNames: Readonly<Record<string, string>>
  readonly room?: AnswerRoom
  /** Hears the text of a call that broke off: it is in no part, but costs tokens. */
  readonly onLost?: (text: string) => void
}

/**
 * Longer calls are streamed, or the client would see nothing for a minute; a shorter one that breaks off
 * leaves no trace.
 */
const HoldChars = 2048

const CallBytes = 1024
const SettledBytes = 128

/**
 * Gathers the tool calls of one answer (kiro-protocol §5.5) and turns them into parts, one call at a time and in the
 * order in which they began. Only a call whose arguments are a strict JSON object ends as whole. Each fragment is
 * scanned once; arguments are kept only until they are sent.
 *
 *   open ──stop, or whole when the next begins──▶ whole ──all before it are out──▶ sent
 *     └────stop or end of stream, not whole─────▶ broken ─▶ cut off if it was begun, else never seen
 */
export class ToolCalls {
  readonly #toolNames: Readonly<Record<string, string>>
  readonly #room: AnswerRoom
  readonly #onLost: (text: string) => void
  readonly #open = new Map<string, OpenCall>()
  readonly #settledIds = new Set<string>()
  /** Open calls whose arguments are whole: later fragments cannot belong to them. */
  readonly #complete = new Set<OpenCall>()
  readonly #nameless = new NamelessCalls()
  /** The oldest call that is not sent yet; the others follow as `next`. */
  #first: OpenCall | null = null
  #newest: OpenCall | null = null
  #broken = 0

  constructor({ toolNames, room, onLost }: ToolCallsOptions) {
    this.#toolNames = toolNames
    this.#room = room ?? ENDLESS_ROOM
    this.#onLost = onLost ?? (() => {})
  }

  get broken(): number {
    return this.#broken
  }

  get hasSeen(): boolean {
    return this.#open.size + this.#settledIds.size > 0
  }

  /** Returns the parts that can be sent now. Ignores repeats of a settled call. */
  push(event: ToolEvent): readonly StreamPart[] {
    const id = event.id === '' ? this.#nameless.idOf(event) : event.id
    if (id === null || this.#settledIds.has(id)) return []
    const call = this.#open.get(id) ?? this.#begin(id)
    if (call.name === '' && event.name !== '') {
      call.name = event.name
      this.#hold(call, heapBytesOf(event.name))
    }
    this.#append(call, event.input)
    if (event.stop) {
      if (call.isBlank) this.#replaceText(call, '{}')
      this.#settle(call)
    }
    return this.#drain()
  }

  /**
   * Includes calls that are whole although their stop is missing. `isLost`: more was to come, perhaps of
   * the last.
   */
  end(isLost = false): readonly StreamPart[] {
    for (const call of this.#open.values()) {
      // A call without any text has no arguments only if the model went on to another call.
      if (call.next !== null && call.isBlank) this.#replaceText(call, '{}')
      if (call.next === null && isLost) call.isSpoilt = true
      this.#settle(call)
    }
    return this.#drain()
  }

  #begin(id: string): OpenCall {
    for (const other of this.#complete) this.#settle(other)
    const call = new OpenCall(id)
    this.#hold(call, CallBytes + heapBytesOf(id))
    if (this.#newest !== null) this.#newest.next = call
    this.#newest = call
    this.#first ??= call
    this.#open.set(id, call)
    return call
  }

  #hold(call: OpenCall, bytes: number): boolean {
    const hasRoom = this.#room.hold(bytes)
    if (hasRoom) call.heldBytes += bytes
    return hasRoom
  }

  #append(call: OpenCall, input: ToolEvent['input']): void {
    if (input === undefined || call.isSpoilt) return
    if (typeof input !== 'string') return this.#replace(call, input)
    if (input === '') return
    // Some streams send a placeholder `{}` before the fragments.
    if (call.isPlaceholder) call.clear()
    this.#add(call, input)
    call.isPlaceholder = call.unsent.length === 2 && call.unsent.toString() === '{}'
    this.#noteComplete(call)
  }

  /** Arguments that come whole replace the fragments before them, unless those were sent. */
  #replace(call: OpenCall, input: Readonly<Record<string, unknown>>): void {
    if (Object.keys(input).length === 0) return
    // Writing deeper ones would overflow the stack on Node 24.
    if (isValueDeeper(input, MAX_DEPTH)) {
      call.isSpoilt = true
      return
    }
    const json = JSON.stringify(input)
    if (!this.#room.say(Buffer.byteLength(json))) return
    if (!call.isBegun) this.#replaceText(call, json)
    else if (!call.isSame(json)) call.isSpoilt = true
  }

  #replaceText(call: OpenCall, json: string): void {
    call.clear()
    this.#add(call, json)
    this.#noteComplete(call)
  }

  #add(call: OpenCall, json: string): void {
    call.scan(json)
    if (call.isBegun) call.unsent.add(json)
    else if (call.isHopeless) this.#lose(call, json)
    else if (this.#hold(call, heapBytesOf(json))) call.unsent.add(json)
    else call.isSpoilt = true
  }

  /** Drops the call, unless its arguments come once more as a whole. */
  #lose(call: OpenCall, json: string): void {
    for (const text of call.unsent.take()) this.#onLost(text)
    this.#onLost(json)
  }

  #noteComplete(call: OpenCall): void {
    if (call.isWhole && !call.isPlaceholder) this.#complete.add(call)
    else this.#complete.delete(call)
  }

  #settle(call: OpenCall): void {
    const isWhole = !call.isSpoilt && call.name !== '' && call.isWhole
    call.state = isWhole ? 'whole' : 'broken'
    if (!isWhole) {
      this.#broken += 1
      if (!call.isBegun) this.#onLost(call.name)
      for (const text of call.unsent.take()) this.#onLost(text)
    }
    this.#open.delete(call.id)
    this.#complete.delete(call)
    this.#settledIds.add(call.id)
  }

  #drain(): readonly StreamPart[] {
    const parts: StreamPart[] = []
    for (let call = this.#first; call !== null; call = this.#first) {
      if (call.state === 'open') {
        this.#giveBeginning(call, parts)
        break
      }
      this.#first = call.next
      this.#giveRest(call, parts)
      this.#room.free(Math.max(0, call.heldBytes - SettledBytes - heapBytesOf(call.id)))
    }
    return parts
  }

  #giveBeginning(call: OpenCall, out: StreamPart[]): void {
    if (!call.isBegun) {
      if (call.unsent.length < HoldChars || call.name === '' || call.isBlank) return
      this.#start(call, out)
    }
    call.giveOut(out)
  }

  #giveRest(call: OpenCall, out: StreamPart[]): void {
    if (call.state === 'whole') {
      if (!call.isBegun) this.#start(call, out)
      call.giveAllOut(out)
      out.push({ type: 'tool-end' })
    } else if (call.isBegun) out.push({ type: 'tool-end', isCut: true })
  }

  #start(call: OpenCall, out: StreamPart[]): void {
    call.isBegun = true
    out.push({ type: 'tool-start', id: call.id, name: this.#clientName(call.name) })
  }

  #clientName(name: string): string {
    return Object.hasOwn(this.#toolNames, name) ? (this.#toolNames[name] ?? name) : name
  }
}

class OpenCall {
  readonly id: string
  name = ''
  state: 'open' | 'whole' | 'broken' = 'open'
  isBegun = false
  next: OpenCall | null = null
  /** The arguments are too long, or contradict what was sent. */
  isSpoilt = false
  /** The arguments are an empty object so far, which may stand for those still to come. */
  isPlaceholder = false
  isBlank = true
  heldBytes = 0
  readonly unsent = new LongText()
  #scanner = new JsonScanner()
  #sentChars = 0
  #checksum = 0

  constructor(id: string) {
    this.id = id
  }

  get isWhole(): boolean {
    return this.#scanner.progress === 'whole'
  }

  get isHopeless(): boolean {
    return this.#scanner.progress === 'broken' && !this.isBlank
  }

  clear(): void {
    this.unsent.take()
    this.isPlaceholder = false
    this.isBlank = true
    this.#scanner = new JsonScanner()
  }

  scan(json: string): void {
    if (this.isBlank) this.isBlank = json.trim() === ''
    this.#scanner.feed(json)
  }

  giveOut(out: StreamPart[]): void {
    const parts = this.unsent.take()
    for (const [index, text] of parts.entries()) {
      const end = index < parts.length - 1 ? text.length : wholeCharsEnd(text)
      this.#give(text.slice(0, end), out)
      // The slice is half a character.
      this.unsent.add(text.slice(end))
    }
  }

  giveAllOut(out: StreamPart[]): void {
    for (const text of this.unsent.take()) this.#give(text, out)
  }

  isSame(json: string): boolean {
    const rest = this.unsent.toString()
    const isLong = this.#sentChars + rest.length === json.length
    return isLong && crc32(rest, this.#checksum) === crc32(json)
  }

  #give(text: string, out: StreamPart[]): void {
    this.#sentChars += text.length
    this.#checksum = crc32(text, this.#checksum)
    out.push(...toDeltas(text))
  }
}

/** Gives ids to calls without one, which clients need. Frames without an id belong to one call until its stop. */
class NamelessCalls {
  #id: string | null = null
  #name = ''
  #lastName = ''

  /** `null` for an empty frame after the end of its call. */
  idOf({ name, input, stop }: ToolEvent): string | null {
    if (this.#id !== null && name !== '' && this.#name !== '' && name !== this.#name)
      this.#id = null
    const isGhost = this.#id === null && input === undefined && name === this.#lastName
    if (isGhost) return null
    // A slice of a short text.
    this.#id ??= `toolu_${randomUUID().replaceAll('-', '').slice(0, 24)}`
    const id = this.#id
    if (name !== '') this.#name = name
    if (stop) {
      this.#lastName = this.#name
      this.#id = null
      this.#name = ''
    }
    return id
  }
}

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
