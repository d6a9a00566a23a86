import { isBlank, type Message, type ToolCall, type ToolResult } from './message.ts'
import type { HistoryEntry, UpstreamPayload, UserInputMessage } from './payload.ts'
import { Repairs } from './repairs.ts'
import { assignToolIds } from './tool-ids.ts'
import { pairToolTurns } from './tool-pairs.ts'
import { appendPieces, callText, EMPTY_RESULT, resultText } from './tool-text.ts'
import { CONTINUE } from './turns.ts'

/** What a conversation goes on with after an answer that is not the last word. */
export interface FollowUp {
  /** What the model said; calls by the upstream's names. */
  readonly answer: { readonly text: string; readonly toolCalls: readonly ToolCall[] }
  /** What it is told. Every call needs its result. */
  readonly reply: { readonly text: string; readonly toolResults: readonly ToolResult[] }
}

/** An assistant turn without text; the upstream refuses an empty one (kiro-protocol §4.9). */
const BLANK = ' '

/**
 * The payload of the next round: the current message, the model's answer and a new current message behind it.
 * Keeps the invariants H1–H9 of kiro-protocol §4.7, whatever the model said: tools stay with the current message,
 * calls of tools that are not on offer become words, ids are made such that the upstream takes them.
 */
export function addFollowUp(payload: UpstreamPayload, followUp: FollowUp): UpstreamPayload {
  const { conversationState: state } = payload
  const { userInputMessage: last } = state.currentMessage
  const tools = last.userInputMessageContext?.tools ?? []
  const [answer, reply] = toTurns(
    followUp,
    tools.map(({ toolSpecification }) => toolSpecification.name)
  )
  const results = reply.toolResults.map((result) => ({
    toolUseId: result.id,
    content: [{ text: isBlank(result.text) ? EMPTY_RESULT : result.text }] as const,
    status: result.isError ? ('error' as const) : ('success' as const)
  }))
  const context = {
    ...(tools.length > 0 && { tools }),
    ...(results.length > 0 && { toolResults: results })
  }
  const current: UserInputMessage = {
    content: isBlank(reply.text) ? CONTINUE : reply.text,
    modelId: last.modelId,
    origin: last.origin,
    ...(tools.length + results.length > 0 && { userInputMessageContext: context })
  }
  return {
    ...payload,
    conversationState: {
      conversationId: state.conversationId,
      chatTriggerType: state.chatTriggerType,
      history: [
        ...(state.history ?? []),
        { userInputMessage: withoutTools(last) },
        toAssistantEntry(answer)
      ],
      currentMessage: { userInputMessage: current }
    }
  }
}

/** The two turns with ids that the upstream takes, each call with one result and the other way round. */
function toTurns(
  { answer, reply }: FollowUp,
  offered: readonly string[]
): readonly [answer: Message, reply: Message] {
  const wireNames = new Map(offered.map((name) => [name.toLowerCase(), name]))
  const known: ToolCall[] = []
  const unknownIds = new Set<string>()
  const words: string[] = []
  for (const call of answer.toolCalls) {
    const name = wireNames.get(call.name.toLowerCase())
    if (name !== undefined) known.push({ ...call, name })
    else {
      unknownIds.add(call.id)
      words.push(callText(call))
    }
  }
  const unknown = reply.toolResults.filter(({ id }) => unknownIds.has(id))
  const repairs = new Repairs() // nothing of the client's is changed here
  const turns: readonly Message[] = [
    {
      role: 'assistant',
      text: appendPieces(answer.text, words),
      images: [],
      toolCalls: known,
      toolResults: []
    },
    {
      role: 'user',
      text: appendPieces(reply.text, unknown.map(resultText)),
      images: [],
      toolCalls: [],
      toolResults: reply.toolResults.filter(({ id }) => !unknownIds.has(id))
    }
  ]
  const [first, second] = pairToolTurns(assignToolIds(turns, repairs), repairs)
  if (first === undefined || second === undefined) throw new Error('a turn has gone')
  return [first, second]
}

function toAssistantEntry({ text, toolCalls }: Message): HistoryEntry {
  const toolUses = toolCalls.map(({ id, name, input }) => ({ toolUseId: id, name, input }))
  return {
    assistantResponseMessage: {
      content: text === '' ? BLANK : text,
      ...(toolUses.length > 0 && { toolUses })
    }
  }
}

function withoutTools(message: UserInputMessage): UserInputMessage {
  const { userInputMessageContext: context, ...rest } = message
  const toolResults = context?.toolResults ?? []
  return toolResults.length === 0 ? rest : { ...rest, userInputMessageContext: { toolResults } }
}
