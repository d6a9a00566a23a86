import type { RuleId } from '../../src/kiro/rules/rules.ts'
import { asJsonObject, type JsonObject } from '../../src/shared/json.ts'
import { improper, type StrictRefusal } from './refusals.ts'

class ShapeError extends Error {
  readonly rule: RuleId

  constructor(rule: RuleId, violation: string) {
    super(violation)
    this.rule = rule
  }
}

/** Refuses wrong shapes (kiro-protocol §4.1-§4.2 and §4.7). */
export function checkShape(payload: unknown): StrictRefusal | null {
  try {
    checkRoot(payload)
    return null
  } catch (error) {
    if (error instanceof ShapeError) return improper(error.rule, error.message)
    throw error
  }
}

function checkRoot(payload: unknown): void {
  const root = object(payload, 'the body')
  const state = object(root['conversationState'], 'conversationState')
  const entry = object(state['currentMessage'], 'currentMessage')
  const current = object(entry['userInputMessage'], 'currentMessage.userInputMessage')
  checkUserTurn(current, 'currentMessage')
  if (typeof (current['modelId'] ?? 'auto') !== 'string')
    throw new ShapeError('request-shape', 'modelId must be a string')
  for (const [index, turn] of list(state, 'history').entries()) checkTurn(turn, `history[${index}]`)
}

function checkTurn(value: unknown, where: string): void {
  const entry = object(value, where)
  const { userInputMessage, assistantResponseMessage } = entry
  const message = userInputMessage ?? assistantResponseMessage
  if (Object.keys(entry).length !== 1 || message === undefined) {
    throw new ShapeError('turn-role', `${where} must be one message of user or assistant`)
  }
  if (userInputMessage !== undefined) {
    return checkUserTurn(object(userInputMessage, `${where}.userInputMessage`), where)
  }
  const answer = object(assistantResponseMessage, `${where}.assistantResponseMessage`)
  checkText(answer, where)
  list(answer, 'toolUses')
}

function checkUserTurn(message: JsonObject, where: string): void {
  const context = message['userInputMessageContext']
  const known = context === undefined ? {} : object(context, `${where} context`)
  if (context !== undefined && Object.keys(known).length === 0) {
    throw new ShapeError('empty-members', `${where} has an empty userInputMessageContext`)
  }
  checkText(message, where)
  list(message, 'images')
  list(message, 'documents')
  list(known, 'tools')
  list(known, 'toolResults')
}

function object(value: unknown, where: string): JsonObject {
  const found = asJsonObject(value)
  if (found === null) throw new ShapeError('request-shape', `${where} must be an object`)
  return found
}

function checkText(message: JsonObject, where: string): void {
  if (typeof message['content'] === 'string') return
  throw new ShapeError('content-text', `content of ${where} must be a string`)
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
