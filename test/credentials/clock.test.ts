import t from 'tap'
import { WALL_CLOCK } from '../../src/credentials/renew.ts'

t.test('WALL_CLOCK', (t) => {
  t.test('tells epoch time', (t) => {
    t.ok(Math.abs(WALL_CLOCK.now() - Date.now()) < 1000)
    t.end()
  })
  t.test('runs later, unless called off', async (t) => {
    const cancel = WALL_CLOCK.after(0, () => t.fail('was called off'))
    cancel()
    const { promise, resolve } = Promise.withResolvers<void>()
    WALL_CLOCK.after(1, resolve)
    await Promise.all([promise, WALL_CLOCK.sleep(5, new AbortController().signal)])
  })
  t.test('stops sleeping when told to', async (t) => {
    const abort = new AbortController()
    const sleeping = WALL_CLOCK.sleep(60_000, abort.signal)
    abort.abort()
    await t.rejects(sleeping, { name: 'AbortError' })
  })
  t.end()
})
