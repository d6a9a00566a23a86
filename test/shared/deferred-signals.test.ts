import { EventEmitter } from 'node:events'
import t from 'tap'
import { DeferredSignals } from '../../src/shared/deferred-signals.ts'

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
