import t from 'tap'
import { Progress } from '../../../src/server/worker/open-turns.ts'

t.test('Progress', (t) => {
  t.test('measure what lies between two ends', async (t) => {
    const progress = new Progress()
    const start = progress.startedAt
    progress.end('read', start + 10)
    progress.end('transform', start + 12.34)
    progress.end('queue', start + 12.34)
    t.match(progress.spentMs('read'), 10)
    t.equal(progress.spentMs('stream'), 0)
    t.same(progress.toJson(), { read: 10, transform: 2.3, queue: 0 })
    t.equal(progress.toServerTiming(), 'read;dur=10.0, transform;dur=2.3, queue;dur=0.0')
  })
  t.test('add up when they come more than once, in an order of their own', async (t) => {
    const progress = new Progress()
    const start = progress.startedAt
    progress.end('ttfb', start + 5)
    progress.end('retry', start + 8)
    progress.end('queue', start + 9)
    progress.end('ttfb', start + 15)
    t.same(progress.toJson(), { queue: 1, ttfb: 11, retry: 3 })
    t.equal(progress.toServerTiming(), 'queue;dur=1.0, ttfb;dur=11.0, retry;dur=3.0')
  })
  t.test('name a wait by what was waited for', async (t) => {
    const progress = new Progress()
    progress.end('read', progress.startedAt)
    progress.beginWait()
    await new Promise((resolve) => setTimeout(resolve, 30))
    t.equal(progress.isWaiting, true)
    progress.endWait('queue', 20)
    t.equal(progress.isWaiting, false)
    t.equal(Math.round(progress.spentMs('pause')), 20)
    const most = progress.totalMs() - progress.spentMs('pause')
    t.ok(progress.spentMs('queue') > 0 && progress.spentMs('queue') <= most)
    progress.endWait('pace', 60_000)
    t.ok(progress.spentMs('pause') <= progress.totalMs(), 'a pause is no longer than the wait')
  })
  t.test('never run backwards', async (t) => {
    const progress = new Progress()
    progress.end('read', progress.startedAt - 5)
    t.equal(progress.spentMs('read'), 0)
    t.ok(progress.totalMs() >= 0)
    t.equal(new Progress().toServerTiming(), '')
  })
  t.end()
})
