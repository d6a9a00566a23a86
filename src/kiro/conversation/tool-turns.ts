import type { Repairs } from '../rules/repairs.ts'
import {
  isBlank,
  joinText,
  type Message,
  type Source,
  type ToolCall,
  type ToolResult
} from '../wire/message.ts'
import { makeToolId, type OfferedTools, toHashedToolId, toWireToolId } from './tools.ts'

/** Makes valid ids (kiro-protocol §4.8 step 3, §4.10). Results without id answer the calls without id, in order. */
export function assignToolIds(messages: readonly Message[], repairs: Repairs): Message[] {
  const ids = new ToolIds(repairs)
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    const toolCalls = message.toolCalls.map((call) => ({ ...call, id: ids.ofCall(call) }))
    const toolResults = message.toolResults.map((one) => ({ ...one, id: ids.ofResult(one) }))
    return { ...message, toolCalls, toolResults }
  })
}

class ToolIds {
  readonly #repairs: Repairs
  readonly #wireIds = new Map<string, string>()
  readonly #taken = new Set<string>()
  readonly #ofCalls: string[] = []
  /** A counter, since removing the first element of a list would move the rest each time. */
  #answered = 0
  #made = 0

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  ofCall({ id, source }: ToolCall): string {
    if (id.trim() !== '') return this.#map(id, source)
    const made = this.#make(source)
    this.#ofCalls.push(made)
    return made
  }

  ofResult({ id, source }: ToolResult): string {
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

const INTERRUPTED = 'Tool execution was interrupted.'

/**
 * Pairs every call with a result in the next turn (kiro-protocol §4.8 step 10); others become text. Expects
 * alternating turns that begin and end with the user.
 */
export function pairToolTurns(turns: readonly Message[], repairs: Repairs): Message[] {
  let calls: readonly ToolCall[] = []
  return turns.map((turn) => {
    const paired =
      turn.role === 'assistant' ? dedupeCalls(turn, repairs) : pairResults(turn, calls, repairs)
    calls = paired.toolCalls
    return paired
  })
}

/** Keeps one of several calls with one id: that with the longest arguments. */
function dedupeCalls(turn: Message, repairs: Repairs): Message {
  if (turn.toolCalls.length < 2 && turn.toolResults.length === 0) return turn
  const kept = new Map<string, { readonly call: ToolCall; words: CallWords | null }>()
  const pieces: string[] = []
  for (const call of turn.toolCalls) {
    const earlier = kept.get(call.id)
    if (earlier === undefined) {
      kept.set(call.id, { call, words: null })
      continue
    }
    repairs.note('call-duplicate', call.source)
    // A long call may meet many others: word it once.
    earlier.words ??= callWords(earlier.call)
    const later = { call, words: callWords(call) }
    const isLonger = later.words.json.length > earlier.words.json.length
    if (isLonger) kept.set(call.id, later)
    const [stays, goes] = isLonger ? [later.words, earlier.words] : [earlier.words, later.words]
    if (stays.json !== goes.json || stays.head !== goes.head) pieces.push(goes.head + goes.json)
  }
  // An assistant cannot answer calls: its results become text.
  for (const result of turn.toolResults) {
    repairs.note('result-orphan', result.source)
    pieces.push(resultText(result))
  }
  const toolCalls = [...kept.values()].map(({ call }) => call)
  return { ...turn, toolCalls, toolResults: [], text: appendPieces(turn.text, pieces) }
}

function pairResults(turn: Message, calls: readonly ToolCall[], repairs: Repairs): Message {
  if (calls.length === 0 && turn.toolResults.length === 0 && turn.toolCalls.length === 0)
    return turn
  const missing = new Map(calls.map((call) => [call.id, call]))
  const first = new Map<string, ToolResult>()
  const pieces: string[] = []
  for (const result of turn.toolResults) {
    const earlier = first.get(result.id)
    if (earlier !== undefined) {
      repairs.note('result-duplicate', result.source)
      if (earlier.text !== result.text) pieces.push(resultText(result))
    } else if (missing.delete(result.id)) {
      first.set(result.id, result)
    } else {
      repairs.note('result-orphan', result.source)
      pieces.push(resultText(result))
    }
  }
  for (const call of missing.values()) repairs.note('call-interrupted', call.source)
  const interrupted = [...missing.keys()].map((id) => ({ id, text: INTERRUPTED, isError: true }))
  // The order of the calls alone ties an image to its result.
  const answers = calls.flatMap(({ id }) => first.get(id) ?? [])
  const toolResults = [...answers, ...interrupted]
  for (const call of turn.toolCalls) repairs.note('call-misplaced', call.source)
  const userCalls = turn.toolCalls.map(callText)
  const text = appendPieces(turn.text, [...userCalls, ...pieces])
  return { ...turn, toolCalls: [], toolResults, text }
}

export const EMPTY_RESULT = '(empty result)'

/** The upstream refuses calls and results if no tools are offered (kiro-protocol §4.8 step 4). */
export function toolTurnsToText(messages: readonly Message[], repairs: Repairs): Message[] {
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    for (const { source } of [...message.toolCalls, ...message.toolResults]) {
      repairs.note('tools-as-text', source)
    }
    const pieces = [...message.toolCalls.map(callText), ...message.toolResults.map(resultText)]
    const text = appendPieces(message.text, pieces)
    return { ...message, ...lostReasoning(message), text, toolCalls: [], toolResults: [] }
  })
}

/** Renames calls to the names of the offered tools; other calls and their results become text (step 5). */
export function nameToolCalls(
  messages: readonly Message[],
  wireNameOf: OfferedTools['wireNameOf'],
  repairs: Repairs
): Message[] {
  const undeclared = new Set<string>()
  return messages.map((message) => {
    if (message.toolCalls.length === 0 && message.toolResults.length === 0) return message
    const pieces: string[] = []
    const toolCalls: ToolCall[] = []
    for (const call of message.toolCalls) {
      const name = wireNameOf(call.name)
      if (name === undefined) {
        undeclared.add(call.id)
        pieces.push(callText(call))
        repairs.note('tool-undeclared', call.source)
      } else {
        undeclared.delete(call.id)
        toolCalls.push(name === call.name ? call : { ...call, name })
      }
    }
    const toolResults: ToolResult[] = []
    for (const result of message.toolResults) {
      if (undeclared.has(result.id)) {
        pieces.push(resultText(result))
        repairs.note('tool-undeclared', result.source)
      } else {
        toolResults.push(result)
      }
    }
    const text = appendPieces(message.text, pieces)
    const lost = toolCalls.length < message.toolCalls.length && lostReasoning(message)
    return { ...message, ...lost, text, toolCalls, toolResults }
  })
}

function lostReasoning({ reasoning }: Message): Pick<Message, 'reasoning'> {
  return reasoning === undefined ? {} : { reasoning: null }
}

export function callText(call: ToolCall): string {
  const { head, json } = callWords(call)
  return head + json
}

type CallWords = Readonly<Record<'head' | 'json', string>>

function callWords({ name, id, input }: ToolCall): CallWords {
  return { head: `[Tool: ${name} (${id})]\n`, json: JSON.stringify(input) }
}

export function resultText({ id, text }: ToolResult): string {
  return `[Tool Result (${id})]\n${isBlank(text) ? EMPTY_RESULT : text}`
}

export function appendPieces(text: string, pieces: readonly string[]): string {
  return pieces.reduce((all, piece) => joinText(all, piece, '\n\n'), text)
}
