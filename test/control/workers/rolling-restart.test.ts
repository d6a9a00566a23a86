import t from 'tap'
import { RollingRestart } from '../../../src/control/workers/rolling-restart.ts'
import type { Replacement } from '../../../src/control/workers/supervisor.ts'

/** A supervisor of three slots whose replacements end when the test says so. */
function setUp() {
  const lines: string[] = []
  const asked: { readonly id: number; readonly end: (outcome: Replacement) => void }[] = []
  const log = (...args: readonly unknown[]): void => void lines.push(String(args.at(-1)))
  const rolling = new RollingRestart({
    log: { info: log, error: log } as never,
    supervisor: {
      states: () => [1, 2, 3].map((id) => ({ id, pid: id, state: { name: 'ready', failures: 0 } })),
      replace: (id) => new Promise((end) => asked.push({ id, end }))
    }
  })
  return { rolling, asked, lines, ids: () => asked.map(({ id }) => id) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('RollingRestart', (t) => {
  t.test('replaces one worker after the other', async (t) => {
    const { rolling, asked, lines, ids } = setUp()
    const over = rolling.run()
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
    const { rolling, asked, lines, ids } = setUp()
    const over = rolling.run()
    asked[0]?.end({ name: 'failed', reason: 'exit code 1' })
    await over
    t.same(ids(), [1])
    t.match(lines.at(-1), 'stopped')
    void rolling.run()
    t.same(ids(), [1, 1])
  })

  t.test('stops when the gateway ends', async (t) => {
    const { rolling, asked, ids } = setUp()
    const over = rolling.run()
    asked[0]?.end({ name: 'drained' })
    await over
    t.same(ids(), [1])
  })

  t.test('is one, however often it is asked for', async (t) => {
    const { rolling, ids, lines } = setUp()
    const first = rolling.run()
    t.equal(rolling.run(), first)
    t.same(ids(), [1])
    t.equal(lines.at(-1), 'rolling restart goes on already')
  })
  t.end()
})
