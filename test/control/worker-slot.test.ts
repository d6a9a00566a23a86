import t from 'tap'
import {
  CRASH_LOOP_FAILURES,
  isCrashLooping,
  nextSlotState,
  type SlotEvent,
  type SlotState
} from '../../src/control/worker-slot.ts'

const policy = { firstMs: 50, maxMs: 400 }
const draining = { name: 'draining' } as const
const stopped = { name: 'stopped' } as const
const starting = (failures: number): SlotState => ({ name: 'starting', failures })
const ready = (failures: number): SlotState => ({ name: 'ready', failures })
const backoff = (failures: number, delayMs: number): SlotState => ({
  name: 'backoff',
  failures,
  delayMs
})

/** Every state × event; `null` cannot happen. */
const table: readonly (readonly [SlotState, Readonly<Record<SlotEvent, SlotState | null>>])[] = [
  [
    starting(2),
    { ready: ready(2), settled: null, exit: backoff(3, 200), retry: null, drain: draining }
  ],
  [
    ready(2),
    { ready: null, settled: ready(0), exit: backoff(3, 200), retry: null, drain: draining }
  ],
  [backoff(2, 100), { ready: null, settled: null, exit: null, retry: starting(2), drain: stopped }],
  [draining, { ready: draining, settled: null, exit: stopped, retry: null, drain: draining }],
  [stopped, { ready: null, settled: null, exit: null, retry: null, drain: stopped }]
]

t.test('nextSlotState()', (t) => {
  for (const [state, row] of table) {
    for (const [event, expected] of Object.entries(row) as [SlotEvent, SlotState | null][]) {
      t.test(`${state.name}, ${event}: ${expected?.name ?? 'is a bug'}`, async (t) => {
        if (expected === null) t.throws(() => nextSlotState(state, event, policy), /cannot happen/)
        else t.strictSame(nextSlotState(state, event, policy), expected)
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
  t.equal(isCrashLooping(draining), false)
  t.equal(isCrashLooping(stopped), false)
})
