import { randomUUID } from 'node:crypto'
import type { LeftOut } from '../../kiro/conversation/conversation-memory.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import {
  profileArnFor,
  type RequestForm,
  type RuntimeCall,
  runtimeHeaders,
  runtimeUrl,
  type UpstreamHost
} from '../../kiro/wire/hosts.ts'
import { makeSearchId, searchBody } from '../../kiro/wire/web-search.ts'
import { ownsMemory } from '../../shared/own-memory.ts'
import { releaseSentBody, type ExchangeRequest } from './exchange.ts'
import type { JsonRequest } from './json-exchange.ts'
import type { Approach } from './retry.ts'

export interface GenerationOptions extends Omit<RuntimeCall, 'profileArn' | 'operation'> {
  /** Payload without `profileArn`, in the form of the call. */
  readonly payload: Uint8Array
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  readonly approach: Pick<Approach, 'isWithoutProfile' | 'isNewConversation'>
  readonly bodyTimeoutMs: number
}

const textEncoder = new TextEncoder()

export function generationRequest(options: GenerationOptions): ExchangeRequest {
  const { snapshot, host, approach } = options
  const profileArn = approach.isWithoutProfile ? null : profileArnFor(snapshot, host.kind)
  const payload = approach.isNewConversation
    ? withConversationId(options.payload, randomUUID())
    : options.payload
  return {
    url: urlOf(runtimeUrl(host, 'generate', options.form)),
    method: 'POST',
    headers: runtimeHeaders(snapshot, { ...options, operation: 'generate', profileArn }),
    body: withProfileArn(payload, profileArn),
    bodyTimeoutMs: options.bodyTimeoutMs
  }
}

const Urls = new Map<string, URL>()
const Heads = new Map<string, Uint8Array>()
/** A sign-in has one ARN and a few hosts, but clients may bring keys of their own. */
const MAX_KNOWN = 64

/** The result is shared: do not change it. */
function urlOf(text: string): URL {
  return remembered(Urls, text, () => new URL(text))
}

function remembered<T>(known: Map<string, T>, name: string, make: () => T): T {
  const found = known.get(name)
  if (found !== undefined) return found
  if (known.size >= MAX_KNOWN) known.clear()
  const made = make()
  known.set(name, made)
  return made
}

/**
 * Writes `profileArn` over the payload's opening brace if there is room, without parsing or copying.
 * `RequestPayload` restores the brace for the next attempt.
 */
export function withProfileArn(payload: Uint8Array, profileArn: string | null): Uint8Array {
  if (profileArn === null) return payload
  const head = remembered(Heads, profileArn, () =>
    textEncoder.encode(`{"profileArn":${JSON.stringify(profileArn)},`)
  )
  const start = payload.byteOffset + 1 - head.byteLength
  if (start < 0 || !ownsMemory(payload)) return Buffer.concat([head, payload.subarray(1)])
  const body = new Uint8Array(payload.buffer, start)
  body.set(head)
  return body
}

