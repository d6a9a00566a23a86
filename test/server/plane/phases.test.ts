import t from 'tap'
import { Phases } from '../../../src/server/plane/open-turns.ts'

t.test('Phases', (t) => {
  t.test('measure what lies between two ends', async (t) => {
    const phases = new Phases()
    const start = phases.startedAt
    phases.end('read', start + 10)
    phases.end('transform', start + 12.34)
    phases.end('queue', start + 12.34)
    t.match(phases.spentMs('read'), 10)
    t.equal(phases.spentMs('stream'), 0)
    t.same(phases.toJson(), { read: 10, transform: 2.3, queue: 0 })
    t.equal(phases.toServerTiming(), 'read;dur=10.0, transform;dur=2.3, queue;dur=0.0')
  })
  t.test('add up when they come more than once, in an order of their own', async (t) => {
    const phases = new Phases()
    const start = phases.startedAt
    phases.end('ttfb', start + 5)
    phases.end('retry', start + 8)
    phases.end('queue', start + 9)
    phases.end('ttfb', start + 15)
    t.same(phases.toJson(), { queue: 1, ttfb: 11, retry: 3 })
    t.equal(phases.toServerTiming(), 'queue;dur=1.0, ttfb;dur=11.0, retry;dur=3.0')
  })
  t.test('never run backwards', async (t) => {
    const phases = new Phases()
    phases.end('read', phases.startedAt - 5)
    t.equal(phases.spentMs('read'), 0)
    t.ok(phases.totalMs() >= 0)
    t.equal(new Phases().toServerTiming(), '')
  })
  t.end()
})
