import type { ErrorCode } from '../../shared/errors.ts'

/** Close code and reason (RFC 6455 §7.4). Clients reconnect after 1001, 1011, 1012 and 1013 only. */
export interface Farewell {
  readonly code: 1001 | 1008 | 1009 | 1012 | 1013
  readonly reason: string
}

/** Ends a connection after the answer under way. */
export interface Leave extends Farewell {
  /** Error of requests that still wait for their answer: nothing of them was done. */
  readonly refusal: ErrorCode
  /** OpenAI's name of it, where clients know one. */
  readonly errorCode?: string
}

/**
 * One connection; `Message` is a `response.create` that may be answered.
 *
 *            create                 answered, another waits
 *   idle ──────────────▶ answering ────────────────────────▶ answering
 *    ▲ │                    │  │ leave: after this answer
 *    │ └──leave──▶ closed ◀─│──┘
 *    └──────answered────────┘
 */
export type SocketState<Message> =
  | { readonly name: 'idle' }
  | {
      readonly name: 'answering'
      /** In the order in which they came. Bounded by MAX_WAITING. */
      readonly waiting: readonly Message[]
      readonly farewell: Leave | null
    }
  | { readonly name: 'closed' }

export type SocketEvent<Message> =
  | { readonly type: 'create'; readonly message: Message }
  | { readonly type: 'answered' }
  | { readonly type: 'withdraw'; readonly isMeant: (message: Message) => boolean }
  | { readonly type: 'leave'; readonly farewell: Leave }
  | { readonly type: 'gone' }

export type SocketAction<Message> =
  | { readonly type: 'none' }
  | { readonly type: 'answer'; readonly message: Message }
  | { readonly type: 'decline'; readonly message: Message }
  | { readonly type: 'withdraw'; readonly dropped: readonly Message[] }
  | { readonly type: 'close'; readonly farewell: Leave; readonly dropped: readonly Message[] }
  | { readonly type: 'forget'; readonly dropped: readonly Message[] }

export interface SocketStep<Message> {
  readonly state: SocketState<Message>
  readonly action: SocketAction<Message>
}

/** Requests that a client may send before it has its answer: OpenAI takes 32 lanes. */
export const MAX_WAITING = 32

const CLOSED = { name: 'closed' } as const
const NONE = { type: 'none' } as const

/** One answer at a time, in the order of the requests; a connection that is to leave ends with its answer. */
export function nextStep<Message>(
  state: SocketState<Message>,
  event: SocketEvent<Message>
): SocketStep<Message> {
  switch (state.name) {
    case 'closed':
      return { state, action: { type: 'forget', dropped: droppedBy(event) } }
    case 'idle':
      return whenIdle(event)
    case 'answering':
      return whenAnswering(state, event)
  }
  return { state, action: NONE }
}

function whenIdle<Message>(event: SocketEvent<Message>): SocketStep<Message> {
  switch (event.type) {
    case 'create': {
      const { message } = event
      const state = { name: 'answering', waiting: [], farewell: null } as const
      return { state, action: { type: 'answer', message } }
    }
    case 'withdraw':
      return { state: { name: 'idle' }, action: NONE }
    case 'leave':
      return { state: CLOSED, action: { type: 'close', farewell: event.farewell, dropped: [] } }
    case 'gone':
      return { state: CLOSED, action: { type: 'forget', dropped: [] } }
    case 'answered':
      throw new Error('an answer has ended that nobody asked for')
  }
  return { state: { name: 'idle' }, action: NONE }
}

function whenAnswering<Message>(
  state: Extract<SocketState<Message>, { readonly name: 'answering' }>,
  event: SocketEvent<Message>
): SocketStep<Message> {
  const { waiting, farewell } = state
  switch (event.type) {
    case 'create': {
      const { message } = event
      if (waiting.length >= MAX_WAITING) return { state, action: { type: 'decline', message } }
      return { state: { ...state, waiting: [...waiting, message] }, action: NONE }
    }
    case 'withdraw': {
      const others = waiting.filter((message) => !event.isMeant(message))
      const dropped = waiting.filter((message) => event.isMeant(message))
      return { state: { ...state, waiting: others }, action: { type: 'withdraw', dropped } }
    }
    case 'leave':
      return { state: { ...state, farewell: farewell ?? event.farewell }, action: NONE }
    case 'gone':
      return { state: CLOSED, action: { type: 'forget', dropped: waiting } }
    case 'answered': {
      if (farewell !== null)
        return { state: CLOSED, action: { type: 'close', farewell, dropped: waiting } }
      const [message, ...others] = waiting
      if (message === undefined) return { state: { name: 'idle' }, action: NONE }
      return { state: { ...state, waiting: others }, action: { type: 'answer', message } }
    }
  }
  return { state, action: NONE }
}

function droppedBy<Message>(event: SocketEvent<Message>): readonly Message[] {
  return event.type === 'create' ? [event.message] : []
}
