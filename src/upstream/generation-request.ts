import { randomUUID } from 'node:crypto'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { generationHeaders } from '../kiro/headers.ts'
import { generateUrl, profileArnFor, type UpstreamHost } from '../kiro/hosts.ts'
import { ownsMemory } from '../shared/own-memory.ts'
import type { Approach } from './approach.ts'
import type { UpstreamRequest } from './exchange.ts'

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
