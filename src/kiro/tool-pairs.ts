import type { Message, ToolCall, ToolResult } from './message.ts'
import type { Repairs } from './repairs.ts'
import { appendPieces, callText, type CallWords, callWords, resultText } from './tool-text.ts'

const INTERRUPTED = 'Tool execution was interrupted.'

/**
 * Makes every call have its result in the very next turn and every result its call in the turn before
 * (kiro-protocol §4.8 step 10). Expects alternating turns that begin and end with the user. What cannot
 * stay structured becomes text; nothing that was said is lost.
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

/** Of calls with one id the one with the longest arguments stays a call. */
function dedupeCalls(turn: Message, repairs: Repairs): Message {
  if (turn.toolCalls.length < 2 && turn.toolResults.length === 0) return turn
  const kept = new Map<string, WordedCall>()
  const pieces: string[] = []
  for (const call of turn.toolCalls) {
    const earlier = kept.get(call.id)
    if (earlier === undefined) {
      kept.set(call.id, { call, words: null })
      continue
    }
    repairs.note('call-duplicate', call.source)
    // The one that stays may be long and meet many others, so it is put into words once.
    earlier.words ??= callWords(earlier.call)
    const later = { call, words: callWords(call) }
    const isLonger = later.words.json.length > earlier.words.json.length
    if (isLonger) kept.set(call.id, later)
    const [stays, goes] = isLonger ? [later.words, earlier.words] : [earlier.words, later.words]
    if (stays.json !== goes.json || stays.head !== goes.head) pieces.push(goes.head + goes.json)
  }
  // An assistant cannot answer calls; what claims so is kept as text.
  for (const result of turn.toolResults) {
    repairs.note('result-orphan', result.source)
    pieces.push(resultText(result))
  }
  const toolCalls = [...kept.values()].map(({ call }) => call)
  return { ...turn, toolCalls, toolResults: [], text: appendPieces(turn.text, pieces) }
}

interface WordedCall {
  readonly call: ToolCall
  /** Made when another call has the same id. */
  words: CallWords | null
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
  const toolResults = [...first.values(), ...interrupted]
  for (const call of turn.toolCalls) repairs.note('call-misplaced', call.source)
  const userCalls = turn.toolCalls.map(callText)
  const text = appendPieces(turn.text, [...userCalls, ...pieces])
  return { ...turn, toolCalls: [], toolResults, text }
}
