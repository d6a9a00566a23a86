import { type ErrorCode, GatewayError } from '../shared/errors.ts'

export interface WaitState {
  readonly waitsFor: 'permit' | 'start' | 'pause'
  readonly budget: number | null
  /** Requests a minute, in a fleet this gateway's part; `null` without limit. */
  readonly pace: number | null
  readonly inUse: number
  readonly waiting: number
  readonly waitedMs: number
  /** Estimated from the rate at which connections come free. */
  readonly retryAfterS: number
}

export function poolTimeout(state: WaitState, poolTimeoutMs: number): GatewayError {
  const within = `within HTTP_POOL_TIMEOUT=${poolTimeoutMs / 1000}s`
  const message =
    `PoolTimeout: ${MISSING[state.waitsFor]} ${within}: ${describe(state)}, ` +
    `waited ${seconds(state.waitedMs)}. ${adviceFor(state, 'HTTP_POOL_TIMEOUT (longer waits)')}`
  return refusal('GW_POOL_TIMEOUT', state, message)
}

export function queueFull(state: WaitState, maxWaiting: number): GatewayError {
  const message =
    `Too many requests are already waiting ${AWAITED[state.waitsFor]}: ${describe(state)} ` +
    `(this worker may queue ${maxWaiting}), waited ${seconds(state.waitedMs)}. ` +
    adviceFor(state, 'HTTP_POOL_MAX_WAITING (a longer queue)')
  return refusal('GW_QUEUE_FULL', state, message)
}

function refusal(code: ErrorCode, state: WaitState, message: string): GatewayError {
  return new GatewayError(code, detailOf(state), { message, retryAfterS: retryAfterOf(state) })
}

const MISSING = {
  permit: 'no upstream connection became free',
  start: 'the request rate limit let no request start',
  pause: 'the pause requested by the upstream did not end'
} as const

const AWAITED = {
  permit: 'for an upstream connection',
  start: 'for the request rate limit',
  pause: 'for the end of a pause requested by the upstream'
} as const

function adviceFor({ waitsFor }: WaitState, other: string): string {
  if (waitsFor === 'pause') return `Send fewer requests at once, or raise ${other}.`
  const first =
    waitsFor === 'start'
      ? 'UPSTREAM_MAX_REQUESTS_PER_MINUTE (more a minute)'
      : 'HTTP_MAX_CONNECTIONS (more at once)'
  return `Raise ${first} or ${other}.`
}

function describe({ waitsFor, budget, pace, inUse, waiting }: WaitState): string {
  const queue = `${waiting} requests waiting`
  if (waitsFor === 'start') return `at most ${pace} requests a minute, ${queue}`
  return `${inUse} of ${budget ?? 'unlimited'} connections in use, ${queue}`
}

function detailOf({ waitsFor }: WaitState): string | undefined {
  return { permit: undefined, start: 'pace', pause: 'pause' }[waitsFor]
}

const LONGEST_RETRY_S = 60

function retryAfterOf({ waitsFor, pace, waiting, retryAfterS }: WaitState): number {
  if (waitsFor !== 'start' || pace === null) return retryAfterS
  return Math.min(LONGEST_RETRY_S, Math.ceil(((waiting + 1) / pace) * 60))
}

function seconds(ms: number): string {
  return `${Math.round(ms / 10) / 100}s`
}
