import t from 'tap'
import { WaitClock } from '../../src/admission/clock.ts'

t.test('WaitClock', (t) => {
  t.test('counts the first wait from the arrival', (t) => {
    t.equal(new WaitClock(100).resume(160), 100)
    t.end()
  })
  t.test('leaves out what was spent between two waits, however many', (t) => {
    const waited = new WaitClock(100)
    t.equal(waited.resume(110), 100)
    waited.stop(130) // waited 30
    t.equal(waited.resume(1130), 1100)
    waited.stop(1150) // 50
    t.equal(waited.resume(5150), 5100)
    t.end()
  })
  t.test('stops once', (t) => {
    const waited = new WaitClock(0)
    waited.stop(10)
    waited.stop(40)
    t.equal(waited.resume(100), 90)
    t.end()
  })
  t.end()
})
