import { hash as digestOf, randomUUID } from 'node:crypto'
import type { RequestForm } from '../wire/hosts.ts'
import { type Conversation, isBlank, type Message } from '../wire/message.ts'
import type { HistoryEntry, UpstreamPayload, UserInputMessage } from '../wire/payload.ts'
import { type ConversationStart, hashOfPart } from './conversation-memory.ts'

/** UUIDs that are the same for a conversation in every process and after a restart. */
export interface ConversationIds {
  /** The session, or the sub-agent in it. */
  readonly conversation: string
  /** The session, which is the sub-agent's parent. */
  readonly root: string
  readonly turn: string
}

export interface IdSource {
  readonly conversation: Conversation
  readonly modelId: string
  /** Undefined: model, system text and first user text identify the session. */
  readonly sessionKey: string | undefined
  readonly agentKey?: string | undefined
  /** Short name of the client's key: two clients with one session key have two sessions. */
  readonly owner?: string | undefined
}

const TOLD_APART_CHARS = 8192

/** Number of turns that the user has typed, and the beginning of the last one. */
export interface TypedTurn {
  readonly number: number
  readonly text: string
}

/** Ids of a conversation that goes on, of which only the new messages are known. */
export interface BegunIds {
  readonly ids: Pick<ConversationIds, 'conversation' | 'root'>
  readonly turn: TypedTurn
}

/** Makes the ids of kiro-protocol §4.16. A client's own id never goes upstream, only its hash. */
export function conversationIdsOf(source: IdSource, begun?: BegunIds): ConversationIds {
  const { number, text } = typedTurn(source.conversation.messages, begun?.turn)
  const ids = begun?.ids ?? ownIdsOf(source)
  return { ...ids, turn: hashOf('turn', ids.conversation, String(number), text) }
}

function ownIdsOf(source: IdSource): BegunIds['ids'] {
  const { agentKey, owner = '' } = source
  const session = sessionOf(source)
  if (session === null) {
    const root = randomUUID()
    return { conversation: root, root }
  }
  const root = hashOf('session', owner, session)
  const own = agentKey === undefined ? root : hashOf('agent', owner, session, agentKey)
  return { conversation: own, root }
}

function sessionOf({ sessionKey, conversation, modelId }: IdSource): string | null {
  if (sessionKey !== undefined) return sessionKey
  const first = conversation.messages.find((one) => one.role === 'user' && beginOf(one) !== '')
  if (first === undefined) return null
  const texts = [conversation.systemParts.join('\n'), beginOf(first)]
  return JSON.stringify([modelId, ...texts.map((text) => text.slice(0, TOLD_APART_CHARS))])
}

function beginOf({ text, images, documents = [] }: Message): string {
  if (!isBlank(text)) return text
  const [shown] = [...images, ...documents]
  return shown?.source.bytes ?? ''
}

export function typedTurn(
  messages: readonly Message[],
  begun: TypedTurn = { number: 0, text: '' }
): TypedTurn {
  let { number, text: typed } = begun
  for (const [index, message] of messages.entries()) {
    if (!isTyped(message, messages[index - 1])) continue
    const before = messages[index - 1]
    const isSameTurn = before !== undefined && isTyped(before, messages[index - 2])
    if (!isSameTurn) number++
    typed = isSameTurn ? `${typed}\n${message.text}` : message.text
    typed = typed.slice(0, TOLD_APART_CHARS)
  }
  return { number, text: typed }
}

/** Codex tells the model like this that a sub-agent has ended: the user typed nothing. */
const NOTIFICATION = /^\s*<subagent_notification>[\s\S]*<\/subagent_notification>\s*$/

/** Words beside tool results belong to the turn before. */
function isTyped(message: Message, before: Message | undefined): boolean {
  if (message.role !== 'user' || message.toolResults.length > 0) return false
  const followsResults = before !== undefined && before.toolResults.length > 0
  return !(followsResults && NOTIFICATION.test(message.text))
}

function hashOf(...parts: readonly string[]): string {
  return uuidOf(JSON.stringify(parts))
}

const VARIANTS = '89ab'

