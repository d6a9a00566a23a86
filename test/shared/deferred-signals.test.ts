import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { DeferredSignals, onInterrupt, SAME_SIGNAL_MS } from '../../src/shared/deferred-signals.ts'

t.test(
  'signals that come early are acted on later, once each, and later ones at once',
  async (t) => {
    const source = new EventEmitter()
    const signals = new DeferredSignals(source, ['SIGHUP', 'SIGUSR2'])
    source.emit('SIGHUP')
    source.emit('SIGHUP')
    const seen: string[] = []
    signals.handle((signal) => seen.push(signal))
    t.same(seen, ['SIGHUP'])
    source.emit('SIGUSR2')
    source.emit('SIGHUP')
    t.same(seen, ['SIGHUP', 'SIGUSR2', 'SIGHUP'])
  }
)

t.test('onInterrupt()', async (t) => {
  const source = new EventEmitter()
  let aborts = 0
  onInterrupt(source, () => {
    aborts += 1
  })
  const isHeard = (): boolean => source.emit('SIGINT')
  const since = performance.now()
  t.ok(isHeard())
  t.ok(isHeard(), 'npm passes it on: the command goes on to end')
  t.equal(aborts, 1)
  while (source.listenerCount('SIGINT') > 0) await delay(5)
  t.ok(performance.now() - since > SAME_SIGNAL_MS - 5, 'whoever presses it again ends the process')
  const stop = onInterrupt(source, () => {})
  stop()
  t.equal(source.listenerCount('SIGTERM'), 0)
})
