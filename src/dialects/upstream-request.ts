import { type Borderline, borderlineSize } from '../kiro/borderline.ts'
import { buildPayload } from '../kiro/conversation.ts'
import { setOwn } from '../kiro/json-members.ts'
import type { Conversation } from '../kiro/message.ts'
import { resolveModel } from '../kiro/model-resolution.ts'
import { AUTO_MODEL } from '../kiro/models.ts'
import { planReasoning, type ReasoningWish } from '../kiro/reasoning.ts'
import type { Repairs } from '../kiro/repairs.ts'
import type { RuleId } from '../kiro/rules.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { JsonForm } from './json-answer.ts'
import { invalidPart } from './json-body.ts'
import { encodePayload } from './payload-bytes.ts'
import { type DialectName, keptBytesOf, type ReplyPlan, type ToolForm } from './reply-plan.ts'
import type { RequestOptions } from './request-options.ts'
import { offeredNames, planRounds, planSearch } from './round-plan.ts'
import type { WebSearchWish } from './search-tool.ts'
import { textCallFormsOf } from './text-call-form.ts'

/** What a client's request became: the body to send and what to remember for the answer. */
export interface UpstreamRequest {
  /** JSON that begins with `{"conversationState"`. */
  readonly payload: Uint8Array<ArrayBuffer>
  readonly plan: ReplyPlan
  /** What `plan.borderline` means, with figures. */
  readonly borderline: readonly Borderline[]
}

/** A client's request after its dialect has been read. */
export interface ClientRequest {
  readonly dialect: DialectName
  /** Of its body, and of what stands outside it. */
  readonly bodyBytes: number
  /** As the client named it. */
  readonly model: string
  readonly conversation: Conversation
  readonly reasoning: ReasoningWish
  /** The client's bound for the answer, in tokens. */
  readonly maxTokens: number | undefined
  readonly stopSequences: readonly string[]
  readonly isStream: boolean
  readonly wantsUsage: boolean
  readonly isSingleToolCall: boolean
  readonly isJsonAnswer: boolean
  /** What the JSON must be, checked in the answer (`readJsonForm`). */
  readonly jsonForm?: JsonForm | undefined
  /** The vendor's web search, which the gateway makes for the model (`findSearchTool`). */
  readonly webSearch?: WebSearchWish | undefined
  /** What all requests of one session have in common. */
  readonly sessionKey: string | undefined
  /** How the client declared each tool, by its full name. */
  readonly toolForms?: ReadonlyMap<string, ToolForm>
  /** See `ReplyPlan`; nothing special unless given. */
  readonly echo?: ReplyPlan['echo']
  readonly keepsItems?: boolean
  readonly isCompaction?: boolean
  readonly safeguards?: readonly string[]
  readonly isLegacyCall?: boolean
}

/**
 * The part that all dialects share: model, reasoning, the upstream's body, the plan for the answer.
 *
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN
 * @throws {PayloadRoomNeeded} where `options` bound the room for it
 */
export function toUpstream(
  request: ClientRequest,
  options: RequestOptions,
  repairs: Repairs
): UpstreamRequest {
  const { maxTokens } = request
  refuseLongNames(request)
  const model = resolveModel(request.model, options)
  if (model.isSubstitute) repairs.note('model-substituted', 'model')
  const reasoning = planReasoning({
    wish: request.reasoning,
    model,
    maxTokens,
    tags: options.fakeReasoning,
    repairs
  })
  const { conversation, webSearch } = planSearch(request, {
    isServed: options.servesWebSearch,
    repairs
  })
  const built = buildPayload({
    conversation,
    modelId: model.id,
    takesImages: !options.isCatalogueLive || (model.facts?.takesImages ?? true),
    reasoning,
    toolDescriptionMaxLength: options.toolDescriptionMaxLength,
    maxTools: options.toolMaxCount,
    sessionKey: request.sessionKey,
    repairs
  })
  const { bytes, weight, tokens } = encodePayload(built.payload, repairs, {
    bodyBytes: request.bodyBytes,
    ...(options.payloadRoomBytes !== undefined && { roomBytes: options.payloadRoomBytes })
  })
  const { contextWindow } = model
  const borderline = [
    ...built.borderline,
    ...borderlineSize({ bytes: bytes.byteLength, weight, tokens, contextWindow }),
    ...(model.facts === undefined && model.id !== AUTO_MODEL ? [unknownModel(model.id)] : [])
  ]
  const offered = offeredNames(built.payload, built.toolNames)
  const plan: Omit<ReplyPlan, 'keptBytes'> = {
    dialect: request.dialect,
    model: request.model,
    upstreamModel: model.id,
    isStream: request.isStream,
    wantsUsage: request.wantsUsage,
    toolNames: built.toolNames,
    stopSequences: request.stopSequences,
    reasoning: reasoning.source,
    isSingleToolCall: request.isSingleToolCall,
    isJsonAnswer: request.isJsonAnswer,
    ...(maxTokens !== undefined &&
      built.payload.additionalModelRequestFields?.['max_tokens'] !== maxTokens && {
        maxOutputTokens: maxTokens
      }),
    textCallForms: textCallFormsOf(built.payload),
    inputTokens: tokens,
    rounds: planRounds({ jsonForm: request.jsonForm, webSearch }, conversation.toolChoice, offered),
    contextWindow,
    toolForms: formsOf(offered, request.toolForms),
    echo: request.echo ?? '{}',
    keepsItems: request.keepsItems ?? false,
    ...(request.isCompaction === true && { isCompaction: true }),
    ...(request.safeguards?.length && { safeguards: request.safeguards }),
    ...(request.isLegacyCall === true && { isLegacyCall: true }),
    repairs: repairs.codes,
    borderline: [...new Set(borderline.map(({ rule }) => rule))]
  }
  return { payload: bytes, plan: { ...plan, keptBytes: keptBytesOf(plan) }, borderline }
}

/** A request may declare many more tools than are offered, and only those can be called. */
function formsOf(
  offered: readonly string[],
  forms: ReadonlyMap<string, ToolForm> | undefined
): ReplyPlan['toolForms'] {
  const kept: Record<string, ToolForm> = {}
  if (forms === undefined) return kept
  for (const name of offered) {
    const form = forms.get(name)
    const isPlain = form?.kind === 'function' && form.name === name
    if (form !== undefined && !isPlain) setOwn(kept, name, form)
  }
  return kept
}

/** Nobody's names are longer; they are repeated in every turn and with every call. */
const MAX_MODEL_CHARS = 256
/** The vendors take 64 and 128; here a namespace may stand before. */
const MAX_TOOL_NAME_CHARS = 512

function refuseLongNames({ model, conversation }: ClientRequest): void {
  if (model.length > MAX_MODEL_CHARS) throw tooLong('model', model, MAX_MODEL_CHARS)
  for (const { name, source } of conversation.tools) {
    if (name.length > MAX_TOOL_NAME_CHARS) {
      throw tooLong(`${source}.name`, name, MAX_TOOL_NAME_CHARS, 'tool-name')
    }
  }
}

function tooLong(path: string, name: string, max: number, rule?: RuleId): GatewayError {
  return invalidPart(path, `must have at most ${max} characters, not ${name.length}`, rule)
}

function unknownModel(id: string): Borderline {
  const message = `The model ${id.slice(0, 100)} is not in the list; only the upstream knows whether it exists.`
  return { rule: 'model-known', message, pointer: '/model' }
}
