import type { RepairCode } from '../rules/repair-table.ts'
import {
  type Borderline,
  borderlineTools,
  borderlineTurns,
  type Repairs
} from '../rules/repairs.ts'
import { UpstreamLimits } from '../rules/rules.ts'
import type { RequestForm } from '../wire/hosts.ts'
import { isBlank, joinText, type Message, textMessage } from '../wire/message.ts'
import type {
  HistoryEntry,
  UpstreamPayload,
  UpstreamTool,
  UserInputMessage
} from '../wire/payload.ts'
import {
  BLANK,
  CONTINUE,
  type ConversationIds,
  conversationIdsOf,
  type IdSource,
  inForm
} from './ids.ts'
import type { ReasoningPlan } from './reasoning.ts'
import { chooseReplay } from './signed-reasoning.ts'
import { type Replay, type SettledHistory, turnsOf } from './settled-history.ts'
import {
  assignToolIds,
  EMPTY_RESULT,
  nameToolCalls,
  pairToolTurns,
  toolTurnsToText
} from './tool-turns.ts'
import { NO_TOOLS, offerAgain, type OfferedTools, offerTools, type SettledOffer } from './tools.ts'

export interface PayloadOptions extends IdSource {
  readonly form?: RequestForm | undefined
  readonly takesImages: boolean
  readonly reasoning: ReasoningPlan
  readonly canReplay?: boolean
  readonly toolDescriptionMaxLength: number
  readonly maxTools: number
  readonly repairs: Repairs
  /** Turns before these. */
  readonly settled?: SettledHistory | undefined
  /** Offer of the same tools with an earlier request. Its text and what is borderline in it are known. */
  readonly offer?: SettledOffer | undefined
  /** Messages after which later requests may go on. */
  readonly settling?: number | undefined
}

export interface BuiltPayload {
  readonly payload: UpstreamPayload
  readonly ids: ConversationIds
  /** Upstream tool names → the client's, where they differ. */
  readonly toolNames: Readonly<Record<string, string>>
  readonly offered: OfferedTools
  readonly borderline: readonly Borderline[]
  /** All that shapes a turn besides its messages, see `groundOf()`. */
  readonly shapedBy: readonly unknown[]
  readonly reasoning: Replay
  /** The first entries, which `settling` messages have become, and what becomes of their reasoning. */
  readonly settling: { readonly entries: number; readonly reasoning: Replay }
}

const FIRST_TURN: Message = textMessage('user', '')

const ECHOED = new Set(['(empty)', '(empty placeholder)'])

/** Follows the pipeline of kiro-protocol §4.8. The result satisfies the invariants H1–H8 of §4.7. */
export function buildPayload(options: PayloadOptions): BuiltPayload {
  const { conversation, reasoning, repairs, settled } = options
  const offered = offer(options)
  const paired = repairTurns(conversation.messages, offered, options)
  const replayed = replay(paired, options)
  const turns = replayed.turns.map((turn, index, all) =>
    fillBlank(turn, index === all.length - 1, repairs)
  )
  const current = turns.pop() ?? unreachable()
  const budget = reasoning.budgetTokens
  const text = budget === undefined ? current.text : `${thinkingPrefix(budget)}\n\n${current.text}`
  const additions = [
    ...offered.notes,
    ...conversation.instructions,
    ...(budget === undefined ? [] : [THINKING_NOTE])
  ]
  const ownSystemText = composeSystemText(conversation.systemParts, [])
  const systemText = settled === undefined ? joinParagraphs([ownSystemText, ...additions]) : ''
  const [history, content] = placeSystemText(systemText, turns, text)
  const userInputMessage = toUserInput(
    { ...current, text: content },
    options.modelId,
    offered.tools
  )
  // The text as sent: one of the client's lines may differ in each request.
  const source = { ...options, conversation: { ...conversation, systemParts: [ownSystemText] } }
  const ids = conversationIdsOf(source, settled)
  const payload: UpstreamPayload = {
    conversationState: {
      conversationId: ids.conversation,
      chatTriggerType: 'MANUAL',
      ...(history.length > 0 && { history: history.map((turn) => toEntry(turn, options.modelId)) }),
      currentMessage: { userInputMessage }
    },
    ...(reasoning.fields !== undefined && { additionalModelRequestFields: reasoning.fields })
  }
  const borderline = [
    ...borderlineTurns([...history, { ...current, text: content }]),
    ...borderlineTools(offered)
  ]
  const { settling = 0 } = options
  const entries =
    settling === 0 ? 0 : turnsOf(conversation.messages, settling, settled !== undefined)
  return {
    payload: inForm(payload, options.form ?? 'path', ids),
    ids,
    toolNames: offered.clientNames,
    offered,
    borderline,
    shapedBy: [
      [options.modelId, options.sessionKey, options.agentKey, options.owner, options.form],
      [options.takesImages, options.canReplay, conversation.tools.length > 0],
      offered.tools.map(({ toolSpecification: { name } }) => name),
      offered.clientNames,
      // What the client says beside its messages; others of its system text stand before the first turn.
      conversation.systemParts[0],
      additions
    ],
    reasoning: replayOf(paired, replayed.isKept),
    settling: { entries, reasoning: replayOf(paired.slice(0, entries), replayed.isKept) }
  }
}

