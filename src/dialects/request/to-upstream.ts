import { buildPayload, composeSystemText } from '../../kiro/conversation/build.ts'
import { type IdSource, startOf } from '../../kiro/conversation/ids.ts'
import {
  leaveOutRefused,
  type LeftOut,
  type RefusedBefore
} from '../../kiro/conversation/leave-out.ts'
import {
  type Effort,
  hasOwnReasoning,
  isEffort,
  planReasoning,
  type ReasoningOptions,
  type ReasoningWish
} from '../../kiro/conversation/reasoning.ts'
import type { ModelAccess } from '../../kiro/models/model-access.ts'
import { AUTO_MODEL, type ModelFacts } from '../../kiro/models/models.ts'
import { resolveModel } from '../../kiro/models/resolve-model.ts'
import { type Borderline, borderlineSize, type Repairs } from '../../kiro/rules/repairs.ts'
import type { RequestForm } from '../../kiro/wire/hosts.ts'
import type { Conversation, Source } from '../../kiro/wire/message.ts'
import type { UpstreamPayload } from '../../kiro/wire/payload.ts'
import { type JsonFormat, readJsonForm } from '../plan/json-answer.ts'
import { invalidPart, refuseLong } from '../plan/json-body.ts'
import {
  type AskedAnswer,
  keptBytesOf,
  offeredNames,
  planRounds,
  planSearch,
  refusablePartsOf,
  type ReplyPlan,
  textCallFormsOf
} from '../plan/plan.ts'
import type { WebSearchWish } from '../plan/search-tool.ts'
import { encodeWithin, type RoomNeeded } from './payload-bytes.ts'

/** A converted request: the body to send and the plan for the answer. */
export interface ConvertedRequest {
  readonly type: 'converted'
  /** JSON that begins with `{"conversationState"`, or in the target form with `{"agentMode"`. */
  readonly payload: Uint8Array<ArrayBuffer>
  readonly plan: ReplyPlan
  /** The rules of `plan.borderline`, with figures. */
  readonly borderline: readonly Borderline[]
  /** Refusable parts of `plan` that the payload leaves out. */
  readonly leftOut?: LeftOut
}

/** A client's request as its dialect has read it. */
export interface ClientRequest {
  /** The client's user, who may have many conversations. */
  readonly user?: string | undefined
  readonly conversation: Conversation
  readonly reasoning: ReasoningWish
  /** The client's bound for the answer, in tokens. */
  readonly maxTokens: number | undefined
  /** The JSON format that the client asks for, and the path of its schema. */
  readonly jsonFormat: (JsonFormat & { readonly path: string }) | undefined
  /** The vendor's web search, which the gateway makes for the model (`findSearchTool`). */
  readonly webSearch?: WebSearchWish | undefined
  /** Key that all requests of one session share. */
  readonly sessionKey: string | undefined
  /** Key that all requests of one sub-agent in the session share. */
  readonly agentKey?: string | undefined
  readonly answer: Omit<AskedAnswer, 'dialect' | 'isJsonAnswer' | 'own'>
  /** Facts for the dialect's writer, by the client's names of the tools that are on offer in the end. */
  readonly own: (offered: readonly string[]) => unknown
}

interface ConvertOptions {
  readonly dialect: string
  /** Size of the client's body and of its attachments. */
  readonly bodyBytes: number
  readonly options: RequestOptions
  readonly repairs: Repairs
}

/**
 * The part that all dialects share: model, reasoning, the upstream's body, the plan for the answer.
 *
 * Gives the room that is needed where `options` bound that.
 *
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN, GW_MODEL_NOT_ALLOWED
 */
