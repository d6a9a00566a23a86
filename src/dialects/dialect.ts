import type { TokenCount } from '../kiro/tokens/token-gauge.ts'
import { Repairs } from '../kiro/rules/repairs.ts'
import type { ErrorKind } from '../shared/error-table.ts'
import type { GatewayError } from '../shared/errors.ts'
import { isBlank } from '../kiro/wire/message.ts'
import type { JsonObject } from '../shared/json.ts'
import type { Standing } from '../shared/standing.ts'
import type { AnswerWriter, ErrorFormat, WriterOptions } from './answer/answer-writer.ts'
import { ENDLESS_ROOM } from './answer/output-text.ts'
import { AnthropicMessages } from './anthropic-messages/request.ts'
import { OpenAiChat } from './openai-chat/request.ts'
import { OpenAiResponses } from './openai-responses/request.ts'
import type { SummaryKeys } from '../shared/sealed-summary.ts'
import { parseJsonBody, tooCostly } from './plan/json-body.ts'
import type { ReplyPlan } from './plan/plan.ts'
import {
  type AttachmentContents,
  type AttachmentNeeds,
  attachmentNeedsOf,
  findAttachments
} from './request/attachments.ts'
import { inlineAttachments } from './request/inline-attachments.ts'
import type { RoomNeeded } from './request/payload-bytes.ts'
import type { WholeNeeded } from './request/settling.ts'
import {
  type ClientMarks,
  type ClientRequest,
  type ConvertedRequest,
  type RequestOptions,
  toUpstream
} from './request/to-upstream.ts'

interface TokenCounter {
  readonly path: string
  /** Accepts only plans of its dialect. */
  toAnswer(count: TokenCount, plan: ReplyPlan): object
}

/** Items of other requests and their answers. */
interface KnownAnswers {
  readonly stored: JsonObject
  /** Items that the request goes on from; they are among the stored ones. */
  readonly earlier: readonly JsonObject[]
}

interface Dialect {
  /** Several, because some clients drop the `/v1` of a base URL. */
  readonly paths: readonly string[]
  /** Other paths that only its clients ask for. */
  readonly clientPaths?: readonly string[]
  /** Header that identifies its clients on paths of no client API. */
  readonly header?: string
  /** Path below its paths at which a conversation is compacted. */
  readonly compactPath?: string
  readonly counter?: TokenCounter
  readonly errors: ErrorFormat
  /** Headers of its answers for clients that show how much of a limit is used. */
  toStandingHeaders?(standing: Standing): Readonly<Record<string, string>>
  /** Parses the answers that a request comes with. @throws {GatewayError} GW_BODY_INVALID if what it goes on from is not there */
  readAnswers?(body: JsonObject, answers: readonly Uint8Array[]): KnownAnswers
  /** `stored`: what `readAnswers()` has told. @throws {GatewayError} GW_BODY_INVALID */
  read(
    body: JsonObject,
    repairs: Repairs,
    options: Pick<RequestOptions, 'compaction' | 'before'> & {
      readonly stored?: JsonObject | undefined
    }
  ): ClientRequest
  likeness(body: JsonObject): number
  itemReferencesOf?(body: Uint8Array): readonly string[]
  /** Ids of stored answers that the request may go on from. */
  previousIdsOf?(body: Uint8Array): readonly string[]
  /** Copies what is stored of a request with its answer; `before` are the answers that it goes on from. */
  toStoredInput?(body: Uint8Array, before: readonly string[] | null): Uint8Array | null
  toAnswerId(hex: string): string
  /** Accepts only plans of this dialect. */
  createWriter(options: WriterOptions): AnswerWriter
}

/** Client APIs. A new one is a folder beside this file and a line here. */
const Table = {
  'openai-chat': OpenAiChat,
  'openai-responses': OpenAiResponses,
  'anthropic-messages': AnthropicMessages
} as const satisfies Readonly<Record<string, Dialect>>

export type DialectName = keyof typeof Table

export const Dialects: Readonly<Record<DialectName, Dialect>> = Table

export const USUAL_DIALECT: DialectName = 'openai-chat'

export const DIALECT_NAMES: readonly DialectName[] = Object.keys(Table).filter(isDialectName)

export function isDialectName(name: string): name is DialectName {
  return Object.hasOwn(Table, name)
}

