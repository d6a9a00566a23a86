import t from 'tap'
import { DeadlineTimer } from '../../src/admission/clock.ts'
import { ManualClock } from '../helper/manual-clock.ts'

t.test('aim()', (t) => {
  t.test('goes off at the time, once', (t) => {
    const clock = new ManualClock()
    let times = 0
    new DeadlineTimer(clock, () => (times += 1)).aim(clock.now() + 10)
    clock.advance(9)
    t.equal(times, 0)
    clock.advance(1)
    clock.advance(100)
    t.equal(times, 1)
    t.end()
  })
  t.test('moves forward but not back, and away', (t) => {
    const clock = new ManualClock()
    const fired: number[] = []
    const timer = new DeadlineTimer(clock, () => fired.push(clock.now()))
    const start = clock.now()
    timer.aim(start + 50)
    timer.aim(start + 20)
    timer.aim(start + 90)
    t.equal(clock.timers, 1)
    clock.advance(20)
    t.same(fired, [start + 20])
    timer.aim(start + 90)
    timer.aim(null)
    t.equal(clock.timers, 0)
    t.end()
  })
  t.test('a deadline beyond what Node can time goes off early, never at once', (t) => {
    const clock = new ManualClock()
    let times = 0
    new DeadlineTimer(clock, () => (times += 1)).aim(clock.now() + 2 ** 40)
    clock.advance(2 ** 31 - 2)
    t.equal(times, 0)
    clock.advance(1)
    t.equal(times, 1)
    t.end()
  })
  t.end()
})
