import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Permit } from '../../admission/lease.ts'
import { PartReader } from '../../dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { ConversationParts } from '../../kiro/conversation/conversation-memory.ts'
import { findModel } from '../../kiro/models/models.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import type { GatewayError } from '../../shared/errors.ts'
import {
  generationRequest,
  type PayloadChange,
  type RequestPayload
} from '../../upstream/call/requests.ts'
import { type ApproachFailure, decideRetry, formSignOf } from '../../upstream/call/retry.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { Attempt, type AttemptOutcome } from './attempt.ts'
import { acquireFor, CallWay, type PermitWait } from './call-way.ts'
import { reformPayload, stripReasoning, trimPayload, writeOutDocuments } from './change-payload.ts'
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
}

/** A call that was answered. */
export type AnsweredCall = Pick<Attempt, 'measuredInputTokens'>

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
  const { log, requestId: reqId, payload, plan, progress, sink, signal } = question
  plane.retryBudget.earn()
  const way = new CallWay(plane, 'generate')
  let attempt = 1
  let sent = newCall(attempt)
  let changes = 0
  /** With documents; to be told should it fare no better without them. */
  let refusal: GatewayError | null = null
  if (isRefused(plane, plan.replay)) stripReasoning(payload)
  for (;;) {
    // None were ever seen on the older hosts (kiro-protocol §4.15).
    const isWrittenOut = way.host.kind === 'q' || isRefused(plane, plan.documents)
    if (isWrittenOut) await sendDocumentsAsText(plane, question)
    const call = await startAttempt(plane, question, { way, attempt, sent })
    const outcome = await call.outcome
    if (call.isClosed) plane.closingHosts.add(way.host.url)
    if (call.ignoredEvents > 0) plane.metrics.unknownEvents.inc(call.ignoredEvents)
    if (outcome.name === 'answered') {
      if (outcome.lostBy !== undefined) noteCut(plane, question, outcome.lostBy)
      if (refusal !== null && plan.documents !== undefined)
        plane.conversations.learn(plan.documents)
      return call
    }
    progress.end('retry')
    const { fault, phase } = outcome
    const payloadBytes = payload.peek()?.byteLength ?? 0
    const explained = explainRefusal(outcome.error, fault, { plan, payloadBytes })
    const error = plane.account.heed(explained, fault)
    if (error.code === 'GW_UPSTREAM_SUSPENDED') {
      plane.credentials.reportSuspended(way.snapshot.token, error.message)
    }
    // A heartbeat is a byte, too: the client has its status.
    if (phase === 'answering' || sink.hasBegun || signal.aborted) throw error
    const { code, detail } = error
    const failure = toApproachFailure(error, fault)
    const { hasRenewedToken } = way.approach
    const mayChange = changes < MAX_CHANGES
    if (mayChange && (await way.change(failure, signal))) {
      changes += 1
      log.info({ reqId, code, detail, next: way.approach }, 'asking upstream another way')
      if (way.approach.hasRenewedToken === hasRenewedToken) sent = newCall(attempt)
      continue
    }
    const change = mayChange ? await changePayload(plane, question, { error, fault }) : null
    if (change !== null) {
      changes += 1
      log.warn({ reqId, code, detail, change }, CHANGES[change])
      if (change === 'document-refused') refusal = way.told(failure).error
      attempt = 1
      sent = newCall(attempt)
      continue
    }
    const delayMs = retryDelay(plane, question, outcome, attempt)
    if (delayMs === null) {
      if (refusal !== null && code === 'GW_UPSTREAM_REFUSED') throw refusal
      throw way.told(failure).error
    }
    plane.metrics.upstreamRetries.inc({ code })
    log.warn({ reqId, code, detail, attempt, delayMs }, 'retrying upstream')
    await delay(delayMs, undefined, { signal }).catch((reason: unknown) => {
      throw signal.reason ?? reason
    })
    progress.end('retry')
    attempt += 1
    if (isEmptyAnswer(outcome)) sent = newCall(attempt)
  }
}

/** How often a request may be changed and sent once more, in whichever ways (kiro-protocol §8.3). */
const MAX_CHANGES = 3

/** The upstream has refused one of these parts before, to this worker or another. */
function isRefused(
  { conversations }: Pick<DataPlane, 'conversations'>,
  parts: ConversationParts | undefined
): boolean {
  return parts !== undefined && conversations.has(parts)
}

/** Sends their text in their place, where there are any. */
async function sendDocumentsAsText(
  { transforms }: Pick<DataPlane, 'transforms'>,
  { payload, plan, waiter, signal }: UpstreamQuestion
): Promise<void> {
  if (plan.documents === undefined) return
  await writeOutDocuments(transforms, payload, { key: waiter.key, signal })
}

const CHANGES = {
  'reasoning-refused': 'reasoning of earlier answers left out',
  'document-refused': 'documents sent as text',
  'history-trimmed': 'conversation trimmed'
} as const satisfies Record<PayloadChange, string>

