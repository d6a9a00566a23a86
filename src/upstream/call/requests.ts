import { randomUUID } from 'node:crypto'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import {
  generateUrl,
  generationHeaders,
  mcpUrl,
  profileArnFor,
  type UpstreamHost
} from '../../kiro/wire/hosts.ts'
import { makeSearchId, searchBody } from '../../kiro/wire/web-search.ts'
import { ownsMemory } from '../../shared/own-memory.ts'
import type { UpstreamRequest } from './exchange.ts'
import type { JsonRequest } from './json-exchange.ts'
import type { Approach } from './retry.ts'

export interface GenerationOptions {
  /** The upstream's body without `profileArn`. */
  readonly payload: Uint8Array
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  readonly approach: Pick<Approach, 'isWithoutProfile' | 'isNewConversation'>
  readonly userAgent: string
  readonly invocationId: string
  readonly attempt: number
  readonly maxAttempts: number
  readonly bodyTimeoutMs: number
}

const textEncoder = new TextEncoder()

/** Makes one generation call: host, headers, and the body with the ARN that belongs to this credential. */
export function generationRequest(options: GenerationOptions): UpstreamRequest {
  const { snapshot, host, approach, userAgent, invocationId, attempt, maxAttempts } = options
  const profileArn = approach.isWithoutProfile ? null : profileArnFor(snapshot, host.kind)
  const payload = approach.isNewConversation
    ? withConversationId(options.payload, randomUUID())
    : options.payload
  return {
    url: new URL(generateUrl(host)),
    method: 'POST',
    headers: generationHeaders(snapshot, {
      userAgent,
      invocationId,
      attempt,
      maxAttempts,
      profileArn
    }),
    body: withProfileArn(payload, profileArn),
    bodyTimeoutMs: options.bodyTimeoutMs
  }
}

/**
 * Puts `profileArn` in front of a payload's first member without parsing it, and without a copy where there is room:
 * it is written over the payload's opening brace, which `RequestPayload` puts back for the next attempt.
 */
export function withProfileArn(payload: Uint8Array, profileArn: string | null): Uint8Array {
  if (profileArn === null) return payload
  const head = textEncoder.encode(`{"profileArn":${JSON.stringify(profileArn)},`)
  const start = payload.byteOffset + 1 - head.byteLength
  if (start < 0 || !ownsMemory(payload)) return Buffer.concat([head, payload.subarray(1)])
  const body = new Uint8Array(payload.buffer, start)
  body.set(head)
  return body
}

const CONVERSATION_HEAD = '{"conversationState":{"conversationId":"'

/** The same payload under another conversation id, a UUID like the one that it has. */
export function withConversationId(payload: Uint8Array, conversationId: string): Uint8Array {
  const copy = Buffer.from(payload)
  const end = CONVERSATION_HEAD.length + conversationId.length
  const isAsExpected =
    copy.toString('latin1', 0, CONVERSATION_HEAD.length) === CONVERSATION_HEAD && copy[end] === 0x22
  if (!isAsExpected) throw new Error('the payload does not begin with its conversation id')
  copy.write(conversationId, CONVERSATION_HEAD.length, 'latin1')
  return copy
}

export interface SearchRequestOptions {
  readonly query: string
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  readonly approach: Pick<Approach, 'isWithoutProfile'>
  readonly userAgent: string
}

/** Longest search, connecting included (kiro-protocol §9.4). */
const SEARCH_TIMEOUT_MS = 60_000

/** One web search: the headers of a generation call, whose profile has no other place than these. */
export function searchRequest(options: SearchRequestOptions): JsonRequest {
  const { query, snapshot, host, approach, userAgent } = options
  const profileArn = approach.isWithoutProfile ? null : profileArnFor(snapshot, host.kind)
  return {
    method: 'POST',
    url: mcpUrl(host),
    headers: {
      ...generationHeaders(snapshot, {
        userAgent,
        invocationId: randomUUID(),
        attempt: 1,
        maxAttempts: 1,
        profileArn
      }),
      accept: 'application/json'
    },
    body: searchBody(makeSearchId(Date.now()), query),
    timeoutMs: SEARCH_TIMEOUT_MS
  }
}
