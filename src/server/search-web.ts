import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { faultOfResponse, toGatewayError } from '../kiro/fault.ts'
import { hostsFor } from '../kiro/hosts.ts'
import { parseSearchAnswer, type SearchOutcome } from '../kiro/web-search.ts'
import type { Logger } from '../observe/logger.ts'
import { asGatewayError } from '../shared/errors.ts'
import {
  type Approach,
  type ApproachFailure,
  nextApproach,
  PLAIN_APPROACH
} from '../upstream/approach.ts'
import { exchangeJson } from '../upstream/json-exchange.ts'
import { searchRequest } from '../upstream/search-request.ts'
import { acquirePermit, type PermitWait } from './acquire-permit.ts'
import type { DataPlane } from './data-plane.ts'

export interface WebSearch extends PermitWait {
  readonly query: string
  /** The search is on its way: silence is now worth a heartbeat. */
  readonly onSent: () => void
  readonly log: Logger
  readonly requestId: string
}

type Answer = { readonly outcome: SearchOutcome } | { readonly failure: ApproachFailure }

/**
 * Searches the web through the upstream (kiro-protocol §9.4), with a permit of the connection budget. A search that
 * fails is an outcome like any other: the model can answer without it. It is asked for again only where something
 * about the call can be changed: token, profile or host.
 *
 * @throws {GatewayError} when no permit could be had, the credential is gone or the client has left.
 */
export async function searchWeb(plane: DataPlane, search: WebSearch): Promise<SearchOutcome> {
  const { signal, log, requestId: reqId } = search
  let snapshot = plane.credentials.current()
  let approach = PLAIN_APPROACH
  for (;;) {
    const answer = await ask(plane, search, snapshot, approach)
    const problem = 'failure' in answer ? answer.failure.error.message : answer.outcome.problem
    plane.metrics.webSearches.inc({ outcome: problem === undefined ? 'found' : 'failed' })
    if (problem !== undefined) {
      // A service may repeat what it was asked for.
      log.warn({ reqId, detail: problem.replaceAll(search.query, '‹query›') }, 'web search failed')
    }
    if ('outcome' in answer) return answer.outcome
    const next = nextApproach(approach, answer.failure, {
      hosts: hostsFor(snapshot, plane.config().upstream).length,
      hasProfile: snapshot.profileArn !== null
    })
    if (next === null) return { pages: [], problem: answer.failure.error.message }
    if (next.hasRenewedToken && !approach.hasRenewedToken) {
      snapshot = await plane.credentials.renew(snapshot, signal)
    }
    approach = next
  }
}

async function ask(
  plane: DataPlane,
  search: WebSearch,
  snapshot: CredentialSnapshot,
  approach: Approach
): Promise<Answer> {
  const { query, signal, phases, onSent } = search
  const { upstream } = plane.config()
  const hosts = hostsFor(snapshot, upstream)
  const host = hosts[approach.hostIndex] ?? hosts[0]
  if (host === undefined) throw new Error('there is no upstream host')
  const { userAgent } = upstream
  const request = searchRequest({ query, snapshot, host, approach, userAgent })
  const permit = await acquirePermit(plane, search)
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
  try {
    const { status, headers, text } = await exchangeJson({
      pool: plane.pool,
      request,
      signal: deadline,
      onSent,
      onSettled: () => permit.release()
    })
    if (status === 200) return { outcome: parseSearchAnswer(text) }
    const { token } = snapshot
    const fault = faultOfResponse({ status, headers, body: text, token, now: Date.now() })
    return { failure: { error: toGatewayError(fault), remedy: fault.remedy } }
  } catch (cause) {
    signal.throwIfAborted()
    return { failure: { error: asGatewayError(cause), remedy: null } }
  } finally {
    phases.end('search')
  }
}
