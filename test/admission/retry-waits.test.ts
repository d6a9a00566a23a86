import t from 'tap'
import { RetryWaits } from '../../src/admission/retry-waits.ts'
import { GatewayError } from '../../src/shared/errors.ts'

t.test('RetryWaits', async (t) => {
  const waits = new RetryWaits()
  const { signal } = new AbortController()
  await waits.wait(1, signal)
  const gone = new AbortController()
  const patient = waits.wait(600_000, signal)
  const impatient = waits.wait(600_000, gone.signal)
  const left = new GatewayError('GW_CLIENT_CLOSED')
  gone.abort(left)
  await t.rejects(impatient, left, 'its client has left')
  const draining = new GatewayError('GW_DRAINING')
  waits.refuse(draining)
  await t.rejects(patient, draining)
  await waits.wait(1, signal) // those that come later are not concerned
})
