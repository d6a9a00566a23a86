import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { StallWatch } from '../../../src/control/workers/stall-watch.ts'
import { BEAT_MS } from '../../../src/ipc/life-signs.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

mock.timers.enable({ apis: ['setInterval'] })
t.teardown(() => mock.timers.reset())

interface Watched {
  readonly id: number
  readonly pid: number
  isDebugged: boolean
  kill(reason?: string): void
}

/** A watch over two workers, of which the second lives. */
function setUp(t: Test, timeoutMs: number | null = 4 * BEAT_MS) {
  const killed: string[] = []
  const seen: string[] = []
  const recorded = recordedLog()
  const workerOf = (id: number): Watched => ({
    id,
    pid: 100 + id,
    isDebugged: false,
    kill: (reason) => void killed.push(`${id}: ${reason}`)
  })
  const workers = { first: workerOf(1), second: workerOf(2) }
  const watch = new StallWatch<Watched>({
    timeoutMs: () => timeoutMs,
    log: recorded.log,
    onStalled: ({ id }) => void seen.push(`${id} stalled`),
    onChange: () => void seen.push(`101 is ${watch.isSuspect(101) ? '' : 'not '}suspect`),
    onBeat: () => {}
  })
  t.teardown(() => watch.close())
  watch.add(workers.first)
  watch.add(workers.second)
  watch.heard(workers.first)
  const pass = (beats: number): void => {
    for (let i = 0; i < beats; i++) {
      watch.heard(workers.second)
      mock.timers.tick(BEAT_MS)
    }
  }
  return { watch, ...workers, pass, killed, seen, text: recorded.text }
}

t.test('a worker without a sign of life', async (t) => {
  t.test('is suspected first, then killed, once, with a line that says which one', async (t) => {
    const { pass, killed, seen, text } = setUp(t)
    pass(4)
    t.same(seen, ['101 is suspect'])
    t.same(killed, [])
    pass(20)
    t.same(killed, ['1: gave no sign of life for 4 s'])
    t.same(seen, ['101 is suspect', '1 stalled', '101 is not suspect'])
    t.match(
      text(),
      /"workerId":1,"workerPid":101,"silentMs":4000,"msg":"worker hangs and is killed"/
    )
  })

  t.test('that gives one in the end lives', async (t) => {
    const { watch, first, pass, killed, seen } = setUp(t)
    pass(4)
    watch.heard(first)
    t.same(seen, ['101 is suspect', '101 is not suspect'])
    pass(4)
    t.same(killed, [])
  })

  t.test('may take longer to load its code', async (t) => {
    const { watch, pass, killed } = setUp(t)
    const third = { id: 3, pid: 103, isDebugged: false, kill: () => void killed.push('3') }
    watch.add(third)
    pass(30)
    t.notOk(killed.includes('3'))
    pass(1)
    t.ok(killed.includes('3'))
  })

  t.test('is left to the debugger that it says it has', async (t) => {
    const { first, pass, killed } = setUp(t)
    first.isDebugged = true
    pass(50)
    t.same(killed, [])
    first.isDebugged = false
    pass(1)
    t.equal(killed.length, 1)
  })

  t.test('is no concern when it has died, or where nobody is to be killed', async (t) => {
    const { watch, first, pass, killed } = setUp(t)
    pass(4)
    watch.remove(first)
    t.notOk(watch.isSuspect(101))
    pass(50)
    t.same(killed, [])
    const none = setUp(t, null)
    none.pass(50)
    t.same(none.killed, [])
    t.same(none.seen, [])
  })
})
