import type { CredentialSnapshot } from './credential-snapshot.ts'

export interface GenerationHeaderOptions {
  /** How the gateway names itself. */
  readonly userAgent: string
  /** A UUID, the same for all attempts of one request. */
  readonly invocationId: string
  /** From 1. */
  readonly attempt: number
  readonly maxAttempts: number
  /** What `profileArnFor` said for this host; it also goes into the body. */
  readonly profileArn: string | null
}

/** Headers of one generation call (kiro-protocol §2). */
export function generationHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  options: GenerationHeaderOptions
): Record<string, string> {
  const { invocationId, attempt, maxAttempts, profileArn } = options
  return {
    ...bearerHeaders(snapshot, options.userAgent),
    'content-type': 'application/json',
    accept: 'application/vnd.amazon.eventstream',
    'x-amzn-kiro-agent-mode': 'vibe',
    'amz-sdk-invocation-id': invocationId,
    'amz-sdk-request': `attempt=${attempt}; max=${maxAttempts}`,
    ...(profileArn === null ? {} : { 'x-amzn-kiro-profile-arn': profileArn })
  }
}

/**
 * Who calls, for every operation. A key or an identity provider's token without its `TokenType` is taken for
 * an ordinary one and refused.
 */
export function bearerHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  userAgent: string
): Record<string, string> {
  return {
    authorization: `Bearer ${snapshot.token}`,
    ...(snapshot.tokenType === 'none' ? {} : { tokentype: snapshot.tokenType }),
    'user-agent': userAgent,
    'x-amz-user-agent': userAgent
  }
}
