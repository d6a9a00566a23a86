import type { RuleId } from '../kiro/rules/rules.ts'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject } from '../shared/json.ts'
import { improper, type Refusal } from './refusal.ts'

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

class ShapeError extends Error {
  readonly rule: RuleId

  constructor(rule: RuleId, violation: string) {
    super(violation)
    this.rule = rule
  }
}

/** Refuses wrong shapes (kiro-protocol §4.1-§4.2 and §4.7). */
export function viewRequest(payload: unknown, form: RequestForm): RequestView | Refusal {
  try {
    return toView(payload, form)
  } catch (error) {
    if (error instanceof ShapeError) return improper(error.rule, error.message)
    throw error
  }
}

function toView(payload: unknown, form: RequestForm): RequestView {
  const root = object(payload, 'the body')
  const state = object(root['conversationState'], 'conversationState')
  const entry = object(state['currentMessage'], 'currentMessage')
  const current = toUserTurn(entry['userInputMessage'], 'currentMessage')
  const modelId = current.message['modelId'] ?? 'auto'
  if (typeof modelId !== 'string') throw new ShapeError('request-shape', 'modelId must be a string')
  const history = list(state, 'history').map(toTurn)
  return { form, root, state, history, current, modelId }
}

function toTurn(value: unknown, index: number): ConversationTurn {
  const where = `history[${index}]`
  const entry = object(value, where)
  const keys = Object.keys(entry)
  const { userInputMessage, assistantResponseMessage } = entry
  if (keys.length !== 1 || (userInputMessage ?? assistantResponseMessage) === undefined) {
    throw new ShapeError('turn-role', `${where} must be one message of user or assistant`)
  }
  if (userInputMessage !== undefined) return toUserTurn(userInputMessage, where)
  return toAssistantTurn(assistantResponseMessage, where)
}

function toUserTurn(value: unknown, where: string): UserTurn {
  const message = object(value, `${where}.userInputMessage`)
  const context = message['userInputMessageContext']
  const known = context === undefined ? {} : object(context, `${where} context`)
  if (context !== undefined && Object.keys(known).length === 0) {
    throw new ShapeError('empty-members', `${where} has an empty userInputMessageContext`)
  }
  return {
    role: 'user',
    content: text(message, where),
    message,
    context: known,
    images: list(message, 'images'),
    documents: list(message, 'documents'),
    tools: list(known, 'tools'),
    toolResults: list(known, 'toolResults')
  }
}

function toAssistantTurn(value: unknown, where: string): AssistantTurn {
  const message = object(value, `${where}.assistantResponseMessage`)
  return {
    role: 'assistant',
    content: text(message, where),
    message,
    toolUses: list(message, 'toolUses')
  }
}

function object(value: unknown, where: string): JsonObject {
  const found = asJsonObject(value)
  if (found === null) throw new ShapeError('request-shape', `${where} must be an object`)
  return found
}

function text(message: JsonObject, where: string): string {
  const { content } = message
  if (typeof content !== 'string') {
    throw new ShapeError('content-text', `content of ${where} must be a string`)
  }
  return content
}

/** An absent list reads as empty; one that is sent must not be (§4.4, §4.7). */
function list(owner: JsonObject, name: string): readonly unknown[] {
  const value = owner[name]
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new ShapeError('request-shape', `${name} must be a list`)
  if (value.length === 0) {
    throw new ShapeError('empty-members', `${name} must be left out when it is empty`)
  }
  return value
}
