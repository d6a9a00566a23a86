import t from 'tap'
import { KeyExpiry } from '../../../src/server/worker/key-expiry.ts'
import { namedKey } from '../../helper/named-key.ts'

t.test('a key whose end comes between two looks at the clock is told', async (t) => {
  let clock = Date.now()
  t.intercept(Date, 'now', { value: () => clock++ })
  const { promise: told, resolve } = Promise.withResolvers<void>()
  const expiry = new KeyExpiry(resolve)
  const awake = setInterval(() => {}, 1_000) // the timer of the expiry keeps no process alive
  t.teardown(() => {
    clearInterval(awake)
    expiry.close()
  })
  expiry.watch([namedKey({ expiresAt: clock + 2 })])
  await told
})
