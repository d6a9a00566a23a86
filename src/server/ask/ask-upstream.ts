import { randomUUID } from 'node:crypto'
import { monotonicNow } from '../../admission/clock.ts'
import type { Permit } from '../../admission/lease.ts'
import { PartReader } from '../../dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { ConversationParts } from '../../kiro/conversation/conversation-memory.ts'
import { findModel } from '../../kiro/models/models.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { isKnownReason } from '../../kiro/wire/fault-table.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { StrangeEvents } from '../../reply/answer-reader.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { generationRequest, type RequestPayload } from '../../upstream/call/requests.ts'
import { type ApproachFailure, decideRetry, formSignOf } from '../../upstream/call/retry.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import type { Charge, TurnLimits } from '../plane/key-limits.ts'
import type { TurnCapture } from '../plane/turn-capture.ts'
import { Attempt, type AttemptOutcome } from './attempt.ts'
import { Bill } from './bill.ts'
import { acquireFor, CallWay, type PermitWait } from './call-way.ts'
import { reformPayload } from './change-payload.ts'
import { explainRefusal } from './explain-refusal.ts'
import { CHANGES, changePayload, leaveOutRefused, writeOutRefused } from './refused-parts.ts'

export interface UpstreamQuestion extends PermitWait {
  /** What its key may use; `null` without limits. */
  readonly limits: TurnLimits | null
  /** Let go as soon as the answer begins, unless it is a kept one. */
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
  readonly sink: AnswerSink
  /** For what is said and held of the answer, over all its attempts. */
  readonly room: AnswerMemory
  readonly log: Logger
  readonly requestId: string
  /** What is said is kept there, where the operator has asked for that. */
  readonly capture: TurnCapture | null
}

/** A call that was answered. */
export type AnsweredCall = Pick<Attempt, 'measuredInputTokens'>

type Failure = Extract<AttemptOutcome, { name: 'failed' }>

/** A wait for a price may last for what those before it left of HTTP_POOL_TIMEOUT, as one for a connection. */
async function reserveFor(question: UpstreamQuestion): Promise<Charge | null> {
  const { plan, limits, waited, signal } = question
  if (limits === null) return null
  const request = { model: plan.upstreamModel, inputTokens: plan.inputTokens }
  try {
    return await limits.reserve(request, { arrivedAt: waited.resume(monotonicNow()), signal })
  } finally {
    waited.stop(monotonicNow())
  }
}

/**
 * Asks the upstream, with credits reserved for that where the client's key has a limit of them.
 *
 * Resolves once the sink has got the whole answer.
 *
 * @throws {GatewayError} GW_KEY_LIMIT; why there is no answer, or why it broke off: then the sink has begun already.
 */
export async function askUpstream(
  plane: DataPlane,
  question: UpstreamQuestion
): Promise<AnsweredCall> {
  const charge = await reserveFor(question)
  const bill = new Bill({ ...question, plane, charge })
  try {
    return await askUntilAnswered(plane, question, bill)
  } finally {
    bill.close()
  }
}

/**
 * Asks the upstream until it answers or there is no point in asking again (kiro-protocol §8.3). A permit is held
 * during an attempt and never between two.
 */
async function askUntilAnswered(
  plane: DataPlane,
  question: UpstreamQuestion,
  bill: Bill
): Promise<AnsweredCall> {
  const { log, requestId: request_id, payload, plan, progress, sink, signal } = question
  plane.retryBudget.earn()
  const way = await CallWay.open(plane, 'generate', signal)
  let attempt = 1
  let sent = newCall(attempt)
  let changes = 0
  /** Of what was left out on suspicion; to be told should the request fare no better without it. */
  let refusal: GatewayError | null = null
  /** To be remembered should it fare better. */
  const lessons: ConversationParts[] = []
  if (plan.replay ?? plan.fields) await leaveOutRefused(plane, question, way.snapshot)
  for (;;) {
    if (plan.documents) await writeOutRefused(plane, question, way.host)
    const call = await startAttempt(plane, question, { way, attempt, sent, bill })
    const outcome = await call.outcome
    bill.add(call, outcome)
    progress.noteAccount(way.snapshot.id)
    if (call.isClosed) plane.closingHosts.add(way.host.url)
    noteStrange(plane, question, call.strangeEvents)
    if (outcome.name === 'answered') {
      if (outcome.lostBy !== undefined) {
        noteCut(plane, question, outcome.lostBy)
        question.capture?.noteCut()
      }
      for (const lesson of lessons) plane.conversations.learn(lesson)
      return call
    }
    progress.end('retry')
    const { fault, phase } = outcome
    noteReason(plane, question, fault)
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
      log.info({ request_id, code, detail, next: way.approach }, 'asking upstream another way')
      if (way.approach.hasRenewedToken === hasRenewedToken) sent = newCall(attempt)
      continue
    }
    const account = way.snapshot
    const change = mayChange
      ? await changePayload(plane, question, { error, fault, account })
      : null
    if (change !== null) {
      changes += 1
      const { name, lesson } = change
      log.warn({ request_id, code, detail, change: name }, CHANGES[name])
      if (lesson !== undefined) {
        lessons.push(lesson)
        refusal ??= way.told(failure).error
      }
      attempt = 1
      sent = newCall(attempt)
      continue
    }
    const delayMs = plane.isDraining() ? null : retryDelay(plane, question, outcome, attempt)
    if (delayMs === null) {
      if (refusal !== null && code === 'GW_UPSTREAM_REFUSED') throw refusal
      throw way.told(failure).error
    }
    plane.metrics.upstreamRetries.inc({ code })
    log.warn({ request_id, code, detail, attempt, delayMs }, 'retrying upstream')
    await plane.retryWaits.wait({ ms: delayMs, key: question.waiter.key }, signal)
    progress.end('retry')
    attempt += 1
    if (isEmptyAnswer(outcome)) sent = newCall(attempt)
  }
}