export function toUpstream(
  request: ClientRequest,
  { dialect, bodyBytes, options, repairs }: ConvertOptions
): ConvertedRequest | RoomNeeded {
  const { maxTokens, jsonFormat } = request
  const jsonForm = jsonFormat && readJsonForm(jsonFormat, jsonFormat.path)
  refuseLongNames(request)
  const model = resolveModel(request.answer.model, options)
  if (model.isSubstitute) repairs.note('model-substituted', 'model')
  const reasoning = planReasoning({
    wish: request.reasoning,
    model,
    maxTokens,
    tags: options.fakeReasoning,
    repairs
  })
  const { servesWebSearch: isServed } = options
  const { conversation, webSearch } = planSearch(request, { isServed, repairs })
  const instructions = [
    ...conversation.instructions,
    ...(jsonForm === undefined ? [] : [jsonInstruction(jsonFormat?.schema)])
  ]
  const source: IdSource = {
    conversation: { ...conversation, instructions },
    modelId: model.id,
    sessionKey: request.sessionKey,
    agentKey: request.agentKey,
    owner: options.owner
  }
  const built = buildPayload({
    ...source,
    takesImages: !options.isCatalogueLive || (model.facts?.takesImages ?? true),
    reasoning,
    canReplay: hasOwnReasoning(model),
    toolDescriptionMaxLength: options.toolDescriptionMaxLength,
    maxTools: options.toolMaxCount,
    form: options.form,
    repairs
  })
  const parts = refusablePartsOf(built.payload, built.ids.conversation)
  const { payload, leftOut } =
    options.refused === undefined
      ? { payload: built.payload, leftOut: undefined }
      : leaveOutRefused(built.payload, parts, { ...options.refused, model: model.id })
  const encoded = encodeWithin(payload, repairs, {
    bodyBytes,
    roomBytes: options.payloadRoomBytes ?? Infinity
  })
  if ('type' in encoded) return encoded
  const { bytes, weight, tokens } = encoded
  const { contextWindow } = model
  const borderline = [
    ...built.borderline,
    ...borderlineSize({ bytes: bytes.byteLength, weight, tokens, contextWindow }),
    ...(model.facts === undefined && model.id !== AUTO_MODEL ? [unknownModel(model.id)] : [])
  ]
  const offered = offeredNames(built.payload, built.toolNames)
  const start = startOf(source, composeSystemText(conversation.systemParts, instructions))
  const plan: Omit<ReplyPlan, 'keptBytes'> = {
    asked: {
      ...request.answer,
      dialect,
      isJsonAnswer: jsonForm !== undefined,
      own: request.own(offered)
    },
    upstreamModel: model.id,
    ids: built.ids,
    toolNames: built.toolNames,
    reasoning: reasoning.source,
    ...(maxTokens !== undefined &&
      built.payload.additionalModelRequestFields?.['max_tokens'] !== maxTokens && {
        maxOutputTokens: maxTokens
      }),
    textCallForms: textCallFormsOf(built.payload),
    inputTokens: tokens,
    isSlow: isSlow(tokens, built.payload.additionalModelRequestFields),
    rounds: planRounds({ jsonForm: jsonForm ?? null, webSearch }, conversation.toolChoice, offered),
    contextWindow,
    ...parts,
    ...(start !== undefined && { start }),
    repairs: repairs.codes,
    borderline: [...new Set(borderline.map(({ rule }) => rule))]
  }
  return {
    type: 'converted',
    payload: bytes,
    plan: { ...plan, keptBytes: keptBytesOf(plan) },
    borderline,
    ...(leftOut !== undefined && { leftOut })
  }
}

/** From here on the upstream takes minutes to begin. */
const SLOW_TOKENS = 200_000
const SLOW_EFFORT = /"effort":"(?:xhigh|max)"/

/** True if the answer may take much longer to begin than others (kiro-protocol §8.4). */
function isSlow(tokens: number, fields: UpstreamPayload['additionalModelRequestFields']): boolean {
  return tokens > SLOW_TOKENS || SLOW_EFFORT.test(JSON.stringify(fields ?? {}))
}

/** Far above any real name; names are repeated in every turn and with every call. */
const MAX_MODEL_CHARS = 256
/** The vendors take 64 and 128; here a namespace may stand before. */
const MAX_TOOL_NAME_CHARS = 512

function refuseLongNames({ answer: { model }, conversation }: ClientRequest): void {
  refuseLong('model', model, MAX_MODEL_CHARS)
  for (const { name, source } of conversation.tools) {
    refuseLong(`${source}.name`, name, MAX_TOOL_NAME_CHARS, 'tool-name')
  }
}

function unknownModel(id: string): Borderline {
  const message = `The model ${id.slice(0, 100)} is not in the list; only the upstream can tell whether it exists.`
  return { rule: 'model-known', message, pointer: '/model' }
}

