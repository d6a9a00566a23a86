import type { RequestForm } from '../kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject, textMember } from '../shared/json.ts'

export interface UserTurn {
  readonly role: 'user'
  readonly content: string
  readonly message: JsonObject
  readonly context: JsonObject
  readonly images: readonly unknown[]
  readonly documents: readonly unknown[]
  readonly tools: readonly unknown[]
  readonly toolResults: readonly unknown[]
}

export interface AssistantTurn {
  readonly role: 'assistant'
  readonly content: string
  readonly message: JsonObject
  readonly toolUses: readonly unknown[]
}

export type ConversationTurn = UserTurn | AssistantTurn

export interface RequestView {
  readonly form: RequestForm
  readonly root: JsonObject
  readonly state: JsonObject
  readonly history: readonly ConversationTurn[]
  readonly current: UserTurn
  readonly modelId: string
}

/** Reads what a gateway sends. What is missing or has another type reads as empty. */
export function viewRequest(payload: unknown, form: RequestForm): RequestView {
  const root = objectOf(payload)
  const state = objectOf(root['conversationState'])
  const current = toUserTurn(objectOf(state['currentMessage'])['userInputMessage'])
  const history = listOf(state['history']).map(toTurn)
  return {
    form,
    root,
    state,
    history,
    current,
    modelId: textMember(current.message, 'modelId') ?? 'auto'
  }
}

function toTurn(value: unknown): ConversationTurn {
  const { userInputMessage, assistantResponseMessage } = objectOf(value)
  if (assistantResponseMessage === undefined) return toUserTurn(userInputMessage)
  const message = objectOf(assistantResponseMessage)
  return {
    role: 'assistant',
    content: textOf(message['content']),
    message,
    toolUses: listOf(message['toolUses'])
  }
}

function toUserTurn(value: unknown): UserTurn {
  const message = objectOf(value)
  const context = objectOf(message['userInputMessageContext'])
  return {
    role: 'user',
    content: textOf(message['content']),
    message,
    context,
    images: listOf(message['images']),
    documents: listOf(message['documents']),
    tools: listOf(context['tools']),
    toolResults: listOf(context['toolResults'])
  }
}

function objectOf(value: unknown): JsonObject {
  return asJsonObject(value) ?? {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export interface OfferedTool {
  readonly name: string
  readonly schema: JsonObject
}

export function offeredTools(view: RequestView): OfferedTool[] {
  return view.current.tools.flatMap((element) => {
    const tool = asJsonObject(asJsonObject(element)?.['toolSpecification'])
    const schema = asJsonObject(asJsonObject(tool?.['inputSchema'])?.['json'])
    const name = tool?.['name']
    return typeof name === 'string' && schema !== null ? [{ name, schema }] : []
  })
}
