import assert from 'node:assert'
import t from 'tap'
import {
  type Farewell,
  MAX_WAITING,
  nextStep,
  type SocketEvent,
  type SocketState,
  type SocketStep
} from '../../../src/server/socket/next-step.ts'
import * as fc from '../../helper/fast-check.ts'

const RESTART: Farewell = { code: 1012, reason: 'restart' }
const OLD: Farewell = { code: 1001, reason: 'old' }
const IDLE = { name: 'idle' } as const
const CLOSED = { name: 'closed' } as const
const NONE = { type: 'none' } as const
const full = Array.from({ length: MAX_WAITING }, (_, index) => `w${index}`)

function answering(
  waiting: readonly string[] = [],
  farewell: Farewell | null = null
): SocketState<string> {
  return { name: 'answering', waiting, farewell }
}

const create: SocketEvent<string> = { type: 'create', message: 'm' }
const answered: SocketEvent<string> = { type: 'answered' }
const leave: SocketEvent<string> = { type: 'leave', farewell: RESTART }
const gone: SocketEvent<string> = { type: 'gone' }

function close(farewell: Farewell, dropped: readonly string[] = []): SocketStep<string> {
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

t.test('one request too many closes the connection and drops all that wait', async (t) => {
  const { state, action } = nextStep(answering(full), create)
  t.same(state, CLOSED)
  t.match(action, { type: 'close', farewell: { code: 1008 }, dropped: [...full, 'm'] })
})

t.test('an answer that nobody asked for is a bug', async (t) => {
  t.throws(() => nextStep<string>(IDLE, answered))
})

t.test(
  'each request is answered or dropped once, and none after the connection is to leave',
  async () => {
    const events = fc.array(fc.constantFrom('create', 'answered', 'leave', 'gone'), {
      maxLength: 40
    })
    fc.assert(
      fc.property(events, (names) => {
        let state: SocketState<number> = IDLE
        const told: number[] = []
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
          } else if (step.action.type !== 'none') told.push(...step.action.dropped)
        }
        assert.deepEqual(told, [...Array(sent).keys()], 'in their order')
      })
    )
  }
)
