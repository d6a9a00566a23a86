import assert from 'node:assert'
import t from 'tap'
import {
  type Leave,
  MAX_WAITING,
  nextStep,
  type SocketEvent,
  type SocketState,
  type SocketStep
} from '../../../src/server/socket/next-step.ts'
import * as fc from '../../helper/fast-check.ts'

const RESTART: Leave = { code: 1012, reason: 'restart', refusal: 'GW_DRAINING' }
const OLD: Leave = { code: 1001, reason: 'old', refusal: 'GW_BODY_INVALID' }
const IDLE = { name: 'idle' } as const
const CLOSED = { name: 'closed' } as const
const NONE = { type: 'none' } as const
const full = Array.from({ length: MAX_WAITING }, (_, index) => `w${index}`)

function answering(
  waiting: readonly string[] = [],
  farewell: Leave | null = null
): SocketState<string> {
  return { name: 'answering', waiting, farewell }
}

const create: SocketEvent<string> = { type: 'create', message: 'm' }
const answered: SocketEvent<string> = { type: 'answered' }
const leave: SocketEvent<string> = { type: 'leave', farewell: RESTART }
const gone: SocketEvent<string> = { type: 'gone' }
const withdraw: SocketEvent<string> = { type: 'withdraw', isMeant: (one) => one === 'a' }

function close(farewell: Leave, dropped: readonly string[] = []): SocketStep<string> {
  return { state: CLOSED, action: { type: 'close', farewell, dropped } }
}

function forget(dropped: readonly string[] = []): SocketStep<string> {
  return { state: CLOSED, action: { type: 'forget', dropped } }
}

const rows: readonly (readonly [
  string,
  SocketState<string>,
  SocketEvent<string>,
  SocketStep<string>
])[] = [
  ['idle', IDLE, create, { state: answering(), action: { type: 'answer', message: 'm' } }],
  ['idle', IDLE, leave, close(RESTART)],
  ['idle', IDLE, gone, forget()],
  ['answering', answering(), create, { state: answering(['m']), action: NONE }],
  ['answering', answering(), answered, { state: IDLE, action: NONE }],
  ['answering', answering(), leave, { state: answering([], RESTART), action: NONE }],
  ['answering', answering(), gone, forget()],
  [
    'answering, others wait',
    answering(['a', 'b']),
    answered,
    { state: answering(['b']), action: { type: 'answer', message: 'a' } }
  ],
  ['answering, others wait', answering(['a', 'b']), gone, forget(['a', 'b'])],
  ['answering, no more may wait', answering(full), gone, forget(full)],
  [
    'answering, no more may wait',
    answering(full),
    create,
    { state: answering(full), action: { type: 'decline', message: 'm' } }
  ],
  ['idle', IDLE, withdraw, { state: IDLE, action: NONE }],
  [
    'answering, others wait',
    answering(['a', 'b']),
    withdraw,
    { state: answering(['b']), action: { type: 'withdraw', dropped: ['a'] } }
  ],
  ['closed', CLOSED, withdraw, forget()],
  ['about to leave', answering(['a'], OLD), answered, close(OLD, ['a'])],
  [
    'about to leave for another reason',
    answering([], OLD),
    leave,
    { state: answering([], OLD), action: NONE }
  ],
  ['closed', CLOSED, create, forget(['m'])],
  ['closed', CLOSED, answered, forget()],
  ['closed', CLOSED, leave, forget()],
  ['closed', CLOSED, gone, forget()]
]

for (const [name, state, event, step] of rows) {
  t.test(`${name}: ${event.type}`, async (t) => t.same(nextStep(state, event), step))
}

t.test('an answer that nobody asked for is a bug', async (t) => {
  t.throws(() => nextStep<string>(IDLE, answered))
})

t.test(
  'each request is answered, declined or dropped once, and none after the connection is to leave',
  async () => {
    const many = Array.from({ length: 12 }, () => 'create' as const)
    const events = fc.array(fc.constantFrom(...many, 'answered', 'leave', 'gone'), {
      maxLength: 100
    })
    fc.assert(
      fc.property(events, (names) => {
        let state: SocketState<number> = IDLE
        const told: number[] = []
        const declined = new Set<number>()
        let sent = 0
        for (const name of [...names, 'gone']) {
          if (name === 'answered' && state.name !== 'answering') continue
          const isLeaving = state.name === 'answering' && state.farewell !== null
          const event = ((): SocketEvent<number> => {
            if (name === 'create') return { type: 'create', message: sent++ }
            if (name === 'leave') return { type: 'leave', farewell: OLD }
            return name === 'answered' ? { type: 'answered' } : { type: 'gone' }
          })()
          const step: SocketStep<number> = nextStep(state, event)
          state = step.state
          if (step.action.type === 'answer') {
            assert(!isLeaving)
            told.push(step.action.message)
          } else if (step.action.type === 'decline') declined.add(step.action.message)
          else if (step.action.type !== 'none') told.push(...step.action.dropped)
        }
        const others = [...Array(sent).keys()].filter((one) => !declined.has(one))
        assert.deepEqual(told, others, 'in their order')
      })
    )
  }
)
