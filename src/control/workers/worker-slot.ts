/**
 * Place of a worker in the cluster.
 *
 * ```
 *     empty
 *     start
 *       ▼
 *   starting ──ready──▶ ready ──settled──▶ ready (failures forgotten)
 *   ▲ ▲  └──exit──▶ backoff ◀──exit───┘ │ ▲
 *   │ └────retry───────┘        replace │ │ successor ready: it is the worker now, and the old one leaves
 *   │                                   ▼ │ successor exit: the old one stays
 *   └──────exit: the successor is ── replacing
 *          the worker now                      any ──drain──▶ draining ──exit──▶ stopped
 * ```
 * A worker that leaves for its successor belongs to no slot any more.
 */
export type SlotState =
  | { readonly name: 'empty' }
  | { readonly name: 'starting'; readonly failures: number }
  | { readonly name: 'backoff'; readonly failures: number; readonly delayMs: number }
  | { readonly name: 'ready' | 'replacing'; readonly failures: number }
  | { readonly name: 'draining' }
  | { readonly name: 'stopped' }

export type SlotEvent =
  | 'start'
  | 'ready'
  | 'settled'
  | 'exit'
  | 'retry'
  | 'replace'
  | 'successor ready'
  | 'successor exit'
  | 'drain'

export interface BackoffPolicy {
  readonly firstMs: number
  readonly maxMs: number
}

/** Consecutive deaths without `settled` in between. */
export const CRASH_LOOP_FAILURES = 3

/** @throws Error if the event cannot happen in this state, which is a bug. */
export function nextSlotState(
  state: SlotState,
  event: SlotEvent,
  policy: BackoffPolicy
): SlotState {
  switch (event) {
    case 'start':
      if (state.name === 'empty') return { name: 'starting', failures: 0 }
      break
    case 'ready':
      if (state.name === 'starting') return { name: 'ready', failures: state.failures }
      if (state.name === 'draining') return state // it was told to drain while it started
      break
    case 'settled':
      if (state.name === 'ready') return { name: 'ready', failures: 0 }
      break
    case 'exit':
      if (state.name === 'draining') return { name: 'stopped' }
      if (state.name === 'replacing') return { name: 'starting', failures: state.failures + 1 }
      if (state.name === 'starting' || state.name === 'ready')
        return backOff(state.failures, policy)
      break
    case 'retry':
      if (state.name === 'backoff') return { name: 'starting', failures: state.failures }
      break
    case 'replace':
      if (state.name === 'ready') return { name: 'replacing', failures: state.failures }
      break
    case 'successor ready':
    case 'successor exit':
      if (state.name === 'replacing') return { name: 'ready', failures: state.failures }
      break
    case 'drain':
      if (state.name === 'empty' || state.name === 'backoff') return { name: 'stopped' }
      if (state.name === 'stopped' || state.name === 'draining') return state
      return { name: 'draining' }
  }
  throw new Error(`slot: "${event}" cannot happen in state "${state.name}"`)
}

export function isCrashLooping(state: SlotState): boolean {
  return 'failures' in state && state.failures >= CRASH_LOOP_FAILURES
}

function backOff(failures: number, { firstMs, maxMs }: BackoffPolicy): SlotState {
  const delayMs = Math.min(maxMs, firstMs * 2 ** failures)
  return { name: 'backoff', failures: failures + 1, delayMs }
}