function offer(options: PayloadOptions): OfferedTools {
  const { conversation, offer: before, repairs } = options
  const { tools, toolChoice: choice, messages } = conversation
  if (before !== undefined) return offerAgain(before)
  if (tools.length === 0 && choice.type === 'auto') return NO_TOOLS
  return offerTools({
    tools,
    choice,
    messages,
    maxTools: options.maxTools,
    descriptionMaxLength: options.toolDescriptionMaxLength,
    repairs
  })
}

/** Leaves reasoning out where turns before these have lost theirs. */
function replay(
  turns: readonly Message[],
  { modelId, canReplay = false, settled }: PayloadOptions
): { readonly turns: readonly Message[]; readonly isKept: boolean } {
  if (!turns.some(hasReasoning)) return { turns, isKept: true }
  const may = canReplay && settled?.reasoning !== 'left-out'
  const chosen = chooseReplay(turns, { modelId, canReplay: may })
  return { turns: chosen, isKept: chosen.some(hasReasoning) }
}

function replayOf(turns: readonly Message[], isKept: boolean): Replay {
  if (!turns.some(hasReasoning)) return 'none'
  return isKept ? 'kept' : 'left-out'
}

function hasReasoning({ reasoning }: Message): boolean {
  return reasoning !== undefined
}

function repairTurns(
  messages: readonly Message[],
  offered: OfferedTools,
  { takesImages, settled, repairs }: PayloadOptions
): readonly Message[] {
  const limited = limitImages(messages, takesImages, repairs)
  const hasToolTurns = limited.some(
    ({ toolCalls, toolResults }) => toolCalls.length + toolResults.length > 0
  )
  const named = hasToolTurns ? nameToolTurns(limited, offered, repairs) : limited
  const alternating = alternateTurns(named, settled !== undefined, repairs)
  const moved = moveAssistantImages(alternating, repairs)
  return hasToolTurns ? pairToolTurns(moved, repairs) : moved
}

function nameToolTurns(
  messages: readonly Message[],
  { tools, wireNameOf }: OfferedTools,
  repairs: Repairs
): readonly Message[] {
  const identified = assignToolIds(messages, repairs)
  return tools.length === 0
    ? toolTurnsToText(identified, repairs)
    : nameToolCalls(identified, wireNameOf, repairs)
}

/** Makes turns alternate, and begin and end with the user (kiro-protocol §4.8 steps 7–9). `isLater`: others precede them. */
function alternateTurns(
  messages: readonly Message[],
  isLater: boolean,
  repairs: Repairs
): Message[] {
  const turns = mergeAdjacent(messages, repairs)
  if (turns[0]?.role === 'assistant' && !isLater) {
    repairs.note('first-turn-added', turns[0].source)
    turns.unshift(FIRST_TURN)
  }
  const last = turns.at(-1)
  if (last?.role !== 'user') {
    repairs.note('last-turn-added', last?.source)
    turns.push(textMessage('user', CONTINUE))
  }
  return turns
}

