import { makeToolId, toHashedToolId, toWireToolId } from './identifiers.ts'
import type { Message, Source, ToolCall, ToolResult } from './message.ts'
import type { Repairs } from './repairs.ts'

/**
 * Gives every call and every result an id that the upstream takes (kiro-protocol §4.8 step 3, §4.10).
 * One id is always one id: calls and results stay together, different ids stay different. Results
 * without id belong to the calls without id before them, in order.
 */
export function assignToolIds(messages: readonly Message[], repairs: Repairs): Message[] {
  const ids = new ToolIds(repairs)
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    const toolCalls = message.toolCalls.map((call) => ({ ...call, id: ids.ofCall(call) }))
    const toolResults = message.toolResults.map((one) => ({ ...one, id: ids.ofResult(one) }))
    return { ...message, toolCalls, toolResults }
  })
}

type Identified = Pick<ToolCall | ToolResult, 'id' | 'source'>

class ToolIds {
  readonly #repairs: Repairs
  readonly #wireIds = new Map<string, string>()
  readonly #taken = new Set<string>()
  /** Made for calls without id, in order. */
  readonly #ofCalls: string[] = []
  /** How many of these have got their result. A list that gives up its first one is moved each time. */
  #answered = 0
  #made = 0

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  ofCall({ id, source }: Identified): string {
    if (id.trim() !== '') return this.#map(id, source)
    const made = this.#make(source)
    this.#ofCalls.push(made)
    return made
  }

  ofResult({ id, source }: Identified): string {
    if (id.trim() !== '') return this.#map(id, source)
    const ofCall = this.#ofCalls[this.#answered]
    if (ofCall === undefined) return this.#make(source)
    this.#answered++
    return ofCall
  }

  #map(id: string, source: Source): string {
    let wireId = this.#wireIds.get(id)
    if (wireId === undefined) {
      wireId = toWireToolId(id)
      if (this.#taken.has(wireId)) wireId = toHashedToolId(id)
      this.#taken.add(wireId)
      this.#wireIds.set(id, wireId)
      if (wireId !== id) this.#repairs.note('tool-id-changed', source)
    }
    return wireId
  }

  #make(source: Source): string {
    this.#repairs.note('tool-id-added', source)
    return makeToolId(this.#made++)
  }
}
