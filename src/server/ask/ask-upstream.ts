import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { monotonicNow, type WaitClock } from '../../admission/clock.ts'
import type { AcquireOptions, Permit } from '../../admission/lease.ts'
import { PartReader } from '../../dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { decodePayload, encodePayload } from '../../dialects/request/payload-bytes.ts'
import { trimHistory } from '../../kiro/conversation/change.ts'
import { findModel } from '../../kiro/models/models.ts'
import { Repairs } from '../../kiro/rules/repairs.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { hostsFor } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import type { RequestPayload } from '../../upstream/call/request-payload.ts'
import { generationRequest } from '../../upstream/call/requests.ts'
import {
  type Approach,
  decideRetry,
  nextApproach,
  PLAIN_APPROACH
} from '../../upstream/call/retry.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import type { Phases } from '../plane/open-turns.ts'
import { Attempt, type AttemptOutcome } from './attempt.ts'
import { explainRefusal } from './explain-refusal.ts'

export interface UpstreamQuestion extends PermitWait {
  /** Let go as soon as the answer begins, unless it is a kept one. */
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
  readonly sink: AnswerSink
  /** For what is said and held of the answer, over all its attempts. */
  readonly room: AnswerMemory
  readonly log: Logger
  readonly requestId: string
  /** The oldest turns of the conversation were left out. */
  readonly onTrimmed: () => void
  /** The answer has begun: the request is not needed any more. */
  readonly onAnswering: () => void
}

/** The call that was answered: what it cost. */
export type AnsweredCall = Pick<Attempt, 'usage' | 'measuredInputTokens'>

type Failure = Extract<AttemptOutcome, { name: 'failed' }>

/**
 * Asks the upstream until it answers or there is no point in asking again (kiro-protocol §8.3). A permit is held
 * during an attempt and never between two.
 *
 * Resolves once the sink has got the whole answer.
 *
 * @throws {GatewayError} why there is none, or why it broke off: then the sink has begun already.
 */
export async function askUpstream(
  plane: DataPlane,
  question: UpstreamQuestion
): Promise<AnsweredCall> {
  const { log, requestId: reqId, phases, sink, signal } = question
  plane.retryBudget.earn()
  const invocationId = randomUUID()
  let snapshot = plane.credentials.current()
  let approach = PLAIN_APPROACH
  let attempt = 1
  let isTrimmed = false
  for (;;) {
    const call = await startAttempt(plane, question, { approach, snapshot, attempt, invocationId })
    const outcome = await call.outcome
    if (outcome.name === 'answered') return call
    phases.end('retry')
    const { fault, hasAnswered } = outcome
    const error = explainRefusal(outcome.error, fault, {
      plan: question.plan,
      payloadBytes: question.payload.peek()?.byteLength ?? 0
    })
    if (error.code === 'GW_UPSTREAM_SUSPENDED') {
      plane.credentials.reportSuspended(snapshot.token, error.message)
    }
    // A heartbeat is a byte, too: the client has its status.
    if (hasAnswered || sink.hasBegun || signal.aborted) throw error
    const next = nextApproach(
      approach,
      { error, remedy: fault?.remedy ?? null },
      {
        hosts: hostsFor(snapshot, plane.config().upstream).length,
        hasProfile: snapshot.profileArn !== null
      }
    )
    if (next !== null) {
      log.info(
        { reqId, code: error.code, detail: error.detail, next },
        'asking upstream another way'
      )
      if (next.hasRenewedToken && !approach.hasRenewedToken) {
        snapshot = await plane.credentials.renew(snapshot, signal)
      }
      approach = next
      continue
    }
    if (error.code === 'GW_CONTEXT_OVERFLOW' && !isTrimmed && plane.config().payload.isTrimmed) {
      isTrimmed = true
      if (!trimPayload(question.payload, question.plan)) throw error
      question.onTrimmed()
      log.warn({ reqId, detail: error.detail }, 'conversation trimmed')
      continue
    }
    const delayMs = retryDelay(plane, question, outcome, attempt)
    if (delayMs === null) throw error
    plane.metrics.upstreamRetries.inc({ code: error.code })
    log.warn(
      { reqId, code: error.code, detail: error.detail, attempt, delayMs },
      'retrying upstream'
    )
    await delay(delayMs, undefined, { signal }).catch((reason: unknown) => {
      throw signal.reason ?? reason
    })
    phases.end('retry')
    attempt += 1
  }
}