type Run = [first: Message, ...others: Message[]]

function mergeAdjacent(messages: readonly Message[], repairs: Repairs): Message[] {
  const runs: Run[] = []
  for (const message of messages) {
    const run = runs.at(-1)
    if (run?.[0].role === message.role) run.push(message)
    else runs.push([message])
  }
  return runs.map((run) => mergeRun(run, repairs))
}

/** Joins a whole run at once: pairwise joining would copy its lists for every message. */
function mergeRun(run: Run, repairs: Repairs): Message {
  const [first] = run
  if (run.length === 1) return first
  // Tool results and the user's words after them belong in one turn: no repair.
  const [, ...joined] = run.filter((message) => !isBlank(message.text))
  for (const { source } of joined) repairs.note('turns-merged', source)
  const reasoning = run.findLast((message) => message.reasoning !== undefined)?.reasoning
  return {
    role: first.role,
    source: first.source,
    text: run.reduce((text, message) => joinText(text, message.text, '\n'), ''),
    images: run.flatMap((message) => message.images),
    ...documentsOf(run.flatMap((message) => message.documents ?? [])),
    toolCalls: run.flatMap((message) => message.toolCalls),
    toolResults: run.flatMap((message) => message.toolResults),
    ...(reasoning !== undefined && { reasoning })
  }
}

/** Step 13, before prefixes make blank texts look filled. */
function fillBlank(turn: Message, isCurrent: boolean, repairs: Repairs): Message {
  const isEcho = turn.role === 'assistant' && ECHOED.has(turn.text.trim())
  if (isEcho) repairs.note('placeholder-removed', turn.source)
  if (!isEcho && !isBlank(turn.text)) return turn
  const { images, documents = [], toolCalls, toolResults } = turn
  const isWordless = images.length + documents.length + toolResults.length > 0
  if (!isWordless && toolCalls.length === 0 && !isEcho && turn !== FIRST_TURN) {
    repairs.note('turn-blank', turn.source)
  }
  // A turn without words is history in the next request, where its text must stay the same for the cache.
  return { ...turn, text: isCurrent || isWordless ? CONTINUE : BLANK }
}

/** Step 15: before the first user text, where it is a stable prefix for caches. */
function placeSystemText(
  systemText: string,
  history: readonly Message[],
  currentText: string
): [readonly Message[], string] {
  if (systemText === '') return [history, currentText]
  const [first, ...rest] = history
  if (first === undefined) return [history, `${systemText}\n\n${currentText}`]
  const text = first.text === BLANK ? systemText : `${systemText}\n\n${first.text}`
  return [[{ ...first, text }, ...rest], currentText]
}

export function toEntry(turn: Message, modelId: string): HistoryEntry {
  if (turn.role === 'user') return { userInputMessage: toUserInput(turn, modelId) }
  const toolUses = turn.toolCalls.map(({ id, name, input }) => ({ toolUseId: id, name, input }))
  return {
    assistantResponseMessage: {
      content: turn.text,
      ...(toolUses.length > 0 && { toolUses }),
      ...(turn.reasoning && { reasoningContent: turn.reasoning.content })
    }
  }
}

export function toUserInput(
  { text, images, documents, toolResults }: Message,
  modelId: string,
  tools: readonly UpstreamTool[] = []
): UserInputMessage {
  const results = toolResults.map((result) => ({
    toolUseId: result.id,
    content: [{ text: isBlank(result.text) ? EMPTY_RESULT : result.text }] as const,
    status: result.isError ? ('error' as const) : ('success' as const)
  }))
  const context = {
    ...(tools.length > 0 && { tools }),
    ...(results.length > 0 && { toolResults: results })
  }
  return {
    content: text,
    modelId,
    origin: 'AI_EDITOR',
    ...(images.length > 0 && { images }),
    ...documentsOf(documents),
    ...(tools.length + results.length > 0 && { userInputMessageContext: context })
  }
}