export function dialectOfHeaders(headers: Readonly<Record<string, unknown>>): DialectName {
  const known = DIALECT_NAMES.find((name) => headers[Dialects[name].header ?? ''] !== undefined)
  return known ?? USUAL_DIALECT
}

/** Headers that name a session, the most reliable first. */
const SESSION_HEADERS = [
  'x-claude-code-session-id',
  'session_id',
  'session-id',
  'x-session-id',
  'x-session-affinity'
]
const MAX_MARK_CHARS = 512

export function marksOf(headers: Readonly<Record<string, unknown>>): ClientMarks {
  return {
    session: firstMark(headers, SESSION_HEADERS),
    agent: firstMark(headers, ['x-claude-code-agent-id']),
    thread: firstMark(headers, ['thread-id'])
  }
}

function firstMark(
  headers: Readonly<Record<string, unknown>>,
  names: readonly string[]
): string | undefined {
  for (const name of names) {
    const value = headers[name]
    if (typeof value === 'string' && value !== '' && value.length <= MAX_MARK_CHARS) return value
  }
  return undefined
}

/** Sets the request's session (kiro-protocol §9.7): from its body, else its headers, else its user and first text. */
function withMarks(request: ClientRequest, marks: ClientMarks = {}): ClientRequest {
  const { session, agent, thread } = marks
  const sessionKey = request.sessionKey ?? session ?? thread ?? sessionOfUser(request)
  const isOwnThread = thread !== undefined && thread !== sessionKey
  return { ...request, sessionKey, agentKey: agent ?? (isOwnThread ? thread : undefined) }
}

function sessionOfUser({ user, conversation }: ClientRequest): string | undefined {
  if (user === undefined) return undefined
  const first = conversation.messages.find(({ role, text }) => role === 'user' && !isBlank(text))
  return `${user} ${first?.text.slice(0, MAX_MARK_CHARS) ?? ''}`
}

export function dialectOfBody(body: JsonObject): DialectName {
  const likeness = DIALECT_NAMES.map((name) => Dialects[name].likeness(body))
  return DIALECT_NAMES[likeness.indexOf(Math.max(...likeness))] ?? USUAL_DIALECT
}

export type Conversion =
  | ConvertedRequest
  /** Memory for what the body becomes must be reserved first. */
  | (TakenBytes & RoomNeeded)
  | (TakenBytes & WholeNeeded)
  /** These attachments must be fetched and read first. */
  | (TakenBytes & { readonly type: 'attachments-needed'; readonly needs: AttachmentNeeds })

interface TakenBytes {
  readonly body: Uint8Array
  readonly answers: readonly Uint8Array[]
}

/**
 * Converts a client's body to the upstream's request. Pure, but for a random conversation id where no
 * session is known.
 * @throws {GatewayError} GW_BODY_INVALID, GW_BODY_TOO_LARGE, GW_MODEL_UNKNOWN, GW_MODEL_NOT_ALLOWED
 */
export function convertBody(
  dialect: DialectName,
  body: Uint8Array,
  options: RequestOptions,
  attachments?: AttachmentContents
): Conversion {
  const { heapBytes = Infinity, answers = [] } = options
  const json = parseJsonBody(body, heapBytes)
  const repairs = new Repairs()
  const known = Dialects[dialect].readAnswers?.(json, answers)
  const blocks = findAttachments(json, options.sendsDocuments, known?.earlier)
  const needs = attachments === undefined ? attachmentNeedsOf(blocks) : null
  if (needs !== null) return { type: 'attachments-needed', needs, body, answers }
  const contents = attachments ?? NO_CONTENTS
  const chars = blocks.length === 0 ? 0 : inlineAttachments(blocks, contents, repairs)
  if (chars * ATTACHMENT_COPIES > heapBytes) throw tooCostly()
  const parsed = { json, bytes: body.byteLength + chars, sent: body, stored: known?.stored }
  const made = convert(dialect, parsed, { options, repairs })
  return made.type === 'converted' ? made : { ...made, body, answers }
}

const NO_CONTENTS: AttachmentContents = { fetched: {}, pdfs: [] }

/** An attachment is on the heap twice: by itself and in the payload's text. */
const ATTACHMENT_COPIES = 2

