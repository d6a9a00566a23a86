import t from 'tap'
import { RetryWaits } from '../../src/admission/retry-waits.ts'
import { GatewayError } from '../../src/shared/errors.ts'

t.test('RetryWaits', async (t) => {
  const waits = new RetryWaits()
  const { signal } = new AbortController()
  await waits.wait({ ms: 1, key: 'a' }, signal)
  const gone = new AbortController()
  const patient = waits.wait({ ms: 600_000, key: 'a' }, signal)
  const impatient = waits.wait({ ms: 600_000, key: 'a' }, gone.signal)
  const left = new GatewayError('GW_CLIENT_CLOSED')
  gone.abort(left)
  await t.rejects(impatient, left, 'its client has left')
  const draining = new GatewayError('GW_DRAINING')
  const other = waits.wait({ ms: 600_000, key: 'b' }, signal)
  const quota = new GatewayError('GW_UPSTREAM_QUOTA')
  waits.refuse(quota, (key) => key !== 'b')
  await t.rejects(patient, quota)
  waits.refuse(draining)
  await t.rejects(other, draining, 'was not meant before')
  await waits.wait({ ms: 1, key: 'a' }, signal) // those that come later are not concerned
})