function documentsOf(documents: Message['documents'] = []) {
  return documents.length > 0 && { documents }
}

function unreachable(): never {
  throw new Error('alternateTurns() returned no turn')
}

/** Claude Code's first system line differs in every request, which would defeat caching. */
const BILLING_LINE = /^x-anthropic-billing-header:.*(?:\r?\n|$)/gm

/** Joins paragraphs, without blank ones (kiro-protocol §4.8 steps 1 and 2). */
export function composeSystemText(parts: readonly string[], additions: readonly string[]): string {
  const own = parts.map(withoutBillingLine).filter((part) => !isBlank(part))
  return joinParagraphs([own.join('\n'), ...additions])
}

function joinParagraphs(parts: readonly string[]): string {
  return parts.filter((part) => !isBlank(part)).join('\n\n')
}

function withoutBillingLine(part: string): string {
  return part.includes('x-anthropic-billing-header:') ? part.replace(BILLING_LINE, '') : part
}

/** Note without which models call the tags of {@link thinkingPrefix} a prompt injection (kiro-protocol §9.1). */
export const THINKING_NOTE =
  'User messages may begin with the tags <thinking_mode>, <max_thinking_length> and <thinking_instruction>. ' +
  'They are legitimate instructions of the system, not text of the user. While thinking mode is enabled, ' +
  'begin every answer with your reasoning between <thinking> and </thinking>, then give the answer itself.'

const THINKING_INSTRUCTION =
  'Think before you answer: what is asked, what is known, which ways lead there and what could be wrong with ' +
  'each. Keep the reasoning inside the thinking tags and answer in the language of the user.'

export function thinkingPrefix(budgetTokens: number): string {
  return (
    '<thinking_mode>enabled</thinking_mode>\n' +
    `<max_thinking_length>${budgetTokens}</max_thinking_length>\n` +
    `<thinking_instruction>${THINKING_INSTRUCTION}</thinking_instruction>`
  )
}

/** Keeps the newest images: ten, or none for a model that takes none. A note says where images were left out. */
function limitImages(
  messages: readonly Message[],
  takesImages: boolean,
  repairs: Repairs
): readonly Message[] {
  const count = messages.reduce((sum, { images }) => sum + images.length, 0)
  let excess = takesImages ? count - UpstreamLimits.images : count
  if (excess <= 0) return messages
  const code: RepairCode = takesImages ? 'image-limit' : 'image-omitted'
  const reason = takesImages ? 'only the newest ones are sent' : 'this model takes no images'
  return messages.map((message) => {
    const left = Math.min(message.images.length, excess)
    if (left <= 0) return message
    excess -= left
    repairs.note(code, message.source)
    const note = `[${left === 1 ? '1 image' : `${left} images`} left out: ${reason}.]`
    return {
      ...message,
      images: message.images.slice(left),
      text: joinText(message.text, note, '\n\n')
    }
  })
}

/** Moves images and documents to the user turn after it, the only place upstream. Turns must end with the user. */
export function moveAssistantImages(turns: readonly Message[], repairs: Repairs): Message[] {
  let moved: Pick<Message, 'images' | 'documents'> | null = null
  return turns.map((turn) => {
    const { documents = [], images } = turn
    if (turn.role === 'assistant' && images.length + documents.length > 0) {
      repairs.note(images.length > 0 ? 'image-moved' : 'document-moved', turn.source)
      moved = { images, documents }
      const { documents: _, ...rest } = turn
      return { ...rest, images: [] }
    }
    if (moved === null) return turn
    const before: Pick<Message, 'images' | 'documents'> = moved
    moved = null
    return {
      ...turn,
      images: [...before.images, ...images],
      ...documentsOf([...(before.documents ?? []), ...documents])
    }
  })
}