/** @throws {GatewayError} as `convertBody()`, and GW_BODY_INVALID for a body that needs attachments */
export function convertRequest(
  dialect: DialectName,
  body: Uint8Array,
  options: RequestOptions,
  repairs = new Repairs()
): ConvertedRequest {
  const json = parseJsonBody(body, options.heapBytes)
  const known = Dialects[dialect].readAnswers?.(json, options.answers ?? [])
  const blocks = findAttachments(json, options.sendsDocuments, known?.earlier)
  const carried = blocks.filter(({ attachment }) => attachment.kind === 'document')
  if (carried.length > 0) inlineAttachments(carried, NO_CONTENTS, repairs)
  const parsed = { json, bytes: body.byteLength, stored: known?.stored }
  const unbounded = { ...options, payloadRoomBytes: Infinity }
  const made = convert(dialect, parsed, { options: unbounded, repairs })
  if (made.type !== 'converted') throw new Error('its room was not bounded')
  return made
}

interface ParsedBody {
  readonly json: JsonObject
  readonly bytes: number
  /** Body whose input is to be stored with the answer, if the request wants that. */
  readonly sent?: Uint8Array
  /** Items of the answers, their attachments replaced. */
  readonly stored?: JsonObject | undefined
}

function convert(
  dialect: DialectName,
  { json, bytes, sent, stored }: ParsedBody,
  { options, repairs }: { readonly options: RequestOptions; readonly repairs: Repairs }
): ConvertedRequest | RoomNeeded | WholeNeeded {
  const { answers = [] } = options
  const read = Dialects[dialect].read(json, repairs, { ...options, stored })
  const request = withMarks(read, options.marks)
  const bodyBytes = answers.reduce((sum, { byteLength }) => sum + byteLength, bytes)
  const made = toUpstream(request, { dialect, bodyBytes, options, repairs })
  if (made.type !== 'converted' || !request.answer.keepsItems || sent === undefined) return made
  const input = Dialects[dialect].toStoredInput?.(sent, request.before ?? null) ?? null
  return input === null ? made : { ...made, input }
}

export function createWriter(
  plan: ReplyPlan,
  identity: WriterOptions['identity'],
  room = ENDLESS_ROOM,
  summaryKeys?: SummaryKeys
): AnswerWriter {
  const keys = summaryKeys === undefined ? {} : { summaryKeys }
  return dialectOf(plan).createWriter({ plan, identity, room, ...keys })
}

export function dialectOf({ asked: { dialect } }: ReplyPlan): Dialect {
  if (isDialectName(dialect)) return Dialects[dialect]
  throw new Error(`unknown dialect ${dialect}`)
}

export interface ErrorReply {
  readonly status: number
  /** Lower-case names; includes `content-type`. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Clients retry after these; without a time some give up and others hammer. */
const RetryLaterStatuses: readonly number[] = [429, 503, 529]

/** Seconds, if the error does not say. */
const DefaultRetryAfterS = 3

/** Requests with these would fail again; SDKs must not repeat them (on a 401 they would for minutes). */
const FinalStatuses: readonly number[] = [400, 401, 403, 404, 405, 413, 415, 426]

/** Another attempt would cost as much for the same result, or do harm. */
const FinalKinds: readonly ErrorKind[] = ['limit', 'quota', 'restricted', 'answer']

export function toErrorReply(
  dialect: DialectName,
  error: GatewayError,
  requestId: string
): ErrorReply {
  const format = Dialects[dialect].errors
  const status = format.toStatus(error)
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'x-kiro-gateway-code': error.code,
    ...format.toHeaders?.(error)
  }
  if (requestId !== '') for (const name of format.requestIdHeaders) headers[name] = requestId
  const retryAfterS = toRetryAfter(error, status)
  if (retryAfterS !== null) headers['retry-after'] = String(retryAfterS)
  if (isFinal(error, status)) headers['x-should-retry'] = 'false'
  return { status, headers, body: format.toBody(error, requestId) }
}

/** Returns no time for errors that end a client's loop: some clients sleep for days if told so. */
function toRetryAfter(error: GatewayError, status: number): number | null {
  // The reset of a key's limit is for people to read, and is sent only if it is near.
  if (isFinal(error, status) && error.kind !== 'limit') return null
  if (error.retryAfterS !== undefined) return Math.max(0, Math.ceil(error.retryAfterS))
  if (error.kind === 'limit') return null
  return RetryLaterStatuses.includes(status) ? DefaultRetryAfterS : null
}

function isFinal(error: GatewayError, status: number): boolean {
  return FinalKinds.includes(error.kind) || FinalStatuses.includes(status)
}
