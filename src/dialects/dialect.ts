import { Repairs } from '../kiro/rules/repairs.ts'
import type { ErrorKind, GatewayError } from '../shared/errors.ts'
import type { AnswerWriter } from './answer/answer-writer.ts'
import { type AnswerRoom, ENDLESS_ROOM } from './answer/long-text.ts'
import type { ErrorFormat } from './answer/sse.ts'
import type { AnswerIdentity } from './answer/stream-part.ts'
import { AnthropicMessages } from './anthropic-messages/request.ts'
import { OpenAiChat } from './openai-chat/request.ts'
import { OpenAiResponses } from './openai-responses/request.ts'
import type { ReplyPlan } from './plan/plan.ts'
import type { RequestOptions, UpstreamRequest } from './request/to-upstream.ts'

/** One client API, in both directions. */
interface Dialect {
  /** Where clients ask; a path without `/v1` is what some of them make of a base URL. */
  readonly paths: readonly string[]
  /** The header by which its clients are known on paths that belong to no client API. */
  readonly header?: string
  /** How a client asks for the tokens of a request, below each of `paths`. */
  readonly counter?: { readonly path: string; readonly toAnswer: (tokens: number) => object }
  readonly errors: ErrorFormat
  toUpstreamRequest(body: Uint8Array, options: RequestOptions, repairs: Repairs): UpstreamRequest
  /** The ids of parts of earlier answers that a body refers to, each once; for `RequestOptions.answers`. */
  itemReferencesOf(body: Uint8Array): readonly string[]
  /** An answer's id, made of 32 hexadecimal digits. */
  toAnswerId(hex: string): string
  /** `plan` is one that this dialect has made. */
  createWriter(plan: ReplyPlan, identity: AnswerIdentity, room: AnswerRoom): AnswerWriter
}

/** Every client API. Another one is a folder beside this file, and a line. */
const Table = {
  'openai-chat': OpenAiChat,
  'openai-responses': OpenAiResponses,
  'anthropic-messages': AnthropicMessages
} as const satisfies Readonly<Record<string, Dialect>>

export type DialectName = keyof typeof Table

export const Dialects: Readonly<Record<DialectName, Dialect>> = Table

/** Spoken where nothing tells what the client speaks. */
export const USUAL_DIALECT: DialectName = 'openai-chat'

export const DIALECT_NAMES: readonly DialectName[] = Object.keys(Table).filter(isDialectName)

/** Whether a client API of that name is known. */
export function isDialectName(name: string): name is DialectName {
  return Object.hasOwn(Table, name)
}

/** The client API that a request's headers are of; they have lower-case names. */
export function dialectOfHeaders(headers: Readonly<Record<string, unknown>>): DialectName {
  const known = DIALECT_NAMES.find((name) => headers[Dialects[name].header ?? ''] !== undefined)
  return known ?? USUAL_DIALECT
}

/**
 * Makes the upstream's request of a client's body in any dialect. Pure but for a random conversation id
 * where nothing tells the session. What is repaired is noted in `repairs`, and its codes in the plan.
 *
 * @throws {AttachmentNeeded} for a body with attachments that have to be got first
 * @throws {PayloadRoomNeeded} for one that becomes so large that memory must be set aside for it first
 * @throws {GatewayError} GW_BODY_INVALID, GW_MODEL_UNKNOWN
 */
export function convertRequest(
  dialect: DialectName,
  body: Uint8Array,
  options: RequestOptions,
  repairs = new Repairs()
): UpstreamRequest {
  return Dialects[dialect].toUpstreamRequest(body, options, repairs)
}

/** What writes the answer to the request that `plan` was made of. */
export function createWriter(
  plan: ReplyPlan,
  identity: AnswerIdentity,
  room: AnswerRoom = ENDLESS_ROOM
): AnswerWriter {
  return dialectOf(plan).createWriter(plan, identity, room)
}

/** The client API that a plan was made in. */
export function dialectOf({ asked: { dialect } }: ReplyPlan): Dialect {
  if (isDialectName(dialect)) return Dialects[dialect]
  throw new Error(`there is no dialect ${dialect}`)
}

/** An error as one client API says it. */
export interface ErrorReply {
  readonly status: number
  /** Lower-case names; `content-type` included. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Statuses after which clients come back by themselves; without a time some give up, others hammer. */
const RetryLaterStatuses: readonly number[] = [429, 503, 529]

/** Seconds, where nobody knows better. */
const DefaultRetryAfterS = 3

/** A used-up quota does not come back in seconds; the hour tells clients not to wait for it. */
const QuotaRetryAfterS = 3600

/** The same request will fail again, so the SDKs must not repeat it (they would for minutes on a 401). */
const FinalStatuses: readonly number[] = [400, 401, 403, 404, 405, 413, 415, 426]

/** The next attempt would cost as much and come to the same. */
const FinalKinds: readonly ErrorKind[] = ['quota', 'answer']

/** The whole HTTP answer for an error, before anything else was sent. */
export function toErrorReply(
  dialect: DialectName,
  error: GatewayError,
  requestId: string
): ErrorReply {
  const format = Dialects[dialect].errors
  const status = format.toStatus(error)
  const headers: Record<string, string> = { 'content-type': 'application/json; charset=utf-8' }
  if (requestId !== '') for (const name of format.requestIdHeaders) headers[name] = requestId
  const retryAfterS = toRetryAfter(error, status)
  if (retryAfterS !== null) headers['retry-after'] = String(retryAfterS)
  if (isFinal(error, status)) headers['x-should-retry'] = 'false'
  return { status, headers, body: format.toBody(error, requestId) }
}

function toRetryAfter(error: GatewayError, status: number): number | null {
  if (error.retryAfterS !== undefined) return Math.max(0, Math.ceil(error.retryAfterS))
  if (!RetryLaterStatuses.includes(status)) return null
  return error.kind === 'quota' ? QuotaRetryAfterS : DefaultRetryAfterS
}

function isFinal(error: GatewayError, status: number): boolean {
  return FinalKinds.includes(error.kind) || FinalStatuses.includes(status)
}
