import type { ConversationStart } from '../../kiro/conversation/conversation-memory.ts'
import type { BuiltPayload } from '../../kiro/conversation/build.ts'
import { typedTurn } from '../../kiro/conversation/ids.ts'
import {
  imagesIn,
  joinReplays,
  maySettle,
  repairsOfTurns,
  type SettledHistory
} from '../../kiro/conversation/settled-history.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import { isBlank, type Message } from '../../kiro/wire/message.ts'
import type { UpstreamPayload } from '../../kiro/wire/payload.ts'
import { signatureHashesOf, signaturesThatTell } from '../plan/plan.ts'
import type { HistoryPlace, SettledText } from './payload-bytes.ts'
import type { SettledTools } from './settled-tools.ts'

/** Conversation that comes in parts: earlier requests and answers, and the new items. */
export interface PartedConversation {
  /** No item is about others, but for results of calls beside them. */
  readonly isPlain: boolean
  /** Parts that stay as they are, and the messages that they have become. */
  readonly parts: number
  readonly messages: number
}

/** Turns that the items of a request follow, instead of being among them. */
export interface SettledTurns extends SettledPart {
  /** JSON text of their history entries, in order, with commas between them but not between pieces. */
  readonly pieces: readonly Uint8Array[]
  /** Size of the items that they were made of. */
  readonly bytes: number
  /** Tools of the request, which has none itself. Left out if it has them. */
  readonly tools?: GivenTools | undefined
}

/** Tools that were taken out of a request. */
export interface GivenTools extends SettledTools {
  /** Size of the client's JSON text. */
  readonly bytes: number
}

export interface SettledPart {
  readonly settled: SettledHistory
  readonly text: SettledText
}

/** Bytes of a payload that repeat with each later request, and what is then to be known of all up to their end. */
export interface SettlingHistory extends SettledPart {
  readonly from: number
  readonly to: number
  /** Parts of the request's conversation that they were made of. */
  readonly parts: number
  /** Tools of the request, if they were not among what it came with. */
  readonly tools?: SettledTools
}

/** The whole conversation is needed: new turns alone would not come to the same. */
export interface WholeNeeded {
  readonly type: 'whole-needed'
}

export const WHOLE_NEEDED: WholeNeeded = { type: 'whole-needed' }

/** Returns the turns that later requests may go on from; `undefined` for none. */
export function settlingOf(made: {
  readonly growth: PartedConversation
  readonly before: SettledHistory | undefined
  readonly messages: readonly Message[]
  readonly built: BuiltPayload
  readonly ground: string
  readonly payload: UpstreamPayload
  readonly history: HistoryPlace | undefined
  readonly start: ConversationStart | undefined
  readonly repairs: Repairs
  /** Told if asked for. */
  readonly tools: () => SettledTools | undefined
}): SettlingHistory | undefined {
  const { growth, before, messages, built, ground, payload, history, start, repairs } = made
  const isGrown = growth.isPlain && growth.messages > 0
  if (!isGrown || history === undefined || start === undefined) return undefined
  const settling = messages.slice(0, growth.messages)
  if (before === undefined && !isExchange(settling)) return undefined
  if (!maySettle(messages, repairs.codes, built.borderline)) return undefined
  const entries = payload.conversationState.history?.slice(0, history.entries) ?? []
  const signatures = [...(before?.signatures ?? []), ...signatureHashesOf(entries)]
  const settled: SettledHistory = {
    entries: (before?.entries ?? 0) + history.entries,
    ground,
    images: (before?.images ?? 0) + imagesIn(settling),
    ids: built.ids,
    turn: typedTurn(settling, before?.turn),
    start,
    reasoning: joinReplays(before?.reasoning ?? 'none', built.settling.reasoning),
    signatures: signaturesThatTell(signatures),
    repairs: repairsOfTurns(repairs.codes)
  }
  const { from, to, text } = history
  const tools = made.tools()
  return { from, to, parts: growth.parts, settled, text, ...(tools !== undefined && { tools }) }
}

/** The conversation is told apart by its first exchange, see `startOf()`. */
function isExchange(messages: readonly Message[]): boolean {
  const isTyped = messages.some(({ role, text }) => role === 'user' && !isBlank(text))
  return isTyped && messages.some(({ role }) => role === 'assistant')
}
