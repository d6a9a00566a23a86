import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import {
  type ConversationParts,
  fieldsLesson,
  leftPaths,
  refusedPath
} from '../../kiro/conversation/conversation-memory.ts'
import { UpstreamLimits } from '../../kiro/rules/rules.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { GatewayError } from '../../shared/errors.ts'
import type { PayloadChange, RequestPayload } from '../../upstream/call/requests.ts'
import { type Approach, decideRetry, type RetryLimits } from '../../upstream/call/retry.ts'

/*
 * Decides what follows a call that was not answered: a pure function of what was tried before, how the call failed and what
 * could be done about it (kiro-protocol §8.3).
 *
 *                  ┌────────── try again: the same request, after a wait ◀─────────┐
 *                  ▼                                                               │
 *   question ──▶ call ──failed──▶ another way? ──no──▶ another payload? ──no──▶ once more? ──no──▶ give up
 *                ▲ ▲ │                │ yes                │ yes                                   ▲
 *                │ └─┼────────────────┘ token, profile,    │ without reasoning, documents, fields  │
 *                │   │                  host, form         │ or the oldest turns                   │
 *                │   │                                     │                                       │
 *                └───┼─────────────────────────────────────┘                                       │
 *                    ├─ answered ──▶ what was left out on suspicion is remembered as refused     │
 *                    └─ failed after a byte went to the client, or without a client ───────────────┘
 *
 * Both kinds of changes together are made MAX_CHANGES times at most.
 */

export interface TryState {
  /** Attempts with this payload, from 1. */
  readonly attempt: number
  /** First attempt under the current invocation id. */
  readonly sentFrom: number
  readonly changes: number
  /** No more turns can be dropped. */
  readonly isShortest: boolean
  /** Answered if the request fails without the parts that were left out on suspicion. */
  readonly refusal: GatewayError | null
  /** Remembered if it succeeds without them. */
  readonly lessons: readonly ConversationParts[]
}

export const FIRST_TRY: TryState = {
  attempt: 1,
  sentFrom: 1,
  changes: 0,
  isShortest: false,
  refusal: null,
  lessons: []
}

export interface FailedTry {
  readonly error: GatewayError
  readonly fault: UpstreamFault | null
  /** The client has a byte of the answer, or is gone. */
  readonly isFinal: boolean
}

export interface TryMeans {
  readonly approach: Approach
  readonly another: Approach | null
  /** Error for the client if nothing follows: the first form's if both were refused. */
  readonly told: GatewayError
  readonly plan: Pick<ReplyPlan, 'replay' | 'documents' | 'fields' | 'upstreamModel'>
  readonly payload: Pick<RequestPayload, 'has' | 'droppedFields' | 'byteLength'>
  /** `CredentialSnapshot.id` */
  readonly account: string
  readonly mayTrim: boolean
  readonly isModelListed: boolean
  /** `null`: nothing is sent again. */
  readonly retry: RetryLimits | null
}

export type PayloadStep =
  | { readonly name: 'reasoning-refused' }
  | { readonly name: 'document-refused'; readonly lesson: ConversationParts }
  | {
      readonly name: 'fields-refused'
      readonly refused: readonly string[]
      readonly lesson: ConversationParts
    }
  | { readonly name: 'history-trimmed' }

export type NextTry =
  | (NextCall & { readonly type: 'change-way'; readonly approach: Approach })
  | (NextCall & { readonly type: 'change-payload'; readonly change: PayloadStep })
  | (NextCall & { readonly type: 'again'; readonly delayMs: number })
  | { readonly type: 'give-up'; readonly error: GatewayError }

export interface NextCall {
  readonly state: TryState
  /** Another request to the upstream, with a new invocation id. */
  readonly isNewCall: boolean
}

/** Changes of any kind per request (kiro-protocol §8.3). */
const MAX_CHANGES = 3

export function mayChange({ changes }: TryState): boolean {
  return changes < MAX_CHANGES
}

/** Pure. */
export function nextTry(state: TryState, failed: FailedTry, means: TryMeans): NextTry {
  const { error, isFinal } = failed
  if (isFinal) return { type: 'give-up', error }
  const change = mayChange(state) ? changeAfter(state, failed, means) : null
  if (change !== null) return change
  const delayMs = means.retry === null ? null : retryDelay(state, failed, means, means.retry)
  if (delayMs === null) {
    const { refusal } = state
    const isRefused = refusal !== null && error.code === 'GW_UPSTREAM_REFUSED'
    return { type: 'give-up', error: isRefused ? refusal : means.told }
  }
  const attempt = state.attempt + 1
  const isNewCall = isEmptyAnswer(failed)
  return { type: 'again', delayMs, isNewCall, state: called({ ...state, attempt }, isNewCall) }
}