/** How often a request may be changed and sent once more, in whichever ways (kiro-protocol §8.3). */
const MAX_CHANGES = 3

function noteStrange(
  plane: Pick<DataPlane, 'metrics' | 'strange'>,
  question: UpstreamQuestion,
  { count, names }: StrangeEvents
): void {
  if (count === 0) return
  plane.metrics.unknownEvents.inc(count)
  for (const event of names) tellOnce(plane, question, { event })
}

function noteReason(
  plane: Pick<DataPlane, 'metrics' | 'strange'>,
  question: UpstreamQuestion,
  fault: UpstreamFault | null
): void {
  const reason = fault?.reason ?? ''
  if (reason === '' || isKnownReason(reason)) return
  plane.metrics.unknownReasons.inc()
  tellOnce(plane, question, { reason })
}

/** So many things that are new are told of; then there is something else the matter. */
const MAX_STRANGE = 64

/** There may be one in every answer, and the log is read by people. */
function tellOnce(
  { strange }: Pick<DataPlane, 'strange'>,
  { log, requestId: request_id }: UpstreamQuestion,
  told: { readonly event: string } | { readonly reason: string }
): void {
  const name = JSON.stringify(told)
  if (strange.has(name) || strange.size >= MAX_STRANGE) return
  strange.add(name)
  log.warn({ request_id, ...told }, 'upstream says something that is not known here')
}

function noteCut(
  { metrics }: Pick<DataPlane, 'metrics'>,
  { log, requestId: request_id }: UpstreamQuestion,
  { code, detail }: GatewayError
): void {
  metrics.answersCut.inc({ code })
  log.warn({ request_id, code, detail }, 'answer cut off on its way')
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
  readonly bill: Bill
}

/** Waits for a permit, and for a token where that is over. */
async function startAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  plans: AttemptPlan
): Promise<Attempt> {
  if (question.capture !== null) await question.capture.payload(question.payload)
  const permit = await acquireFor(plans.way, plane, question)
  try {
    await reform(plane, question, plans.way)
    return makeAttempt(plane, question, { ...plans, permit })
  } catch (cause) {
    permit.release() // there was no memory for the other form
    throw cause
  }
}

/** Looks at the form of the request with the permit in hand: it may have been learnt while others had it. */
async function reform(
  { transforms }: Pick<DataPlane, 'transforms'>,
  { payload, plan, waiter, signal }: UpstreamQuestion,
  { form }: CallWay
): Promise<void> {
  const owner = { key: waiter.key, signal }
  if (payload.form !== form) await reformPayload(transforms, payload, plan, { form, owner })
}

function makeAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  { way, attempt, sent, bill, permit }: AttemptPlan & { readonly permit: Permit }
): Attempt {
  const { plan, payload, room, waiter } = question
  const { upstream } = plane.config()
  const { snapshot, host, approach, form } = way
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
    tap: question.capture?.call({
      kind: 'generate',
      form,
      url: request.url.href,
      headers: request.headers,
      token: snapshot.token
    }),
    parts: new PartReader(boundedPlan(question), {
      contextWindowOf,
      room,
      // Older hosts may never close an answer (kiro-protocol §5.11).
      needsClosing: host.kind !== 'q' || plane.closingHosts.has(host.url)
    }),
    firstTokenTimeoutMs: upstream.firstTokenTimeoutMs * (plan.isSlow ? SLOW_FACTOR : 1),
    onAccepted: () => way.accepted(),
    readOn: (stop) => {
      const { isUnpriced } = bill
      return plane.readings.begin({ key: waiter.key, isUnpriced, stop })
    },
    outlivesClient: bill.isUnpriced
  })
}

/** The client's bound is kept here where the upstream was not told it in the end. */
function boundedPlan({ plan, payload }: Pick<UpstreamQuestion, 'plan' | 'payload'>): ReplyPlan {
  const { maxTokens } = plan.fields ?? {}
  if (maxTokens === undefined || !payload.has('fields-refused')) return plan
  return { ...plan, maxOutputTokens: Math.min(maxTokens, plan.maxOutputTokens ?? Infinity) }
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
