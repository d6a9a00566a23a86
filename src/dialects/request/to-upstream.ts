import { buildPayload, composeSystemText } from '../../kiro/conversation/build.ts'
import { jsonInstruction } from '../../kiro/conversation/json-instruction.ts'
import { type IdSource, startOf } from '../../kiro/conversation/ids.ts'
import { goesOnFrom, groundOf } from '../../kiro/conversation/settled-history.ts'
import {
  leaveOutRefused,
  type LeftOut,
  type RefusedBefore
} from '../../kiro/conversation/conversation-memory.ts'
import {
  type Effort,
  hasOwnReasoning,
  isEffort,
  planReasoning,
  type ReasoningOptions,
  type ReasoningWish
} from '../../kiro/conversation/reasoning.ts'
import type { ModelAccess } from '../../kiro/models/model-access.ts'
import { AUTO_MODEL, type ModelFacts, resolveModel } from '../../kiro/models/models.ts'
import { type Borderline, borderlineSize, type Repairs } from '../../kiro/rules/repairs.ts'
import { sumOfGroups } from '../../kiro/tokens/request-tokens.ts'
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
import type { SummaryKeys } from '../../shared/sealed-summary.ts'
import { encodeBehind, encodeWithin, type RoomNeeded } from './payload-bytes.ts'
import { groundOfTools, type ReadTools, type SettledTools, settleTools } from './settled-tools.ts'
import {
  type PartedConversation,
  settlingOf,
  type SettledTurns,
  type SettlingHistory,
  WHOLE_NEEDED,
  type WholeNeeded
} from './settling.ts'

export interface ConvertedRequest {
  readonly type: 'converted'
  /** JSON that begins with `{"conversationState"`, or in the target form with `{"agentMode"`. */
  readonly payload: Uint8Array<ArrayBuffer>
  readonly plan: ReplyPlan
  readonly borderline: readonly Borderline[]
  readonly leftOut?: LeftOut
  /** Text to be stored with the answer. */
  readonly input?: Uint8Array
  /** Turns that later requests may go on from; left out where there are none. */
  readonly settling?: SettlingHistory
}

export interface ClientRequest {
  readonly user?: string | undefined
  /** Stored answers that the request goes on from; `null` if one of them is not stored. */
  readonly before?: readonly string[] | null
  readonly conversation: Conversation
  readonly reasoning: ReasoningWish
  /** Tokens. */
  readonly maxTokens: number | undefined
  readonly jsonFormat: (JsonFormat & { readonly path: string }) | undefined
  readonly webSearch?: WebSearchWish | undefined
  readonly sessionKey: string | undefined
  readonly agentKey?: string | undefined
  /** Left out for client APIs whose requests repeat all turns. */
  readonly growth?: PartedConversation
  /** Left out for the same. */
  readonly readTools?: ReadTools
  readonly answer: Omit<AskedAnswer, 'dialect' | 'isJsonAnswer' | 'own'>
  /** Makes the writer's facts from the client's names of the tools that are finally offered. */
  readonly own: (offered: readonly string[]) => unknown
}

interface ConvertOptions {
  readonly dialect: string
  readonly bodyBytes: number
  readonly options: RequestOptions
  readonly repairs: Repairs
}

/**
 * Returns the room needed where `options` bound it.
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN, GW_MODEL_NOT_ALLOWED
 */
