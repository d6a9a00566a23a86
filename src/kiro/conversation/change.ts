import { Repairs } from '../rules/repairs.ts'
import {
  isBlank,
  type Message,
  textMessage,
  type ToolCall,
  type ToolResult
} from '../wire/message.ts'
import type {
  HistoryEntry,
  UpstreamPayload,
  UpstreamTool,
  UserInputMessage
} from '../wire/payload.ts'
import { toEntry, toUserInput } from './build.ts'
import { BLANK, CONTINUE, fillerFor, formOf } from './ids.ts'
import { withoutReasoning } from './signed-reasoning.ts'
import { assignToolIds, nameToolCalls, pairToolTurns } from './tool-turns.ts'

export interface FollowUp {
  /** Calls by the upstream's names. */
  readonly answer: { readonly text: string; readonly toolCalls: readonly ToolCall[] }
  readonly reply: { readonly text: string; readonly toolResults: readonly ToolResult[] }
}

/**
 * Keeps the invariants H1–H9 of kiro-protocol §4.7 whatever the model said: tools stay with the current
 * message, calls of unknown tools become words, ids get a valid form.
 */
export function addFollowUp(payload: UpstreamPayload, followUp: FollowUp): UpstreamPayload {
  const { history = [], currentMessage, ...ids } = payload.conversationState
  const { userInputMessage: last } = currentMessage
  const form = formOf(payload)
  const tools = last.userInputMessageContext?.tools ?? []
  const [answer, reply] = toTurns(followUp, tools)
  const filler = reply.toolResults.length > 0 ? fillerFor(form, 'results') : CONTINUE
  const text = isBlank(reply.text) ? filler : reply.text
  const userInputMessage = toUserInput({ ...reply, text }, last.modelId, tools)
  const silence = answer.toolCalls.length > 0 ? fillerFor(form, 'calls') : BLANK
  const said = toEntry({ ...answer, text: answer.text || silence }, last.modelId)
  return {
    ...payload,
    conversationState: {
      ...ids,
      history: [...history, { userInputMessage: withoutTools(last) }, said],
      currentMessage: { userInputMessage }
    }
  }
}

/** Pairs each call with one result, and gives both ids that the upstream takes. */
function toTurns(
  { answer, reply }: FollowUp,
  tools: readonly UpstreamTool[]
): readonly [answer: Message, reply: Message] {
  const names = tools.map(({ toolSpecification: { name } }) => [name.toLowerCase(), name] as const)
  const wireNames = new Map(names)
  const wireNameOf = (name: string): string | undefined => wireNames.get(name.toLowerCase())
  const repairs = new Repairs() // nothing of the client's is changed here
  const { text, toolResults } = reply
  const turns: readonly Message[] = [
    { ...textMessage('assistant', answer.text), toolCalls: answer.toolCalls },
    { ...textMessage('user', text), toolResults }
  ]
  const named = nameToolCalls(turns, wireNameOf, repairs)
  const [first, second] = pairToolTurns(assignToolIds(named, repairs), repairs)
  if (first === undefined || second === undefined) throw new Error('a turn has gone')
  return [first, second]
}

function withoutTools(message: UserInputMessage): UserInputMessage {
  const { userInputMessageContext: context, ...rest } = message
  const toolResults = context?.toolResults ?? []
  return toolResults.length === 0 ? rest : { ...rest, userInputMessageContext: { toolResults } }
}

const LEFT_OUT = '[Earlier messages were left out here: the conversation had become too long.]'

const SHORTEST_CUT_CHARS = 2000

/**
 * Drops reasoning, whose signatures are bound to what precedes it, then the oldest turns (kiro-protocol
 * §4.12), then the middle of the longest texts. Keeps the first turn with the system text, the latest
 * answer and the current message; a call goes with its result. `null` if it cannot be made to fit.
 */
export function trimHistory(payload: UpstreamPayload, maxChars: number): UpstreamPayload | null {
  const shorter = dropOldest(withoutReasoning(payload), maxChars)
  return charsOf(shorter) <= maxChars ? shorter : cutTexts(shorter, maxChars)
}

/**
 * ```
 *   u0 a0 u1 a1 u2 a2 │ current        a0's calls have their results in u1,
 *      └─┬─┘                           so a0 and u1 go together
 * ```
 */
function dropOldest(payload: UpstreamPayload, maxChars: number): UpstreamPayload {
  const { history = [] } = payload.conversationState
  const [first, ...rest] = history
  if (first === undefined) return payload
  let chars = charsOf(payload) + LEFT_OUT.length
  let from = 0
  while (chars > maxChars && rest.length - from > 1) {
    chars -= charsOf(rest[from]) + charsOf(rest[from + 1])
    from += 2
  }
  if (from === 0) return payload
  return withHistory(payload, [addNote(first), ...rest.slice(from)])
}

function addNote(entry: HistoryEntry): HistoryEntry {
  if (!('userInputMessage' in entry)) return entry
  const message = entry.userInputMessage
  return { userInputMessage: { ...message, content: `${message.content}\n\n${LEFT_OUT}` } }
}

function cutTexts(payload: UpstreamPayload, maxChars: number): UpstreamPayload | null {
  let cut = payload
  for (let limit = longestText(cut); limit > SHORTEST_CUT_CHARS; limit = Math.floor(limit / 2)) {
    cut = mapTexts(cut, (text) => cutMiddle(text, limit))
    if (charsOf(cut) <= maxChars) return cut
  }
  return null
}

function cutMiddle(text: string, limit: number): string {
  if (text.length <= limit) return text
  const kept = Math.floor(limit / 2)
  const head = text.slice(0, kept).toWellFormed()
  const tail = text.slice(-kept).toWellFormed()
  return `${head}\n[${text.length - 2 * kept} characters left out]\n${tail}`
}

function longestText(payload: UpstreamPayload): number {
  let longest = 0
  mapTexts(payload, (text) => {
    longest = Math.max(longest, text.length)
    return text
  })
  return longest
}

function mapTexts(payload: UpstreamPayload, change: (text: string) => string): UpstreamPayload {
  const { history = [], currentMessage } = payload.conversationState
  const changed = withHistory(
    payload,
    history.map((entry) =>
      'userInputMessage' in entry
        ? { userInputMessage: mapMessage(entry.userInputMessage, change) }
        : entry
    )
  )
  const userInputMessage = mapMessage(currentMessage.userInputMessage, change)
  const conversationState = { ...changed.conversationState, currentMessage: { userInputMessage } }
  return { ...changed, conversationState }
}

function mapMessage(message: UserInputMessage, change: (text: string) => string): UserInputMessage {
  const { userInputMessageContext: context } = message
  const toolResults = context?.toolResults?.map(({ content: [{ text }], ...result }) => ({
    ...result,
    content: [{ text: change(text) }] as const
  }))
  return {
    ...message,
    content: change(message.content),
    ...(context !== undefined && {
      userInputMessageContext: { ...context, ...(toolResults !== undefined && { toolResults }) }
    })
  }
}

/** Another history, in its place before the current message: attachments are counted in the order of the JSON. */
function withHistory(payload: UpstreamPayload, history: readonly HistoryEntry[]): UpstreamPayload {
  const { history: _, currentMessage, ...state } = payload.conversationState
  return {
    ...payload,
    conversationState: { ...state, ...(history.length > 0 && { history }), currentMessage }
  }
}

function charsOf(value: unknown): number {
  return value === undefined ? 0 : JSON.stringify(value).length
}
