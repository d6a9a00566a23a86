import t from 'tap'
import { systemClock } from '../../src/credentials/renew.ts'

t.test('systemClock', (t) => {
  t.test('tells epoch time', (t) => {
    t.ok(Math.abs(systemClock.now() - Date.now()) < 1000)
    t.end()
  })
  t.test('runs later, unless called off', async (t) => {
    const cancel = systemClock.after(0, () => t.fail('was called off'))
    cancel()
    const { promise, resolve } = Promise.withResolvers<void>()
    systemClock.after(1, resolve)
    await Promise.all([promise, systemClock.sleep(5, new AbortController().signal)])
  })
  t.test('stops sleeping when told to', async (t) => {
    const abort = new AbortController()
    const sleeping = systemClock.sleep(60_000, abort.signal)
    abort.abort()
    await t.rejects(sleeping, { name: 'AbortError' })
  })
  t.end()
})