const AFTER_IDS = '"chatTriggerType"'
const MAX_HEAD_BYTES = 512
const CONVERSATION_HEAD =
  /^\{(?:"agentMode":"[a-z-]+",)?"conversationState":\{"conversationId":"(?:sess_)?([0-9a-f-]{36})"/

/** Copies a payload with another conversation id of the same length, which may also be its root's. */
export function withConversationId(payload: Uint8Array, conversationId: string): Uint8Array {
  const copy = Buffer.from(payload)
  const start = copy.toString('latin1', 0, MAX_HEAD_BYTES)
  const head = start.slice(0, start.indexOf(AFTER_IDS))
  const [, before] = CONVERSATION_HEAD.exec(head) ?? []
  if (before === undefined) throw new Error('the payload does not begin with its conversation id')
  copy.write(head.replaceAll(before, conversationId), 0, 'latin1')
  return copy
}

const TARGET_HEAD = Buffer.from('{"agentMode"')

export function formOfBytes(payload: Uint8Array): RequestForm {
  const { byteLength } = TARGET_HEAD
  return TARGET_HEAD.equals(payload.subarray(0, byteLength)) ? 'target' : 'path'
}

export interface SearchRequestOptions {
  readonly query: string
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  readonly approach: Pick<Approach, 'isWithoutProfile'>
  readonly form: RequestForm
  readonly userAgent: string
}

/** Connecting included (kiro-protocol §9.4). */
const SEARCH_TIMEOUT_MS = 60_000
/** Twenty pages, each with more text than is used, and quotes escaped twice. */
const MAX_SEARCH_BYTES = 1024 * 1024

/** The path form uses a generation call's headers, the only place for its profile. */
export function searchRequest(options: SearchRequestOptions): JsonRequest {
  const { query, snapshot, host, approach, form, userAgent } = options
  const profileArn = approach.isWithoutProfile ? null : profileArnFor(snapshot, host.kind)
  return {
    method: 'POST',
    url: runtimeUrl(host, 'mcp', form),
    headers: runtimeHeaders(snapshot, {
      operation: 'mcp',
      form,
      userAgent,
      invocationId: randomUUID(),
      attempt: 1,
      maxAttempts: 1,
      profileArn
    }),
    body: searchBody(makeSearchId(Date.now()), query, form === 'target' ? profileArn : null),
    timeoutMs: SEARCH_TIMEOUT_MS,
    maxBytes: MAX_SEARCH_BYTES
  }
}

const OPENING_BRACE = 0x7b

export interface PayloadMemory {
  /** @throws {GatewayError} GW_MEMORY_FULL, or the error that ended the request */
  growTo(payloadBytes: number): void
  /** @throws as `growTo()` */
  shrinkTo(payloadBytes: number): void
  shrinkToKept(): void
}

export interface RequestPayloadOptions {
  /** The payload takes ownership. */
  readonly bytes: Uint8Array
  readonly memory: PayloadMemory
  readonly isKept?: boolean
  readonly leftOut?: LeftOut | undefined
}

export type PayloadChange =
  | 'reasoning-refused'
  | 'document-refused'
  | 'fields-refused'
  | 'history-trimmed'

/** Holds a payload until its answer begins. Answers take minutes: nothing else may refer to the bytes. */
export class RequestPayload {
  readonly #memory: PayloadMemory
  #bytes: Uint8Array | null
  #isKept: boolean
  /** Bounded by the changes that there are. */
  readonly #changes = new Set<PayloadChange>()
  /** Bounded by the fields of the request. */
  readonly #dropped = new Set<string>()

  constructor({ bytes, memory, isKept = false, leftOut }: RequestPayloadOptions) {
    this.#bytes = bytes
    this.#memory = memory
    this.#isKept = isKept
    if (leftOut?.reasoning === true) this.#changes.add('reasoning-refused')
    if (leftOut !== undefined && leftOut.fields.length > 0) this.#changes.add('fields-refused')
    this.noteDropped(leftOut?.fields ?? [])
  }

  /**
   * Restores the brace that `withProfileArn` overwrote.
   * @throws Error after they were dropped
   */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the payload has been let go')
    this.#bytes[0] = OPENING_BRACE
    return this.#bytes
  }

  get byteLength(): number {
    return this.#bytes?.byteLength ?? 0
  }

  get form(): RequestForm {
    return formOfBytes(this.bytes)
  }

  get changes(): readonly PayloadChange[] {
    return [...this.#changes]
  }

  has(change: PayloadChange): boolean {
    return this.#changes.has(change)
  }

  get droppedFields(): ReadonlySet<string> {
    return this.#dropped
  }

  noteDropped(fields: readonly string[]): void {
    for (const field of fields) this.#dropped.add(field)
  }

  /** Like `bytes`, but null after they were dropped. Not while sending. */
  peek(): Uint8Array | null {
    return this.#bytes === null ? null : this.bytes
  }

  /** @throws as `PayloadMemory.growTo()` */
  change(change: PayloadChange, bytes: Uint8Array): void {
    this.replace(bytes)
    this.#changes.add(change)
  }

  /** @throws as `PayloadMemory.growTo()` */
  reserve(addedBytes: number): void {
    this.#memory.growTo(this.bytes.byteLength + addedBytes)
  }

  /** @throws as `PayloadMemory.growTo()` */
  replace(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#memory.shrinkTo(bytes.byteLength)
  }

  hand(): void {
    this.#isKept = false
  }

  /**
   * True if the sent body is of no more use; if it lies in the payload's memory, the call frees it
   * (`releaseSentBody`).
   */
  onAnswer(sent: Uint8Array | string | null): boolean {
    const isPayload = sent instanceof Uint8Array && sent.buffer === this.#bytes?.buffer
    if (this.#isKept) return !isPayload
    if (!isPayload) releaseSentBody(this.#bytes)
    this.drop()
    return true
  }

  /** Memory is freed once the last reader, perhaps a socket, is done with it. */
  drop(): void {
    this.#bytes = null
    this.#memory.shrinkToKept()
  }
}