export function uuidOf(text: string): string {
  const hex = digestOf('sha256', text)
  const variant = VARIANTS.charAt(Number.parseInt(hex.charAt(16), 16) & 0x3)
  const clock = `8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}`
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${clock}-${hex.slice(20, 32)}`
}

/**
 * Identifies a conversation by its session, or else its first exchange. Ignores side calls: they have no
 * tools, and another system text in the same session.
 */
export function startOf(source: IdSource, systemText: string): ConversationStart | undefined {
  const { conversation, modelId, sessionKey, agentKey = '', owner = '' } = source
  const { messages, tools } = conversation
  const typed = messages.find(({ role, text }) => role === 'user' && !isBlank(text))
  const said = messages.find(({ role }) => role === 'assistant')
  if (typed === undefined || (sessionKey ?? said) === undefined) return undefined
  const session = sessionKey ?? `${said?.toolCalls[0]?.id} ${said?.text.slice(0, TOLD_APART_CHARS)}`
  const own = [owner, modelId, session, agentKey, String(tools.length > 0)]
  return {
    conversationId: hashOfPart(...own, typed.text.slice(0, TOLD_APART_CHARS)),
    systemText: hashOfPart(systemText),
    isGrown: said !== undefined
  }
}

export const CONTINUE = 'Continue.'
/** Words in such a turn would be taken for content and echoed (kiro-protocol §4.9). */
export const BLANK = ' '

const FILLERS = {
  path: { results: CONTINUE, calls: BLANK },
  target: { results: '', calls: '' }
} as const satisfies Record<RequestForm, unknown>

export function formOf(payload: UpstreamPayload): RequestForm {
  return payload.agentMode === undefined ? 'path' : 'target'
}

/** Text for a message without words; none in the target form if the message has something else. */
export function fillerFor(form: RequestForm, beside: 'results' | 'calls'): string {
  return FILLERS[form][beside]
}

/** A user's own "Continue." beside tool results is taken for the gateway's: it means the same. */
export function inForm(
  payload: UpstreamPayload,
  form: RequestForm,
  ids: ConversationIds
): UpstreamPayload {
  const from = formOf(payload)
  if (from === form) return payload
  const { history = [], currentMessage } = payload.conversationState
  const { additionalModelRequestFields: fields } = payload
  const refill = (text: string, beside: 'results' | 'calls'): string =>
    text === FILLERS[from][beside] ? FILLERS[form][beside] : text
  return {
    ...(form === 'target' && { agentMode: isAgent(ids) ? 'general-task-execution' : 'vibe' }),
    conversationState: {
      ...stateIds(form, ids),
      chatTriggerType: 'MANUAL',
      ...(history.length > 0 && { history: history.map((entry) => refillEntry(entry, refill)) }),
      currentMessage: { userInputMessage: refillUser(currentMessage.userInputMessage, refill) }
    },
    ...(fields !== undefined && { additionalModelRequestFields: fields })
  }
}

type StateIds = Pick<
  UpstreamPayload['conversationState'],
  'conversationId' | 'rootConversationId' | 'agentContinuationId' | 'agentTaskType'
>

/** The target form marks a session's id, but not a sub-agent's. */
function stateIds(form: RequestForm, ids: ConversationIds): StateIds {
  if (form === 'path') return { conversationId: ids.conversation }
  return {
    conversationId: isAgent(ids) ? ids.conversation : `sess_${ids.conversation}`,
    rootConversationId: `sess_${ids.root}`,
    agentContinuationId: ids.turn,
    agentTaskType: 'vibe'
  }
}

function isAgent({ conversation, root }: ConversationIds): boolean {
  return conversation !== root
}

type Refill = (text: string, beside: 'results' | 'calls') => string

function refillEntry(entry: HistoryEntry, refill: Refill): HistoryEntry {
  if ('userInputMessage' in entry) {
    return { userInputMessage: refillUser(entry.userInputMessage, refill) }
  }
  const { assistantResponseMessage: said } = entry
  if (said.toolUses === undefined) return entry
  return { assistantResponseMessage: { ...said, content: refill(said.content, 'calls') } }
}

function refillUser(message: UserInputMessage, refill: Refill): UserInputMessage {
  if (message.userInputMessageContext?.toolResults === undefined) return message
  return { ...message, content: refill(message.content, 'results') }
}
