import { randomUUID } from 'node:crypto'
import { monotonicNow } from '../../admission/clock.ts'
import type { Permit } from '../../admission/lease.ts'
import { PartReader } from '../../dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { contextWindowOf, findModel } from '../../kiro/models/models.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { isKnownReason } from '../../kiro/wire/fault-table.ts'
import type { Logger } from '../../observe/logger.ts'
import type { AnswerMemory } from '../../reply/answer-memory.ts'
import type { StrangeEvents } from '../../reply/answer-reader.ts'
import type { AnswerSink } from '../../reply/sinks.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { generationRequest, type RequestPayload } from '../../upstream/call/requests.ts'
import { type Approach, toApproachFailure } from '../../upstream/call/retry.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { Charge, TurnLimits } from '../primary/key-limits.ts'
import type { TurnCapture } from '../worker/turn-capture.ts'
import { Attempt, type AttemptOutcome } from './attempt.ts'
import { Bill } from './bill.ts'
import { acquireFor, CallWay, type PermitWait } from './call-way.ts'
import { CHANGES, changePayload, reformPayload, writeOutRefused } from './change-payload.ts'
import { explainRefusal } from './explain-refusal.ts'
import {
  type FailedTry,
  FIRST_TRY,
  mayChange,
  type NextCall,
  nextTry,
  type TryMeans,
  type TryState
} from './next-try.ts'

export interface UpstreamQuestion extends PermitWait {
  /** `null` without limits. */
  readonly limits: TurnLimits | null
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
  readonly sink: AnswerSink
  readonly room: AnswerMemory
  readonly log: Logger
  readonly requestId: string
  readonly capture: TurnCapture | null
}

interface FailedCall {
  readonly way: CallWay
  readonly state: TryState
  readonly outcome: Extract<AttemptOutcome, { name: 'failed' }>
}

interface WayOn {
  readonly way: CallWay
  readonly another: Approach | null
  readonly told: GatewayError
}

/** Waits for a price as long as earlier waits leave of HTTP_POOL_TIMEOUT. */
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
 * Resolves once the sink has the whole answer.
 * @throws {GatewayError} GW_KEY_LIMIT; why there is no answer, or why it broke off: then the sink has begun
 */
export async function askUpstream(plane: DataPlane, question: UpstreamQuestion): Promise<Attempt> {
  const charge = await reserveFor(question)
  const bill = new Bill({ ...question, plane, charge })
  try {
    return await askUntilAnswered(plane, question, bill)
  } finally {
    bill.close()
  }
}

/** Asks until `nextTry()` gives up. Holds a permit during an attempt, never between two. */
async function askUntilAnswered(
  plane: DataPlane,
  question: UpstreamQuestion,
  bill: Bill
): Promise<Attempt> {
  const { plan, progress, signal } = question
  plane.retryBudget.earn()
  const way = await CallWay.open(plane, 'generate', signal)
  let state = FIRST_TRY
  let invocationId = randomUUID()
  for (;;) {
    if (plan.documents) await writeOutRefused(plane, question, way.host)
    const call = await startAttempt(plane, question, { way, state, invocationId, bill })
    const outcome = await call.outcome
    bill.add(call, outcome)
    progress.account = way.snapshot.id
    if (call.isClosed) plane.closingHosts.add(way.host.url)
    noteStrange(plane, question, call.strangeEvents)
    if (outcome.name === 'answered') {
      if (outcome.lostBy !== undefined) noteCut(plane, question, outcome.lostBy)
      for (const lesson of state.lessons) plane.conversations.learn(lesson)
      return call
    }
    const next = await prepareNext(plane, question, { way, state, outcome })
    if (next.isNewCall) invocationId = randomUUID()
    state = next.state
  }
}

/** @throws {GatewayError} the failure, if no call follows; why there is no other token; GW_MEMORY_FULL */
async function prepareNext(
  plane: DataPlane,
  question: UpstreamQuestion,
  { way, state, outcome }: FailedCall
): Promise<NextCall> {
  const { log, requestId: request_id, progress, signal } = question
  progress.end('retry')
  const failed = heedFailure(plane, question, { way, outcome })
  const { code, detail } = failed.error
  const failure = toApproachFailure(failed.error, failed.fault)
  if (failed.isFinal) way.report(failure)
  const isOver = failed.isFinal || !mayChange(state)
  const another = isOver ? null : way.after(failure)
  const means = tryMeans(plane, question, { way, another, told: way.told(failure).error })
  let next = nextTry(state, failed, means)
  if (next.type === 'change-payload' && !(await changePayload(plane, question, next.change))) {
    next = nextTry({ ...state, isShortest: true }, failed, means)
  }
  switch (next.type) {
    case 'give-up':
      throw next.error
    case 'change-way':
      await way.take(next.approach, failure, signal)
      log.info(
        { request_id, code, detail, next: next.approach },
        'retrying upstream with a changed request'
      )
      return next
    case 'change-payload': {
      const { name } = next.change
      log.warn({ request_id, code, detail, change: name }, CHANGES[name])
      return next
    }
    case 'again': {
      const { attempt } = state
      const { delayMs } = next
      plane.retryBudget.spend()
      plane.metrics.upstreamRetries.inc({ code })
      log.warn(
        { request_id, code, detail, attempt, delayMs: Math.round(delayMs) },
        'retrying upstream'
      )
      await plane.retryWaits.wait({ ms: delayMs, key: question.waiter.key }, signal)
      progress.end('retry')
      return next
    }
  }
}

