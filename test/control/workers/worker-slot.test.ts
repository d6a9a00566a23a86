import t from 'tap'
import {
  CRASH_LOOP_FAILURES,
  isCrashLooping,
  nextSlotState,
  type SlotEvent,
  type SlotState
} from '../../../src/control/workers/worker-slot.ts'

const policy = { firstMs: 50, maxMs: 400 }
const empty = { name: 'empty' } as const
const draining = { name: 'draining' } as const
const stopped = { name: 'stopped' } as const
const starting = (failures: number): SlotState => ({ name: 'starting', failures })
const ready = (failures: number): SlotState => ({ name: 'ready', failures })
const replacing = (failures: number): SlotState => ({ name: 'replacing', failures })
const backoff = (failures: number, delayMs: number): SlotState => ({
  name: 'backoff',
  failures,
  delayMs
})

const events = [
  'start',
  'ready',
  'settled',
  'exit',
  'retry',
  'replace',
  'successor ready',
  'successor exit',
  'drain'
] as const satisfies readonly SlotEvent[]

/** What can happen in each state; every other event is a bug there. */
const table: readonly (readonly [SlotState, Readonly<Partial<Record<SlotEvent, SlotState>>>])[] = [
  [empty, { start: starting(0), drain: stopped }],
  [starting(2), { ready: ready(2), exit: backoff(3, 200), drain: draining }],
  [ready(2), { settled: ready(0), exit: backoff(3, 200), replace: replacing(2), drain: draining }],
  [
    replacing(2),
    {
      exit: starting(3),
      'successor ready': ready(2),
      'successor exit': ready(2),
      drain: draining
    }
  ],
  [backoff(2, 100), { retry: starting(2), drain: stopped }],
  [draining, { ready: draining, exit: stopped, drain: draining }],
  [stopped, { drain: stopped }]
]

t.test('nextSlotState()', (t) => {
  for (const [state, row] of table) {
    for (const event of events) {
      const expected = row[event]
      t.test(`${state.name}, ${event}: ${expected?.name ?? 'is a bug'}`, async (t) => {
        if (expected === undefined) {
          t.throws(() => nextSlotState(state, event, policy), /cannot happen/)
        } else t.strictSame(nextSlotState(state, event, policy), expected)
      })
    }
  }
  t.test(
    'doubles the delay up to the maximum, and begins anew once a worker has settled',
    async (t) => {
      const delays: number[] = []
      let state = starting(0)
      for (let deaths = 0; deaths < 6; deaths++) {
        state = nextSlotState(state, 'exit', policy)
        if (state.name === 'backoff') delays.push(state.delayMs)
        state = nextSlotState(nextSlotState(state, 'retry', policy), 'ready', policy)
      }
      t.strictSame(delays, [50, 100, 200, 400, 400, 400])
      t.strictSame(
        nextSlotState(nextSlotState(state, 'settled', policy), 'exit', policy),
        backoff(1, 50)
      )
    }
  )
  t.test('has a delay after any number of deaths', async (t) => {
    t.strictSame(nextSlotState(starting(5000), 'exit', policy), backoff(5001, 400))
  })
  t.end()
})

t.test('isCrashLooping()', async (t) => {
  t.equal(isCrashLooping(backoff(CRASH_LOOP_FAILURES - 1, 1)), false)
  t.equal(isCrashLooping(backoff(CRASH_LOOP_FAILURES, 1)), true)
  t.equal(isCrashLooping(starting(CRASH_LOOP_FAILURES)), true)
  t.equal(isCrashLooping(ready(CRASH_LOOP_FAILURES)), true, 'until it has settled')
  t.equal(isCrashLooping(replacing(CRASH_LOOP_FAILURES)), true)
  t.equal(isCrashLooping(draining), false)
  t.equal(isCrashLooping(stopped), false)
})
