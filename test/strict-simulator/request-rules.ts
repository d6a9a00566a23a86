import { isHeavier, type RuleId, UpstreamLimits } from '../../src/kiro/rules/rules.ts'
import type { RequestForm } from '../../src/kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject } from '../../src/shared/json.ts'
import { simulatedModel } from '../../src/simulator/models.ts'
import { FAULTS } from '../../src/simulator/refusal.ts'
import { type RequestView, viewRequest } from '../../src/simulator/request-view.ts'
import { splitModelName } from '../../src/simulator/words.ts'
import { checkReasoning } from './reasoning.ts'
import { improper, invalidBody, type StrictRefusal } from './refusals.ts'
import { checkShape } from './request-shape.ts'
import { checkTools } from './tool-rules.ts'
import {
  checkContent,
  checkDocuments,
  checkHistoryTools,
  checkImages,
  checkMessages,
  checkOrder,
  checkPairs,
  checkToolsPresent,
  checkToolTurns
} from './turn-rules.ts'

const ROOT_MEMBERS: readonly string[] = [
  'conversationState',
  'profileArn',
  'agentMode',
  'additionalModelRequestFields'
]
const TRIGGERS: readonly unknown[] = ['MANUAL', 'DIAGNOSTIC', 'INLINE_CHAT']
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
/** Session id of the target form; a sub-agent's has no prefix. */
const SESSION_ID = /^sess_[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const AGENT_MODES: readonly unknown[] = ['vibe', 'spec', 'general-task-execution']

const RULES: readonly ((view: RequestView) => StrictRefusal | null)[] = [
  checkRoot,
  checkForm,
  checkState,
  checkModel,
  checkOrder,
  checkContent,
  checkMessages,
  checkReasoning,
  checkHistoryTools,
  checkTools,
  checkToolTurns,
  checkToolsPresent,
  checkPairs,
  (view) => checkImages(view, splitModelName(view.modelId).modelId),
  checkDocuments,
  checkAdditionalFields
]

/** Checks a generation except its credentials (kiro-protocol §4.13). If reports differ, the strictest counts. */
export function checkRequest(
  payload: unknown,
  form: RequestForm = 'path'
): RequestView | StrictRefusal {
  const misshapen = checkShape(payload)
  if (misshapen !== null) return misshapen
  const view = viewRequest(payload, form)
  for (const rule of RULES) {
    const refusal = rule(view)
    if (refusal !== null) return refusal
  }
  return view
}

function checkRoot(view: RequestView): StrictRefusal | null {
  const foreign = Object.keys(view.root).find((name) => !ROOT_MEMBERS.includes(name))
  return foreign === undefined
    ? null
    : improper('root-members', `the root member ${foreign} does not exist`)
}

/** Members that only one request form may have (kiro-protocol §4.16). */
function checkForm({ form, root, state }: RequestView): StrictRefusal | null {
  const { conversationId, rootConversationId, agentContinuationId, agentTaskType } = state
  const { agentMode } = root
  const own = { agentMode, rootConversationId, agentContinuationId, agentTaskType }
  if (form === 'path') {
    const [foreign] = Object.entries(own).find(([, value]) => value !== undefined) ?? []
    return foreign === undefined ? null : wrongForm(`the path form has no ${foreign}`)
  }
  if (!AGENT_MODES.includes(agentMode)) return wrongForm('agentMode is missing or unknown')
  if (!isText(rootConversationId, SESSION_ID)) {
    return wrongForm('rootConversationId must be the id of a session')
  }
  if (!isText(agentContinuationId, UUID)) return wrongForm('agentContinuationId must be a UUID')
  if (agentTaskType !== 'vibe') return wrongForm('agentTaskType must be vibe')
  const isSession = isText(conversationId, SESSION_ID)
  if (isSession && conversationId !== rootConversationId) {
    return wrongForm('a session must be its own root')
  }
  return null
}

function wrongForm(violation: string): StrictRefusal {
  return invalidBody('root-members', violation)
}

function isText(value: unknown, pattern: RegExp): boolean {
  return typeof value === 'string' && pattern.test(value)
}

function checkState(view: RequestView): StrictRefusal | null {
  const { conversationId, chatTriggerType } = view.state
  if (!TRIGGERS.includes(chatTriggerType))
    return improper('trigger-type', 'chatTriggerType must be MANUAL')
  if (conversationId === undefined) return null
  if (isText(conversationId, UUID)) return null
  if (view.form === 'target' && isText(conversationId, SESSION_ID)) return null
  const violation = 'conversationId must be a UUID'
  return improper(
    'conversation-id',
    violation,
    'Invalid conversation id.',
    'INVALID_CONVERSATION_ID'
  )
}

function checkModel(view: RequestView): StrictRefusal | null {
  const { modelId } = splitModelName(view.modelId)
  if (simulatedModel(modelId) !== undefined) return null
  const { message, reason } = FAULTS['invalid-model']
  return improper('model-known', `there is no model ${modelId}`, message, reason)
}

function checkAdditionalFields(view: RequestView): StrictRefusal | null {
  const value = view.root['additionalModelRequestFields']
  if (value === undefined) return null
  const fields = asJsonObject(value)
  if (fields === null)
    return improper('model-fields', 'additionalModelRequestFields must be an object')
  const model = simulatedModel(splitModelName(view.modelId).modelId)
  return checkFields(fields, model?.additionalModelRequestFieldsSchema)
}

/** Weight of a body's text (kiro-protocol §4.12). */
export function checkWeight(bodyText: string): StrictRefusal | null {
  const isTooHeavy = isHeavier(bodyText, UpstreamLimits.payloadWeight)
  return isTooHeavy ? tooLong('payload-weight', 'Input is too long.') : null
}

export function checkWindow(inputTokens: number, maxInputTokens: number): StrictRefusal | null {
  if (inputTokens <= maxInputTokens) return null
  return tooLong(
    'context-window',
    `Input is too long for requested model. Maximum input length is ${maxInputTokens} tokens.`
  )
}

function tooLong(rule: RuleId, message: string): StrictRefusal {
  return improper(rule, 'the request is too large', message, 'CONTENT_LENGTH_EXCEEDS_THRESHOLD')
}

/** Checks against the model's schema (kiro-protocol §9.2), if any. Knows only the keywords of `models.ts`. */
function checkFields(fields: JsonObject, schema: JsonObject | undefined): StrictRefusal | null {
  const problem = problemOf(fields, schema ?? { type: 'object', properties: {} }, '')
  if (problem === null) return null
  return improper('model-fields', problem, `Invalid additionalModelRequestFields: ${problem}`)
}

function problemOf(value: unknown, schema: JsonObject, path: string): string | null {
  switch (schema['type']) {
    case 'object':
      return objectProblem(value, asJsonObject(schema['properties']) ?? {}, path)
    case 'string':
      return stringProblem(value, schema['enum'], path)
    default:
      return integerProblem(value, schema, path)
  }
}

function objectProblem(value: unknown, properties: JsonObject, path: string): string | null {
  const object = asJsonObject(value)
  if (object === null) return `property '${path}' is not an object`
  for (const [name, member] of Object.entries(object)) {
    const memberPath = path === '' ? name : `${path}.${name}`
    const schema = Object.hasOwn(properties, name) ? asJsonObject(properties[name]) : null
    if (schema === null) return `property '${memberPath}' is not defined in the schema`
    const problem = problemOf(member, schema, memberPath)
    if (problem !== null) return problem
  }
  return null
}

function stringProblem(value: unknown, allowed: unknown, path: string): string | null {
  if (typeof value !== 'string') return `property '${path}' is not a string`
  if (!Array.isArray(allowed) || allowed.includes(value)) return null
  return `property '${path}' is not one of ${allowed.join(', ')}`
}

function integerProblem(value: unknown, schema: JsonObject, path: string): string | null {
  if (typeof value !== 'number' || !Number.isInteger(value))
    return `property '${path}' is not an integer`
  const { minimum, maximum } = schema
  if (typeof minimum === 'number' && value < minimum)
    return `property '${path}' is below ${minimum}`
  if (typeof maximum === 'number' && value > maximum)
    return `property '${path}' is above ${maximum}`
  return null
}
