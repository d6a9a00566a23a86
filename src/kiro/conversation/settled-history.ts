import { hash } from 'node:crypto'
import type { RepairCode } from '../rules/repair-table.ts'
import type { Borderline } from '../rules/repairs.ts'
import { UpstreamLimits } from '../rules/rules.ts'
import type { Message } from '../wire/message.ts'
import type { ConversationStart } from './conversation-memory.ts'
import type { ConversationIds, TypedTurn } from './ids.ts'

/**
 * Turns that were converted before and stay as they are, without their text: what the conversion of later turns needs to
 * know of them, so that it comes to the same bytes. Plain data: it crosses threads.
 */
export interface SettledHistory {
  readonly entries: number
  /** Hash of everything else that shapes these turns: later turns go on from them only if theirs is the same. */
  readonly ground: string
  readonly images: number
  readonly ids: Pick<ConversationIds, 'conversation' | 'root'>
  readonly turn: TypedTurn
  readonly start: ConversationStart
  readonly reasoning: Replay
  /** Hashes of signatures, see `refusablePartsOf()`. */
  readonly signatures: readonly string[]
  readonly repairs: readonly RepairCode[]
}

/** Fate of the reasoning in some turns: all of it goes back, or none, or there is none. */
export type Replay = 'none' | 'kept' | 'left-out'

export function joinReplays(one: Replay, two: Replay): Replay {
  return one === 'none' ? two : one
}

export function groundOf(parts: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64')
}

/** Repairs of tools, which are the same with the same tools. */
const OF_TOOLS: ReadonlySet<RepairCode> = new Set([
  'server-tool-dropped',
  'tool-duplicate-dropped',
  'tool-name-changed',
  'tool-description-filled',
  'tool-description-moved',
  'tool-schema-typed',
  'tool-schema-cleaned',
  'tool-schema-flattened',
  'tool-schema-inlined',
  'tool-schema-cut',
  'tool-choice-dropped'
])

export function repairsOfTools(codes: readonly RepairCode[]): readonly RepairCode[] {
  return codes.filter((code) => OF_TOOLS.has(code))
}

/** Repairs of a request's settings, which each request makes itself. */
const OF_SETTINGS: ReadonlySet<RepairCode> = new Set(['model-substituted', 'effort-clamped'])

/** Returns the repairs of turns, which are found again with these. */
export function repairsOfTurns(codes: readonly RepairCode[]): readonly RepairCode[] {
  return codes.filter((code) => !OF_TOOLS.has(code) && !OF_SETTINGS.has(code))
}

/** Repairs that look at the whole conversation, or that the next request may undo. */
const UNSETTLING: ReadonlySet<RepairCode> = new Set([
  'last-turn-added',
  'tool-id-changed',
  'tool-id-added',
  'tool-limit',
  'image-limit',
  'document-large',
  'surrogate-replaced'
])

const OF_LONG_TURNS: readonly string[] = ['turn-length', 'result-length', 'image-size']

/** False if later turns could change these, or need more of them than `SettledHistory` has. */
export function maySettle(
  messages: readonly Message[],
  codes: readonly RepairCode[],
  borderline: readonly Borderline[]
): boolean {
  return (
    !codes.some((code) => UNSETTLING.has(code)) &&
    !borderline.some(({ rule }) => OF_LONG_TURNS.includes(rule)) &&
    messages.every(({ documents = [] }) => documents.length === 0)
  )
}

/** Repairs in new turns that depend on the ids of all calls, or on how many images there are. */
const OF_ALL_TURNS: readonly RepairCode[] = [
  'tool-id-changed',
  'tool-id-added',
  'tool-limit',
  'image-limit'
]
/** Share of a limit; beyond, the whole conversation is looked at. */
const NEAR = 0.9

/** True if the conversion of new turns comes to the same as that of the whole conversation. */
export function goesOnFrom(
  settled: SettledHistory,
  news: {
    readonly ground: string
    readonly messages: readonly Message[]
    readonly reasoning: Replay
    readonly codes: readonly RepairCode[]
  }
): boolean {
  const { ground, messages, reasoning, codes } = news
  const images = settled.images + imagesIn(messages)
  return (
    settled.ground === ground &&
    !codes.some((code) => OF_ALL_TURNS.includes(code)) &&
    !(settled.reasoning === 'kept' && reasoning === 'left-out') &&
    images < UpstreamLimits.images * NEAR &&
    settled.entries + messages.length < UpstreamLimits.historyEntries * NEAR
  )
}

export function imagesIn(messages: readonly Message[]): number {
  return messages.reduce((sum, { images }) => sum + images.length, 0)
}

/** Number of turns that the first `count` messages become, if the next one is of another role. */
export function turnsOf(messages: readonly Message[], count: number, isLater: boolean): number {
  let turns = 0
  for (let at = 0; at < count; at++) {
    if (at === 0 || messages[at]?.role !== messages[at - 1]?.role) turns++
  }
  const isBegunByAssistant = messages[0]?.role === 'assistant' && !isLater
  return isBegunByAssistant ? turns + 1 : turns
}