function heedFailure(
  plane: DataPlane,
  question: UpstreamQuestion,
  { way, outcome }: Pick<FailedCall, 'way' | 'outcome'>
): FailedTry {
  const { plan, payload, sink, signal } = question
  const { fault, phase } = outcome
  noteReason(plane, question, fault)
  const request = { plan, payloadBytes: payload.byteLength }
  const explained = explainRefusal(outcome.error, fault, request)
  const error = way.heed(explained, fault)
  if (error.code === 'GW_UPSTREAM_SUSPENDED') {
    plane.credentials.reportSuspended(way.snapshot.token, error.message)
  }
  // A heartbeat is a byte, too: the client has its status.
  return { error, fault, isFinal: phase === 'answering' || sink.hasBegun || signal.aborted }
}

function tryMeans(
  plane: DataPlane,
  { plan, payload }: UpstreamQuestion,
  { way, another, told }: WayOn
): TryMeans {
  const { upstream, payload: payloads } = plane.current.config
  const { models, isLive } = plane.models.catalogue
  return {
    approach: way.approach,
    another,
    told,
    plan,
    payload,
    account: way.snapshot.id,
    mayTrim: payloads.isTrimmed,
    isModelListed: isLive && findModel(models, plan.upstreamModel) !== undefined,
    retry:
      plane.life.state === 'draining'
        ? null
        : {
            maxAttempts: upstream.maxAttempts,
            // The upstream was working, and may charge for it.
            firstTokenMaxRetries: plan.isSlow ? 1 : upstream.firstTokenMaxRetries,
            hasBudget: plane.retryBudget.hasOne,
            random: Math.random()
          }
  }
}

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

/** Unknown things logged; with more, the cause lies elsewhere. */
const MAX_STRANGE = 64

function tellOnce(
  { strange }: Pick<DataPlane, 'strange'>,
  { log, requestId: request_id }: UpstreamQuestion,
  told: { readonly event: string } | { readonly reason: string }
): void {
  const name = JSON.stringify(told)
  if (strange.has(name) || strange.size >= MAX_STRANGE) return
  strange.add(name)
  log.warn({ request_id, ...told }, 'unknown event or reason from the upstream')
}

function noteCut(
  { metrics }: Pick<DataPlane, 'metrics'>,
  { log, requestId: request_id, capture }: UpstreamQuestion,
  { code, detail }: GatewayError
): void {
  capture?.noteCut()
  metrics.answersCut.inc({ code })
  log.warn({ request_id, code, detail }, 'answer cut off in transit')
}

/** Slow answers may take 300 s to begin instead of 120 (kiro-protocol §8.4). */
const SLOW_FACTOR = 2.5

interface AttemptPlan {
  readonly way: CallWay
  readonly state: TryState
  readonly invocationId: string
  readonly bill: Bill
}

async function startAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  plans: AttemptPlan
): Promise<Attempt> {
  if (question.capture !== null) await question.capture.payload(question.payload)
  const { payload, plan, waiter, signal } = question
  const { way } = plans
  const permit = await acquireFor(way, plane, question)
  try {
    const { form } = way // it may have been learnt during the wait
    const owner = { key: waiter.key, signal }
    if (payload.form !== form) await reformPayload(plane.transforms, payload, plan, { form, owner })
    return makeAttempt(plane, question, { ...plans, permit })
  } catch (cause) {
    permit.release() // there was no memory for the other form
    throw cause
  }
}

function makeAttempt(
  plane: DataPlane,
  question: UpstreamQuestion,
  { way, state, invocationId, bill, permit }: AttemptPlan & { readonly permit: Permit }
): Attempt {
  const { plan, payload, room, waiter } = question
  const { upstream, models } = plane.current.config
  const { snapshot, host, approach, form } = way
  const request = generationRequest({
    payload: payload.bytes,
    snapshot,
    host,
    approach,
    form,
    userAgent: upstream.userAgent,
    invocationId,
    attempt: state.attempt - state.sentFrom + 1,
    maxAttempts: upstream.maxAttempts,
    bodyTimeoutMs: upstream.readTimeoutMs
  })
  const known = { models: plane.models.catalogue.models, windows: models.windows }
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
      contextWindowOf: (id) => contextWindowOf(id, known),
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

/** Adds the client's token limit if the upstream was not told. */
function boundedPlan({ plan, payload }: Pick<UpstreamQuestion, 'plan' | 'payload'>): ReplyPlan {
  const { maxTokens } = plan.fields ?? {}
  if (maxTokens === undefined || !payload.has('fields-refused')) return plan
  return { ...plan, maxOutputTokens: Math.min(maxTokens, plan.maxOutputTokens ?? Infinity) }
}
