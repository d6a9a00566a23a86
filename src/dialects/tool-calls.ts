import type { UpstreamEvent } from '../kiro/event.ts'

export type ToolEvent = Extract<UpstreamEvent, { type: 'tool' }>

/** A call whose arguments are whole: `json` is the text of a JSON object. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly json: string
}

/** Longest arguments of one call; a longer call is dropped as if it were cut off. */
const MaxArgumentChars = 8 * 1024 * 1024

/**
 * Gathers the tool calls of one answer (kiro-protocol §5.5). A call comes out once, whole, in the
 * order in which the calls began; one whose arguments are no strict JSON object never comes out.
 *
 * ```
 *   open ──stop, or whole when the next begins──▶ done ──all before it settled──▶ given out
 *     └────stop or end of stream, not whole─────▶ dropped
 * ```
 */
export class ToolCalls {
  readonly #toolNames: Readonly<Record<string, string>>
  readonly #open = new Map<string, OpenCall>()
  readonly #settledIds = new Set<string>()
  /** Every call that is not given out yet, in order of appearance. */
  #queue: OpenCall[] = []
  #hasDropped = false

  /** `toolNames` gives the client's names for upstream names where they differ. */
  constructor(toolNames: Readonly<Record<string, string>>) {
    this.#toolNames = toolNames
  }

  /** A call was cut off and will not come out. */
  get hasDropped(): boolean {
    return this.#hasDropped
  }

  /** The calls that this event completes. Repeats of a settled call are ignored. */
  push(event: ToolEvent): readonly ToolCall[] {
    if (this.#settledIds.has(event.id)) return []
    const call = this.#open.get(event.id) ?? this.#begin(event.id)
    if (call.name === '') call.name = event.name
    append(call, event.input)
    if (!event.stop) return this.#drain()
    if (call.json.trim() === '') call.json = '{}'
    this.#settle(call)
    return this.#drain()
  }

  /** The calls that are whole although the stream ended before their stop. */
  end(): readonly ToolCall[] {
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
      // The text of a whole object can't go on, so nothing that still comes can belong to it.
      if (isObjectText(other.json)) this.#settle(other)
    }
    const call: OpenCall = {
      id,
      name: '',
      json: '',
      state: 'open',
      isSuperseded: false,
      isTooLong: false
    }
    this.#open.set(id, call)
    this.#queue.push(call)
    return call
  }

  #settle(call: OpenCall): void {
    const isWhole = !call.isTooLong && call.name !== '' && isObjectText(call.json)
    call.state = isWhole ? 'done' : 'dropped'
    if (!isWhole) this.#hasDropped = true
    this.#open.delete(call.id)
    this.#settledIds.add(call.id)
  }

  #drain(): readonly ToolCall[] {
    const calls: ToolCall[] = []
    let settled = 0
    for (const call of this.#queue) {
      if (call.state === 'open') break
      settled++
      if (call.state === 'done') {
        calls.push({ id: call.id, name: this.#clientName(call.name), json: call.json })
      }
    }
    if (settled > 0) this.#queue = this.#queue.slice(settled)
    return calls
  }

  #clientName(name: string): string {
    return Object.hasOwn(this.#toolNames, name) ? (this.#toolNames[name] ?? name) : name
  }
}

interface OpenCall {
  readonly id: string
  name: string
  json: string
  state: 'open' | 'done' | 'dropped'
  /** Another call began after this one. */
  isSuperseded: boolean
  isTooLong: boolean
}

function append(call: OpenCall, input: ToolEvent['input']): void {
  if (input === undefined || call.isTooLong) return
  if (typeof input !== 'string') {
    if (Object.keys(input).length > 0) call.json = JSON.stringify(input)
    return
  }
  // Some streams open with a placeholder `{}` before the fragments (an empty object can't go on).
  call.json = call.json === '{}' ? input || '{}' : call.json + input
  if (call.json.length > MaxArgumentChars) {
    call.json = ''
    call.isTooLong = true
  }
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