function changeAfter(state: TryState, failed: FailedTry, means: TryMeans): NextTry | null {
  const { approach: before, another: approach, told } = means
  const changes = state.changes + 1
  if (approach !== null) {
    const isNewCall = approach.hasRenewedToken === before.hasRenewedToken
    const next = called({ ...state, changes }, isNewCall)
    return { type: 'change-way', approach, isNewCall, state: next }
  }
  const change = payloadStep(state, failed, means)
  if (change === null) return null
  const next = called({ ...state, changes, attempt: 1 }, true)
  if (!('lesson' in change)) return { type: 'change-payload', change, isNewCall: true, state: next }
  const refusal = state.refusal ?? told
  const lessons = [...state.lessons, change.lesson]
  const suspicious = { ...next, refusal, lessons }
  return { type: 'change-payload', change, isNewCall: true, state: suspicious }
}

function called(state: TryState, isNewCall: boolean): TryState {
  return isNewCall ? { ...state, sentFrom: state.attempt } : state
}

function payloadStep(state: TryState, failed: FailedTry, means: TryMeans): PayloadStep | null {
  const { error, fault } = failed
  const { plan, payload, mayTrim } = means
  const mayMake = (name: PayloadChange): boolean => !payload.has(name)
  if (fault?.remedy === 'strip-reasoning' && plan.replay && mayMake('reasoning-refused')) {
    return { name: 'reasoning-refused' }
  }
  const isTooLong = error.code === 'GW_CONTEXT_OVERFLOW'
  const isAboutDocuments = mayBeDocuments(fault) || (isTooLong && mayFitWithoutDocuments(payload))
  if (plan.documents && isAboutDocuments && mayMake('document-refused')) {
    return { name: 'document-refused', lesson: plan.documents }
  }
  const fields = fault?.remedy === 'drop-fields' ? fieldsStep(fault, means) : null
  if (fields !== null) return fields
  const mayShorten = isTooLong && mayTrim && !state.isShortest && mayMake('history-trimmed')
  return mayShorten ? { name: 'history-trimmed' } : null
}

/** Drops the field that a refusal names; all, if it names none or one was dropped before. */
function fieldsStep({ message }: UpstreamFault, means: TryMeans): PayloadStep | null {
  const { plan, payload, account } = means
  const left = leftPaths(plan.fields?.paths ?? [], payload.droppedFields)
  if (left.length === 0) return null
  const named = refusedPath(left, message)
  const isSecond = payload.has('fields-refused')
  const refused = named === null || isSecond ? left : [named]
  const party = { account, model: plan.upstreamModel }
  const lesson = fieldsLesson(party, named === null && !isSecond ? 'all' : refused)
  return { name: 'fields-refused', refused, lesson }
}

/** A refusal without another remedy (kiro-protocol §4.15), except an organisation's key. */
function mayBeDocuments(fault: UpstreamFault | null): boolean {
  if (fault?.status !== 400 || fault.code !== 'GW_UPSTREAM_REFUSED') return false
  return ['none', 'other-form'].includes(fault.remedy) && fault.reason?.includes('KMS') !== true
}

/** Documents weigh far more than their text; without them the conversation can go on growing. */
function mayFitWithoutDocuments({ byteLength }: TryMeans['payload']): boolean {
  return byteLength <= UpstreamLimits.payloadWeight + UpstreamLimits.documentChars
}

/** Limit, because empty answers may have been paid for. */
const MAX_EMPTY_ANSWERS = 3

/** An answer of nothing (kiro-protocol §5.11), which no refusal reports. */
function isEmptyAnswer({ fault, error }: FailedTry): boolean {
  return fault === null && error.code === 'GW_UPSTREAM_OVERLOADED'
}

function retryDelay(
  { attempt }: TryState,
  failed: FailedTry,
  { isModelListed }: TryMeans,
  limits: RetryLimits
): number | null {
  const maxAttempts = isEmptyAnswer(failed)
    ? Math.min(limits.maxAttempts, MAX_EMPTY_ANSWERS)
    : limits.maxAttempts
  const cause = failed.fault ?? failed.error
  return decideRetry(cause, { attempt, isModelListed }, { ...limits, maxAttempts })
}
