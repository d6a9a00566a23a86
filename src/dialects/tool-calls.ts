import { randomUUID } from 'node:crypto'
import type { UpstreamEvent } from '../kiro/event.ts'
import type { StreamPart } from './stream-part.ts'
import { toDeltas, toToolParts } from './tool-parts.ts'

export type ToolEvent = Extract<UpstreamEvent, { type: 'tool' }>

/** Longest arguments of one call; a longer call is cut off. */
const MaxArgumentChars = 8 * 1024 * 1024

/**
 * Up to here a call is held until it is whole, so that one which breaks off leaves no trace (kiro-protocol A26).
 * A longer one would leave its client without a sign of life for a minute, so its arguments go out as they come.
 */
const HoldChars = 2048

/**
 * Gathers the tool calls of one answer (kiro-protocol §5.5) and gives them out as parts, one call at a time and
 * in the order in which they began. Only a call whose arguments are a strict JSON object ends as a whole one.
 *
 * ```
 *   open ──stop, or whole when the next begins──▶ whole ──all before it are out──▶ given out
 *     └────stop or end of stream, not whole─────▶ broken ─▶ cut off if it was begun, else never seen
 * ```
 */
export class ToolCalls {
  readonly #toolNames: Readonly<Record<string, string>>
  readonly #open = new Map<string, OpenCall>()
  readonly #settledIds = new Set<string>()
  /** Every call that is not given out yet, in order of appearance. */
  readonly #queue: OpenCall[] = []
  readonly #nameless = new NamelessCalls()
  #hasBroken = false
  #lostText = ''

  /** `toolNames` gives the client's names for upstream names where they differ. */
  constructor(toolNames: Readonly<Record<string, string>>) {
    this.#toolNames = toolNames
  }

  /** A call broke off: it was cut short, or it never came out. */
  get hasBroken(): boolean {
    return this.#hasBroken
  }

  /** What the model said in calls that broke off and is in no part: it has its price all the same. */
  get lostText(): string {
    return this.#lostText
  }

  /** The model has made a call, whatever became of it. */
  get hasSeen(): boolean {
    return this.#open.size + this.#settledIds.size > 0
  }

  /** What can be given out after this event. Repeats of a settled call are ignored. */
  push(event: ToolEvent): readonly StreamPart[] {
    const id = event.id === '' ? this.#nameless.idOf(event) : event.id
    if (id === null || this.#settledIds.has(id)) return []
    const call = this.#open.get(id) ?? this.#begin(id)
    if (call.name === '') call.name = event.name
    append(call, event.input)
    if (event.stop) {
      if (call.json.trim() === '') call.json = '{}'
      this.#settle(call)
    }
    return this.#drain()
  }

  /** The rest, also of calls that are whole although the stream ended before their stop. */
  end(): readonly StreamPart[] {
    for (const call of this.#open.values()) {
      // Without arguments it is a call without arguments only if the model went on to another one.
      if (call.isSuperseded && call.json.trim() === '') call.json = '{}'
      this.#settle(call)
    }
    return this.#drain()
  }

  #begin(id: string): OpenCall {
    for (const other of this.#open.values()) {
      other.isSuperseded = true
      // The text of a whole object can't go on, so nothing that still comes can belong to it. `{}` may be a placeholder.
      if (other.json !== '{}' && isObjectText(other.json)) this.#settle(other)
    }
    const call: OpenCall = {
      id,
      name: '',
      json: '',
      sentChars: 0,
      state: 'open',
      isSuperseded: false,
      isSpoilt: false
    }
    this.#open.set(id, call)
    this.#queue.push(call)
    return call
  }

  #settle(call: OpenCall): void {
    const isWhole = !call.isSpoilt && call.name !== '' && isObjectText(call.json)
    call.state = isWhole ? 'whole' : 'broken'
    if (!isWhole) {
      this.#hasBroken = true
      this.#lostText +=
        call.sentChars === 0 ? call.name + call.json : call.json.slice(call.sentChars)
    }
    this.#open.delete(call.id)
    this.#settledIds.add(call.id)
  }

  #drain(): readonly StreamPart[] {
    const parts: StreamPart[] = []
    for (let call = this.#queue[0]; call !== undefined; call = this.#queue[0]) {
      if (call.state === 'open') {
        this.#giveBeginning(call, parts)
        break
      }
      this.#queue.shift()
      this.#giveRest(call, parts)
    }
    return parts
  }

  #giveBeginning(call: OpenCall, out: StreamPart[]): void {
    const { id, name, json } = call
    if (call.sentChars === 0) {
      if (json.length < HoldChars || name === '' || json.trimStart()[0] !== '{') return
      out.push({ type: 'tool-start', id, name: this.#clientName(name) })
    }
    const end = wholeCharsEnd(json)
    out.push(...toDeltas(json.slice(call.sentChars, end)))
    call.sentChars = end
  }

  #giveRest(call: OpenCall, out: StreamPart[]): void {
    const { id, json, sentChars } = call
    if (sentChars > 0) {
      const isCut = call.state === 'broken'
      if (!isCut) out.push(...toDeltas(json.slice(sentChars)))
      out.push(isCut ? { type: 'tool-end', isCut } : { type: 'tool-end' })
    } else if (call.state === 'whole') {
      out.push(...toToolParts({ id, name: this.#clientName(call.name), json }))
    }
  }

  #clientName(name: string): string {
    return Object.hasOwn(this.#toolNames, name) ? (this.#toolNames[name] ?? name) : name
  }
}

interface OpenCall {
  readonly id: string
  name: string
  json: string
  /** How much of `json` has been given out. */
  sentChars: number
  state: 'open' | 'whole' | 'broken'
  /** Another call began after this one. */
  isSuperseded: boolean
  /** Its arguments are too long, or contradict what has been given out. */
  isSpoilt: boolean
}

/** Frames without an id belong to one call until its stop; clients can't do without an id, so it gets one. */
class NamelessCalls {
  #id: string | null = null
  #name = ''
  #lastName = ''

  /** `null` for a ghost: a frame that says nothing about a call that is over. */
  idOf({ name, input, stop }: ToolEvent): string | null {
    if (this.#id !== null && name !== '' && this.#name !== '' && name !== this.#name)
      this.#id = null
    const isGhost = this.#id === null && input === undefined && name === this.#lastName
    if (isGhost) return null
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

function append(call: OpenCall, input: ToolEvent['input']): void {
  if (input === undefined || call.isSpoilt) return
  if (typeof input !== 'string') return replace(call, input)
  // Some streams open with a placeholder `{}` before the fragments (an empty object can't go on).
  const json = call.json === '{}' ? input || '{}' : call.json + input
  if (json.length > MaxArgumentChars) spoil(call)
  else call.json = json
}

/** Arguments that come whole stand for the fragments before them, unless those are out already. */
function replace(call: OpenCall, input: Readonly<Record<string, unknown>>): void {
  if (Object.keys(input).length === 0) return
  const json = JSON.stringify(input)
  if (call.sentChars === 0) call.json = json
  else if (call.json !== json) spoil(call)
}

function spoil(call: OpenCall): void {
  call.isSpoilt = true
  if (call.sentChars === 0) call.json = ''
}

function isObjectText(json: string): boolean {
  if (json.trimStart()[0] !== '{') return false
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

/** Leaves out the first half of a character whose second half is still to come. */
function wholeCharsEnd(text: string): number {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
}
