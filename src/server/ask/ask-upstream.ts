import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Permit } from '../../admission/lease.ts'
import { PartReader } from '../../dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { decodePayload, encodePayload } from '../../dialects/request/payload-bytes.ts'
import { trimHistory } from '../../kiro/conversation/change.ts'
import { inForm } from '../../kiro/conversation/ids.ts'
import { withoutReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { findModel } from '../../kiro/models/models.ts'
import { Repairs } from '../../kiro/rules/repairs.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { RequestForm } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { generationRequest, type RequestPayload } from '../../upstream/call/requests.ts'
import { type ApproachFailure, decideRetry, formSignOf } from '../../upstream/call/retry.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { Attempt, type AttemptOutcome } from './attempt.ts'
import { acquirePermit, CallWay, type PermitWait } from './call-way.ts'
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
  const way = new CallWay(plane)
  let attempt = 1
  let sent = newCall(attempt)
  let isTrimmed = false
  let changes = 0
  if (plan.replay !== undefined && plane.refusedReasoning.has(plan.replay)) stripReasoning(payload)
  for (;;) {
    const call = await startAttempt(plane, question, { way, attempt, sent })
    const outcome = await call.outcome
    if (call.isClosed) plane.closingHosts.add(way.host.url)
    if (call.ignoredEvents > 0) plane.metrics.unknownEvents.inc(call.ignoredEvents)
    if (outcome.name === 'answered') return call
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
    const { hasRenewedToken } = way.approach
    const mayChange = changes < MAX_CHANGES
    if (mayChange && (await way.change(toApproachFailure(error, fault), signal))) {
      changes += 1
      log.info({ reqId, code, detail, next: way.approach }, 'asking upstream another way')
      if (way.approach.hasRenewedToken === hasRenewedToken) sent = newCall(attempt)
      continue
    }
    const mayStrip = mayChange && plan.replay !== undefined && !payload.isStripped
    if (fault?.remedy === 'strip-reasoning' && mayStrip) {
      changes += 1
      plane.refusedReasoning.add(plan.replay)
      stripReasoning(payload)
      attempt = 1
      sent = newCall(attempt)
      log.info({ reqId, code, detail }, 'reasoning of earlier answers left out')
      continue
    }
    const mayTrim = mayChange && !isTrimmed && plane.config().payload.isTrimmed
    if (code === 'GW_CONTEXT_OVERFLOW' && mayTrim) {
      changes += 1
      isTrimmed = true
      if (!trimPayload(payload, plan)) throw error
      log.warn({ reqId, detail }, 'conversation trimmed')
      sent = newCall(attempt)
      continue
    }
    const delayMs = retryDelay(plane, question, outcome, attempt)
    if (delayMs === null) throw way.told(toApproachFailure(error, fault)).error
    plane.metrics.upstreamRetries.inc({ code })
    log.warn({ reqId, code, detail, attempt, delayMs }, 'retrying upstream')
    await delay(delayMs, undefined, { signal }).catch((reason: unknown) => {
      throw signal.reason ?? reason
    })
    progress.end('retry')
    attempt += 1
  }
}

/** How often a request may be changed and sent once more, in whichever ways (kiro-protocol §8.3). */
const MAX_CHANGES = 3

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
  const permit = await acquirePermit(plane, question)
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

/**
 * Writes a payload anew in the other form. Reads and writes the whole payload here on the event loop, as `trimPayload()`
 * does: for the requests that were under way when another form was learnt, and for a host that takes one form only.
 */
export function reformPayload(
  payload: RequestPayload,
  { ids }: Pick<ReplyPlan, 'ids'>,
  form: RequestForm
): void {
  const written = inForm(decodePayload(payload.bytes), form, ids)
  payload.replace(encodePayload(written, new Repairs()).bytes)
}

/** Milliseconds to wait before the next attempt, or `null` if there should be none. */
function retryDelay(
  plane: DataPlane,
  { plan }: UpstreamQuestion,
  { error, fault }: Failure,
  attempt: number
): number | null {
  const { models, isLive } = plane.catalogue()
  const isModelListed = isLive && findModel(models, plan.upstreamModel) !== undefined
  const { upstream } = plane.config()
  const limits = {
    ...upstream,
    // The upstream was working, and may charge for it.
    firstTokenMaxRetries: plan.isSlow ? 1 : upstream.firstTokenMaxRetries,
    budget: plane.retryBudget,
    random: Math.random
  }
  return decideRetry(fault ?? error, { attempt, isModelListed }, limits)
}

/**
 * Leaves the reasoning of earlier answers out. Reads and writes the whole payload here on the event loop, as
 * `trimPayload()` does, only where the upstream has refused some of it.
 */
function stripReasoning(payload: RequestPayload): void {
  if (payload.isStripped) return
  const stripped = withoutReasoning(decodePayload(payload.bytes))
  payload.strip(encodePayload(stripped, new Repairs()).bytes)
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
  payload.trim(encodePayload(trimmed, new Repairs()).bytes)
  return true
}