/** Changes what a refusal may be about, each once (kiro-protocol §8.3). `null` where nothing can be changed. */
async function changePayload(
  plane: DataPlane,
  question: UpstreamQuestion,
  { error, fault }: Pick<Failure, 'error' | 'fault'>
): Promise<PayloadChange | null> {
  const { payload, plan } = question
  const mayChange = (change: PayloadChange): boolean => !payload.has(change)
  if (fault?.remedy === 'strip-reasoning' && plan.replay && mayChange('reasoning-refused')) {
    plane.conversations.learn(plan.replay)
    stripReasoning(payload)
    return 'reasoning-refused'
  }
  if (plan.documents && mayBeDocuments(fault) && mayChange('document-refused')) {
    await sendDocumentsAsText(plane, question)
    return 'document-refused'
  }
  const isTooLong = error.code === 'GW_CONTEXT_OVERFLOW' && plane.config().payload.isTrimmed
  const isTrimmed = isTooLong && mayChange('history-trimmed') && trimPayload(payload, plan)
  return isTrimmed ? 'history-trimmed' : null
}

/** A refusal that no other remedy is known for (kiro-protocol §4.15), but not one of an organisation's key. */
function mayBeDocuments(fault: UpstreamFault | null): boolean {
  if (fault?.status !== 400 || fault.code !== 'GW_UPSTREAM_REFUSED') return false
  return ['none', 'other-form'].includes(fault.remedy) && fault.reason?.includes('KMS') !== true
}

function noteCut(
  { metrics }: Pick<DataPlane, 'metrics'>,
  { log, requestId: reqId }: UpstreamQuestion,
  { code, detail }: GatewayError
): void {
  metrics.answersCut.inc({ code })
  log.warn({ reqId, code, detail }, 'answer cut off on its way')
}

/** No refusal says so: the answer was one of nothing (kiro-protocol §5.11). */
function isEmptyAnswer({ fault, error }: Failure): boolean {
  return fault === null && error.code === 'GW_UPSTREAM_OVERLOADED'
}

/** Each may have been paid for. */
const MAX_EMPTY_ANSWERS = 3

/** How much longer a slow answer may take to begin: 300 s instead of 120 (kiro-protocol §8.4). */
const SLOW_FACTOR = 2.5

/** One request in the upstream's eyes: what is changed and sent once more is another one (kiro-protocol §8.3). */
interface SentCall {
  readonly invocationId: string
  /** The attempt that was its first. */
  readonly from: number
}

function newCall(from: number): SentCall {
  return { invocationId: randomUUID(), from }
}

function toApproachFailure(error: GatewayError, fault: UpstreamFault | null): ApproachFailure {
  if (fault === null) return { error, remedy: null }
  return { error, remedy: fault.remedy, formSign: formSignOf(fault) }
}

interface AttemptPlan {
  readonly way: CallWay
  readonly attempt: number
  readonly sent: SentCall
}

/** Waits for a permit. */
async function startAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  plans: AttemptPlan
): Promise<Attempt> {
  const permit = await acquireFor(plans.way, plane, question)
  try {
    return makeAttempt(plane, question, { ...plans, permit })
  } catch (cause) {
    permit.release() // there was no memory for the other form
    throw cause
  }
}

/** The form of the request is looked at with the permit in hand: it may have been learnt while others had it. */
function makeAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  { way, attempt, sent, permit }: AttemptPlan & { readonly permit: Permit }
): Attempt {
  const { plan, payload, room } = question
  const { upstream } = plane.config()
  const { snapshot, host, approach, form } = way
  if (payload.form !== form) reformPayload(payload, plan, form)
  const request = generationRequest({
    payload: payload.bytes,
    snapshot,
    host,
    approach,
    form,
    userAgent: upstream.userAgent,
    invocationId: sent.invocationId,
    attempt: attempt - sent.from + 1,
    maxAttempts: upstream.maxAttempts,
    bodyTimeoutMs: upstream.readTimeoutMs
  })
  const { models } = plane.catalogue()
  const contextWindowOf = (id: string) => findModel(models, id)?.maxInputTokens
  return new Attempt({
    ...question,
    pool: plane.pool,
    permit,
    request,
    token: snapshot.token,
    parts: new PartReader(plan, {
      contextWindowOf,
      room,
      // Older hosts may never close an answer (kiro-protocol §5.11).
      needsClosing: host.kind !== 'q' || plane.closingHosts.has(host.url)
    }),
    firstTokenTimeoutMs: upstream.firstTokenTimeoutMs * (plan.isSlow ? SLOW_FACTOR : 1),
    onAccepted: () => way.accepted()
  })
}

/** Milliseconds to wait before the next attempt, or `null` if there should be none. */
function retryDelay(
  plane: DataPlane,
  { plan }: UpstreamQuestion,
  failure: Failure,
  attempt: number
): number | null {
  const { error, fault } = failure
  const { models, isLive } = plane.catalogue()
  const isModelListed = isLive && findModel(models, plan.upstreamModel) !== undefined
  const { upstream } = plane.config()
  const { maxAttempts } = upstream
  const limits = {
    ...upstream,
    maxAttempts: isEmptyAnswer(failure) ? Math.min(maxAttempts, MAX_EMPTY_ANSWERS) : maxAttempts,
    // The upstream was working, and may charge for it.
    firstTokenMaxRetries: plan.isSlow ? 1 : upstream.firstTokenMaxRetries,
    budget: plane.retryBudget,
    random: Math.random
  }
  return decideRetry(fault ?? error, { attempt, isModelListed }, limits)
}
