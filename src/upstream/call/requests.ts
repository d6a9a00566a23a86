import { randomUUID } from 'node:crypto'
import type { LeftOut } from '../../kiro/conversation/leave-out.ts'
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
  /** The upstream's body without `profileArn`, in the form that the call has. */
  readonly payload: Uint8Array
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  readonly approach: Pick<Approach, 'isWithoutProfile' | 'isNewConversation'>
  readonly bodyTimeoutMs: number
}

const textEncoder = new TextEncoder()

/** Makes one generation call: host, headers, and the body with the ARN that belongs to this credential. */
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

/** URLs that were called, and heads of payloads by profile ARN: the same few for all requests. */
const Urls = new Map<string, URL>()
const Heads = new Map<string, Uint8Array>()
/** A sign-in has one ARN and a few hosts; clients may bring keys of their own. */
const MAX_KNOWN = 64

/** Not to be changed. */
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
 * Puts `profileArn` in front of a payload's first member without parsing it, and without a copy where there is room:
 * it is written over the payload's opening brace, which `RequestPayload` puts back for the next attempt.
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

/** All ids of a payload stand before this. */
const AFTER_IDS = '"chatTriggerType"'
const MAX_HEAD_BYTES = 512
const CONVERSATION_HEAD =
  /^\{(?:"agentMode":"[a-z-]+",)?"conversationState":\{"conversationId":"(?:sess_)?([0-9a-f-]{36})"/

/** Copies a payload under another conversation id, a UUID like its own, which may also be named as its root. */
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

/** Detects the form of a payload's bytes. */
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

/** Longest search, connecting included (kiro-protocol §9.4). */
const SEARCH_TIMEOUT_MS = 60_000
/** Twenty pages, each with more text than is taken of one, and quotes escaped twice. */
const MAX_SEARCH_BYTES = 1024 * 1024

/** One web search. In the path form the headers of a generation call, whose profile has no other place than these. */
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

/** The memory that is set aside for a payload. */
export interface PayloadMemory {
  /** @throws {GatewayError} GW_MEMORY_FULL; the error that ended the request. */
  growTo(payloadBytes: number): void
  /**
   * Takes the payload's new size, and gives back what is beyond it.
   *
   * @throws as `growTo()`
   */
  shrinkTo(payloadBytes: number): void
  /** The payload is gone. */
  shrinkToKept(): void
}

export interface RequestPayloadOptions {
  /** Taken: the caller must not keep them. */
  readonly bytes: Uint8Array
  /** Follows the payload's size. */
  readonly memory: PayloadMemory
  /** Another round may have to be made of it: it stays until `drop()`, or until `hand()` makes it like any other. */
  readonly isKept?: boolean
  /** It was written without these. */
  readonly leftOut?: LeftOut | undefined
}

/** A change of a conversation after it had been refused, by the code of that repair. */
export type PayloadChange =
  | 'reasoning-refused'
  | 'document-refused'
  | 'fields-refused'
  | 'history-trimmed'

/**
 * A request's payload for as long as it may have to be sent again: until the first part of its answer, unless it is
 * kept. Answers run for minutes and dozens of them at once, so nothing else may keep a reference to the bytes.
 */
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
   * As they were given, also after a call that wrote its own head over the opening brace (`withProfileArn`).
   *
   * @throws Error once they have been let go.
   */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the payload has been let go')
    this.#bytes[0] = OPENING_BRACE
    return this.#bytes
  }

  /** 0 once it has been let go. */
  get byteLength(): number {
    return this.#bytes?.byteLength ?? 0
  }

  get form(): RequestForm {
    return formOfBytes(this.bytes)
  }

  /** In the order in which they were made. */
  get changes(): readonly PayloadChange[] {
    return [...this.#changes]
  }

  has(change: PayloadChange): boolean {
    return this.#changes.has(change)
  }

  /** Fields beside the conversation that were left out. */
  get droppedFields(): ReadonlySet<string> {
    return this.#dropped
  }

  noteDropped(fields: readonly string[]): void {
    for (const field of fields) this.#dropped.add(field)
  }

  /** Returns the payload as `bytes` has it; null once it has been let go. Not while it is being sent. */
  peek(): Uint8Array | null {
    return this.#bytes === null ? null : this.bytes
  }

  /** Takes the bytes of the changed conversation in place of those there were. @throws as `PayloadMemory.growTo()` */
  change(change: PayloadChange, bytes: Uint8Array): void {
    this.replace(bytes)
    this.#changes.add(change)
  }

  /**
   * Sets memory aside for the next round, before its bytes are made.
   *
   * @throws as `PayloadMemory.growTo()`
   */
  reserve(addedBytes: number): void {
    this.#memory.growTo(this.bytes.byteLength + addedBytes)
  }

  /** Takes the bytes of the next round in place of those there were. @throws as `PayloadMemory.growTo()` */
  replace(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#memory.shrinkTo(bytes.byteLength)
  }

  /** No round follows the one that is asked now. */
  hand(): void {
    this.#isKept = false
  }

  /**
   * The answer to a call with this body has begun: frees the payload, unless it is kept. True where the body is of no more
   * use: not so a kept payload that went out as it is. Where it lies in the payload's memory, its call frees that
   * (`releaseSentBody`).
   */
  onAnswer(sent: Uint8Array | string | null): boolean {
    const isPayload = sent instanceof Uint8Array && sent.buffer === this.#bytes?.buffer
    if (this.#isKept) return !isPayload
    if (!isPayload) releaseSentBody(this.#bytes)
    this.drop()
    return true
  }

  /** Lets it go. The memory of its bytes is freed once the last reader, perhaps a socket, is done with them. */
  drop(): void {
    this.#bytes = null
    this.#memory.shrinkToKept()
  }
}
