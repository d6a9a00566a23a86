import t from 'tap'
import { abortErrorOf, GatewayError } from '../../src/shared/errors.ts'

t.test('the error of an aborted wait', (t) => {
  t.test('is the very error that ended it', async (t) => {
    const error = new GatewayError('GW_DRAINING')
    t.equal(abortErrorOf(AbortSignal.abort(error), 'while waiting'), error)
  })
  t.test('is that of a client that left, whatever else the reason is', async (t) => {
    const signal = AbortSignal.abort()
    t.match(abortErrorOf(signal, 'while waiting'), {
      code: 'GW_CLIENT_CLOSED',
      detail: 'while waiting',
      cause: signal.reason
    })
    t.match(abortErrorOf(AbortSignal.abort('gone')), { code: 'GW_CLIENT_CLOSED', cause: 'gone' })
  })
  t.end()
})
