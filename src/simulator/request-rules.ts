import { asJsonObject } from '../kiro/json-object.ts'
import { checkFields } from './field-rules.ts'
import {
  checkHistoryTools,
  checkOrder,
  checkPairs,
  checkToolsPresent,
  checkToolTurns
} from './history-rules.ts'
import { checkContent, checkImages, checkMessages } from './message-rules.ts'
import { splitModelName } from './model-words.ts'
import { findModel } from './models.ts'
import { badRequest, FAULTS, improper, type Refusal } from './refusal.ts'
import { type RequestView, viewRequest } from './request-view.ts'
import { checkTools } from './tool-rules.ts'

const ROOT_MEMBERS: readonly string[] = [
  'conversationState',
  'profileArn',
  'agentMode',
  'additionalModelRequestFields'
]
const TRIGGERS: readonly unknown[] = ['MANUAL', 'DIAGNOSTIC', 'INLINE_CHAT']
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/** In the order in which they are tried; the first refusal is the answer. */
const RULES: readonly ((view: RequestView) => Refusal | null)[] = [
  checkRoot,
  checkState,
  checkModel,
  checkOrder,
  checkContent,
  checkMessages,
  checkHistoryTools,
  checkTools,
  checkToolTurns,
  checkToolsPresent,
  checkPairs,
  (view) => checkImages(view, splitModelName(view.modelId).modelId),
  checkAdditionalFields
]

/**
 * What the upstream refuses in a generation request (kiro-protocol §4.13), or the request it accepts.
 * Where reports differ the strictest one counts, except that the credential is checked elsewhere.
 */
export function checkRequest(payload: unknown): RequestView | Refusal {
  const view = viewRequest(payload)
  if ('status' in view) return view
  for (const rule of RULES) {
    const refusal = rule(view)
    if (refusal !== null) return refusal
  }
  return view
}

function checkRoot(view: RequestView): Refusal | null {
  const foreign = Object.keys(view.root).find((name) => !ROOT_MEMBERS.includes(name))
  return foreign === undefined
    ? null
    : improper('root-members', `the root member ${foreign} does not exist`)
}

function checkState(view: RequestView): Refusal | null {
  const { conversationId, chatTriggerType } = view.state
  if (!TRIGGERS.includes(chatTriggerType))
    return improper('trigger-type', 'chatTriggerType must be MANUAL')
  if (conversationId === undefined) return null
  if (typeof conversationId === 'string' && UUID.test(conversationId)) return null
  const refusal = badRequest('Invalid conversation id.', 'INVALID_CONVERSATION_ID')
  return { ...refusal, rule: 'conversation-id', violation: 'conversationId must be a UUID' }
}

function checkModel(view: RequestView): Refusal | null {
  const { modelId } = splitModelName(view.modelId)
  if (findModel(modelId) !== undefined) return null
  return {
    ...FAULTS['invalid-model'],
    rule: 'model-known',
    violation: `there is no model ${modelId}`
  }
}

function checkAdditionalFields(view: RequestView): Refusal | null {
  const value = view.root['additionalModelRequestFields']
  if (value === undefined) return null
  const fields = asJsonObject(value)
  if (fields === null)
    return improper('model-fields', 'additionalModelRequestFields must be an object')
  const model = findModel(splitModelName(view.modelId).modelId)
  return checkFields(fields, model?.additionalModelRequestFieldsSchema)
}