/** Settings and models that a dialect's `request.ts` needs. Plain data: it crosses threads. */
export interface RequestOptions {
  /** Client name → upstream name, from `MODEL_ALIASES`. */
  readonly aliases: Readonly<Record<string, string>>
  /** The upstream's catalogue, or the built-in list while `isCatalogueLive` is false. */
  readonly models: readonly ModelFacts[]
  readonly isCatalogueLive: boolean
  /** From `MODEL_CONTEXT_WINDOWS`. */
  readonly windows?: Readonly<Record<string, string>>
  /** The models that the client's key may ask; left out where that is all of them. */
  readonly access?: ModelAccess
  readonly toolDescriptionMaxLength: number
  /** Tools offered at most. */
  readonly toolMaxCount: number
  /** The upstream is sent documents as they are; otherwise their text. */
  readonly sendsDocuments?: boolean
  /** Web searches are made for the model; otherwise the vendor's tool for it is left out. */
  readonly servesWebSearch: boolean
  readonly fakeReasoning: ReasoningOptions['tags']
  /** Left out, as far as the request has it. */
  readonly refused?: RefusedBefore
  /** Request form that the upstream accepts now; `path` unless given. */
  readonly form?: RequestForm
  /** The client's key by its short name. */
  readonly owner?: string
  /** Heap that there is for the conversion, where it is bounded. */
  readonly heapBytes?: number
  /**
   * For the payload, where it becomes larger than usual: so much memory has been set aside. 0 asks for it first;
   * unbounded unless given.
   */
  readonly payloadRoomBytes?: number
  /**
   * Earlier answers that the request refers to: of each, its items by id as the client saw them, as the JSON text of one
   * object. Bytes, not objects: they may be large even if the body is small.
   */
  readonly answers?: readonly Uint8Array[]
  /** Marks of the session in the client's headers; see `marksOf()`. */
  readonly marks?: ClientMarks
}

/** A client's marks of its session outside the body. */
export interface ClientMarks {
  readonly session?: string | undefined
  /** A sub-agent of Claude Code, under its parent's session. */
  readonly agent?: string | undefined
  /** Codex's thread: that of a sub-agent where it is not the session's key. */
  readonly thread?: string | undefined
}

/** OpenAI takes 4 stop strings; every part of an answer is searched for all of them. */
const MAX_STOPS = 16
const MAX_STOP_CHARS = 4096

/** Words the prompt that asks a model without JSON mode for JSON (kiro-protocol §9.9). */
function jsonInstruction(schema: unknown): string {
  const form =
    'Your final answer must be one valid JSON value and nothing else: no words around it and no Markdown code fence. ' +
    'This does not keep you from calling tools before.'
  return schema === undefined || schema === null
    ? form
    : `${form} It must match this JSON Schema:\n${JSON.stringify(schema)}`
}

/** Reasoning asked for by effort alone: `none` turns it off, an unknown word leaves the amount open. */
export function effortWish(effort: string, repairs: Repairs, source?: Source): ReasoningWish {
  if (effort === 'none') return { mode: 'off' }
  const known = knownEffort(effort, repairs, source)
  return known === undefined ? { mode: 'on' } : { mode: 'on', effort: known, source }
}

/** The effort that a client's word names, in any case. */
export function knownEffort(word: string, repairs: Repairs, source?: Source): Effort | undefined {
  const effort = word.toLowerCase()
  if (isEffort(effort)) return effort
  repairs.note('effort-clamped', source)
  return undefined
}

/**
 * The strings that end an answer, without empty ones. `path` leads to them.
 *
 * @throws {GatewayError} GW_BODY_INVALID for more or longer ones than are looked for.
 */
export function readStops(
  stops: string | readonly string[] | null | undefined,
  path: string
): readonly string[] {
  if (typeof stops === 'string') return readStop(stops, path)
  if (stops === undefined || stops === null) return []
  if (stops.length > MAX_STOPS) {
    throw invalidPart(path, `must have at most ${MAX_STOPS} stop strings, not ${stops.length}`)
  }
  return stops.flatMap((stop, index) => readStop(stop, `${path}[${index}]`))
}

function readStop(stop: string, path: string): readonly string[] {
  refuseLong(path, stop, MAX_STOP_CHARS)
  return stop === '' ? [] : [stop]
}
