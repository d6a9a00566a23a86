import t from 'tap'
import { type Replacement, rollingRestart } from '../../../src/control/workers/supervisor.ts'

/** A supervisor of three slots whose replacements end when the test says so. */
function setUp() {
  const lines: string[] = []
  const asked: { readonly id: number; readonly end: (outcome: Replacement) => void }[] = []
  const log = (...args: readonly unknown[]): void => void lines.push(String(args.at(-1)))
  const supervisor: Parameters<typeof rollingRestart>[0] = {
    states: () => [1, 2, 3].map((id) => ({ id, pid: id, state: { name: 'ready', failures: 0 } })),
    replace: (id) => new Promise((end) => asked.push({ id, end }))
  }
  const restart = rollingRestart(supervisor, { info: log, error: log } as never)
  return { restart, asked, lines, ids: () => asked.map(({ id }) => id) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('rollingRestart()', (t) => {
  t.test('replaces one worker after the other', async (t) => {
    const { restart, asked, lines, ids } = setUp()
    const over = restart()
    for (const [index] of [1, 2, 3].entries()) {
      await turn()
      t.equal(asked.length, index + 1)
      asked[index]?.end({ name: 'replaced' })
    }
    await over
    t.same(ids(), [1, 2, 3])
    t.equal(lines.at(-1), 'rolling restart complete')
  })

  t.test('stops when a new worker fails, and can be tried again', async (t) => {
    const { restart, asked, lines, ids } = setUp()
    const over = restart()
    asked[0]?.end({ name: 'failed', reason: 'exit code 1' })
    await over
    t.same(ids(), [1])
    t.match(lines.at(-1), 'stopped')
    void restart()
    t.same(ids(), [1, 1])
  })

  t.test('stops when the gateway ends', async (t) => {
    const { restart, asked, ids } = setUp()
    const over = restart()
    asked[0]?.end({ name: 'drained' })
    await over
    t.same(ids(), [1])
  })

  t.test('is one, however often it is asked for', async (t) => {
    const { restart, ids, lines } = setUp()
    const first = restart()
    t.equal(restart(), first)
    t.same(ids(), [1])
    t.equal(lines.at(-1), 'a rolling restart is already running')
  })
  t.end()
})
