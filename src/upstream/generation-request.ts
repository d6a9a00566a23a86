import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { generationHeaders } from '../kiro/headers.ts'
import { generateUrl, profileArnFor, type UpstreamHost } from '../kiro/hosts.ts'
import type { UpstreamRequest } from './exchange.ts'

export interface GenerationOptions {
  /** The upstream's body without `profileArn`. */
  readonly payload: Uint8Array
  readonly snapshot: CredentialSnapshot
  readonly host: UpstreamHost
  /** The upstream said that this account's ARN is not wanted. */
  readonly isWithoutProfile: boolean
  readonly userAgent: string
  readonly invocationId: string
  readonly attempt: number
  readonly maxAttempts: number
  readonly bodyTimeoutMs: number
}

const textEncoder = new TextEncoder()

/** Makes one generation call: host, headers, and the body with the ARN that belongs to this credential. */
export function generationRequest(options: GenerationOptions): UpstreamRequest {
  const { payload, snapshot, host, userAgent, invocationId, attempt, maxAttempts } = options
  const profileArn = options.isWithoutProfile ? null : profileArnFor(snapshot, host.kind)
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

/** Puts `profileArn` in front of a payload's first member, without parsing or copying it more than once. */
export function withProfileArn(payload: Uint8Array, profileArn: string | null): Uint8Array {
  if (profileArn === null) return payload
  const head = textEncoder.encode(`{"profileArn":${JSON.stringify(profileArn)},`)
  return Buffer.concat([head, payload.subarray(1)])
}