export function toUpstream(
  request: ClientRequest,
  { dialect, bodyBytes, options, repairs }: ConvertOptions
): ConvertedRequest | RoomNeeded | WholeNeeded {
  const { maxTokens, jsonFormat, growth } = request
  const { before } = options
  const settled = before?.settled
  if (settled !== undefined && growth?.isPlain !== true) return WHOLE_NEEDED
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
  const toolsBefore = before?.tools
  const groundTools = growth === undefined ? '' : groundOfTools(conversation, options)
  if (toolsBefore !== undefined && toolsBefore.ground !== groundTools) return WHOLE_NEEDED
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
    repairs,
    settled,
    offer: toolsBefore?.offer,
    settling: growth?.messages
  })
  const isSettling = settled !== undefined || (growth?.messages ?? 0) > 0
  const ground = isSettling ? groundOf([built.shapedBy, options.sendsDocuments]) : ''
  const { messages } = conversation
  if (settled !== undefined) {
    const news = { ground, messages, reasoning: built.reasoning, codes: repairs.codes }
    if (!goesOnFrom(settled, news)) return WHOLE_NEEDED
    for (const code of [...settled.repairs, ...(toolsBefore?.repairs ?? [])]) repairs.note(code)
  }
  const parts = refusablePartsOf(built.payload, built.ids.conversation, settled?.signatures)
  const { payload, leftOut } =
    options.refused === undefined
      ? { payload: built.payload, leftOut: undefined }
      : leaveOutRefused(built.payload, parts, { ...options.refused, model: model.id })
  if (leftOut?.reasoning === true && settled !== undefined) return WHOLE_NEEDED
  const { entries } = built.settling
  const encoded =
    before === undefined
      ? encodeWithin(payload, repairs, {
          bodyBytes,
          roomBytes: options.payloadRoomBytes ?? Infinity,
          settling: entries
        })
      : (encodeBehind(payload, repairs, {
          settled: before.text,
          pieces: before.pieces,
          bodyBytes: bodyBytes + before.bytes + (toolsBefore?.bytes ?? 0),
          newBytes: bodyBytes + (toolsBefore?.bytes ?? 0),
          settling: entries,
          tools: toolsBefore?.text
        }) ?? WHOLE_NEEDED)
  if ('type' in encoded) return encoded
  const { bytes, weight, tokens: groups } = encoded
  const tokens = Math.max(1, Math.round(sumOfGroups(groups)))
  const { contextWindow } = model
  const borderline = [
    ...built.borderline,
    ...(toolsBefore?.borderline ?? []),
    ...borderlineSize({ bytes: bytes.byteLength, weight, tokens, contextWindow }),
    ...(model.facts === undefined && model.id !== AUTO_MODEL ? [unknownModel(model.id)] : [])
  ]
  const offered = offeredNames(built.payload, built.toolNames)
  const start =
    settled?.start ?? startOf(source, composeSystemText(conversation.systemParts, instructions))
  const textCallForms = toolsBefore?.textCallForms ?? textCallFormsOf(built.payload)
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
    textCallForms,
    inputTokens: tokens,
    groups,
    isSlow: isSlow(tokens, built.payload.additionalModelRequestFields),
    rounds: planRounds({ jsonForm: jsonForm ?? null, webSearch }, conversation.toolChoice, offered),
    contextWindow,
    ...parts,
    ...(start !== undefined && { start }),
    repairs: repairs.codes,
    borderline: [...new Set(borderline.map(({ rule }) => rule))]
  }
  const { history } = encoded
  const tools = (): SettledTools | undefined => {
    if (toolsBefore !== undefined) return undefined
    return settleTools({
      ground: groundTools,
      read: request.readTools,
      offered: built.offered,
      textCallForms,
      repairs
    })
  }
  const told = { messages, built, ground, payload, history, start, repairs, tools }
  const settling = growth && settlingOf({ growth, before: settled, ...told })
  return {
    type: 'converted',
    payload: bytes,
    plan: { ...plan, keptBytes: keptBytesOf(plan) },
    borderline,
    ...(leftOut !== undefined && { leftOut }),
    ...(settling !== undefined && leftOut?.reasoning !== true && { settling })
  }
}

/** Above this the upstream takes minutes to begin. */
const SLOW_TOKENS = 200_000
const SLOW_EFFORT = /"effort":"(?:xhigh|max)"/

function isSlow(tokens: number, fields: UpstreamPayload['additionalModelRequestFields']): boolean {
  return tokens > SLOW_TOKENS || SLOW_EFFORT.test(JSON.stringify(fields ?? {}))
}

const MAX_MODEL_CHARS = 256
/** The vendors allow 64 and 128; a namespace may precede. */
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

/** Settings and models for the conversion. Plain data: it crosses threads. */
export interface RequestOptions {
  readonly aliases: Readonly<Record<string, string>>
  /** The upstream's catalogue, or the built-in list while `isCatalogueLive` is false. */
  readonly models: readonly ModelFacts[]
  readonly isCatalogueLive: boolean
  readonly windows?: Readonly<Record<string, string>>
  /** Models that the client's key may use; all if left out. */
  readonly access?: ModelAccess
  readonly toolDescriptionMaxLength: number
  readonly toolMaxCount: number
  readonly sendsDocuments?: boolean
  readonly servesWebSearch: boolean
  readonly fakeReasoning: ReasoningOptions['tags']
  readonly refused?: RefusedBefore
  /** The form that the upstream accepts now; default `path`. */
  readonly form?: RequestForm
  readonly owner?: string
  /** Heap allowed for the conversion. */
  readonly heapBytes?: number
  /** Memory reserved for a payload that is larger than usual. 0: ask first; unbounded if left out. */
  readonly payloadRoomBytes?: number
  /** JSON texts of objects of items by id. Bytes, because they may be large even if the body is small. */
  readonly answers?: readonly Uint8Array[]
  readonly marks?: ClientMarks
  /** The request has only what follows these turns, of a conversation that comes in parts. */
  readonly before?: SettledTurns
  /** Opens compactions of the client's key; without it they are unreadable. */
  readonly compaction?: CompactionOptions
}

export interface CompactionOptions extends SummaryKeys {
  /** The request is a call to compact its conversation. */
  readonly isCall: boolean
}

export interface ClientMarks {
  readonly session?: string | undefined
  /** A Claude Code sub-agent, within its parent's session. */
  readonly agent?: string | undefined
  /** Codex's thread: a sub-agent's if it is not the session's key. */
  readonly thread?: string | undefined
}

/** OpenAI allows 4; every part of an answer is searched for all of them. */
const MAX_STOPS = 16
const MAX_STOP_CHARS = 4096

/** Reads an effort: `none` turns reasoning off, an unknown word leaves the amount open. */
export function effortWish(effort: string, repairs: Repairs, source?: Source): ReasoningWish {
  if (effort === 'none') return { mode: 'off' }
  const known = knownEffort(effort, repairs, source)
  return known === undefined ? { mode: 'on' } : { mode: 'on', effort: known, source }
}

export function knownEffort(word: string, repairs: Repairs, source?: Source): Effort | undefined {
  const effort = word.toLowerCase()
  if (isEffort(effort)) return effort
  repairs.note('effort-clamped', source)
  return undefined
}

/** @throws {GatewayError} GW_BODY_INVALID for too many or too long ones */
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
