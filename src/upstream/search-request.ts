import { randomUUID } from 'node:crypto'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { generationHeaders } from '../kiro/headers.ts'
import { mcpUrl, profileArnFor, type UpstreamHost } from '../kiro/hosts.ts'
import { makeSearchId, searchBody } from '../kiro/web-search.ts'
import type { Approach } from './approach.ts'
import type { JsonRequest } from './json-call.ts'

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