interface AttemptPlan {
  readonly approach: Approach
  readonly snapshot: CredentialSnapshot
  readonly attempt: number
  readonly invocationId: string
}

/** Waits for a permit. */
async function startAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  { approach, snapshot, attempt, invocationId }: AttemptPlan
): Promise<Attempt> {
  const { plan, phases, signal } = question
  const { upstream } = plane.config()
  const hosts = hostsFor(snapshot, upstream)
  const host = hosts[approach.hostIndex] ?? hosts[0]
  if (host === undefined) throw new Error('there is no upstream host')
  const request = generationRequest({
    payload: question.payload.bytes,
    snapshot,
    host,
    approach,
    userAgent: upstream.userAgent,
    invocationId,
    attempt,
    maxAttempts: upstream.maxAttempts,
    bodyTimeoutMs: upstream.readTimeoutMs
  })
  const permit = await acquirePermit(plane, question)
  const { models } = plane.catalogue()
  const call = new Attempt({
    pool: plane.pool,
    request,
    token: snapshot.token,
    parts: new PartReader(plan, {
      contextWindowOf: (id) => findModel(models, id)?.maxInputTokens,
      room: question.room
    }),
    room: question.room,
    sink: question.sink,
    firstTokenTimeoutMs: upstream.firstTokenTimeoutMs,
    signal,
    onSent: () => phases.end('connect'),
    onFirstPart: () => {
      phases.end('ttfb')
      if (question.payload.isDoneWith(request.body)) call.releaseBody()
      question.payload.forget(request.body)
      question.onAnswering()
    },
    onIgnoredEvent: () => plane.metrics.unknownEvents.inc(),
    onSettled: () => permit.release()
  })
  return call
}

/** Milliseconds to wait before the next attempt, or `null` if there should be none. */
function retryDelay(
  plane: DataPlane,
  { plan }: UpstreamQuestion,
  { error, fault, hasAnswered }: Failure,
  attempt: number
): number | null {
  const { models, isLive } = plane.catalogue()
  const decision = decideRetry(
    fault ?? error,
    {
      attempt,
      hasAnswered,
      isModelListed: isLive && findModel(models, plan.upstreamModel) !== undefined,
      budgetLeft: plane.retryBudget.left
    },
    { ...plane.config().upstream, random: Math.random }
  )
  return decision.retry && plane.retryBudget.spend() ? decision.delayMs : null
}

/** Who waits for a connection, and what keeps count of it. */
export interface PermitWait {
  /** Who waits, and since when, for a fair share of the connections. */
  readonly waiter: AcquireOptions
  /** All waits of the request so far. */
  readonly waited: WaitClock
  readonly phases: Phases
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/** HTTP_POOL_TIMEOUT bounds all waits of a request together: each may last only for what those before it left. */
export async function acquirePermit(
  plane: Pick<DataPlane, 'lease' | 'metrics'>,
  { waiter, waited, phases, signal }: PermitWait
): Promise<Permit> {
  const startedAt = monotonicNow()
  try {
    return await plane.lease.acquire({ ...waiter, arrivedAt: waited.resume(startedAt) }, signal)
  } finally {
    const now = monotonicNow()
    waited.stop(now)
    phases.end('queue')
    plane.metrics.waitSeconds.observe((now - startedAt) / 1000)
  }
}

/** What is left of a conversation that was refused although it should have fitted. */
const KEPT_SHARE = 0.6

/** Of the window: the estimate may be off, and the answer needs room, too. */
const FILLED_SHARE = 0.8

/**
 * Shortens a conversation that the upstream refused as too long, oldest turns first. Reads and writes the whole
 * payload here on the event loop, some 15 ms for a megabyte, once for such a request. False if it can't be shortened.
 */
export function trimPayload(
  payload: RequestPayload,
  { inputTokens, contextWindow }: Pick<ReplyPlan, 'inputTokens' | 'contextWindow'>
): boolean {
  const share = Math.min(KEPT_SHARE, (FILLED_SHARE * contextWindow) / inputTokens)
  const whole = decodePayload(payload.bytes)
  const trimmed = trimHistory(whole, Math.floor(JSON.stringify(whole).length * share))
  if (trimmed === null) return false
  payload.replace(encodePayload(trimmed, new Repairs()).bytes)
  return true
}
