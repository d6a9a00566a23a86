import t from 'tap'
import { RenewalTimer } from '../../src/credentials/refresher.ts'
import { FakeClock } from '../helper/fake-clock.ts'

function setUp() {
  const clock = new FakeClock(0)
  const fired: number[] = []
  const timer = new RenewalTimer(clock, () => fired.push(clock.now()))
  return { clock, fired, timer }
}

t.test('RenewalTimer', (t) => {
  t.test('goes off once, at its time', (t) => {
    const { clock, fired, timer } = setUp()
    timer.set(2_940_000)
    clock.moveTo(9_000_000)
    t.same(fired, [2_940_000])
    t.end()
  })
  t.test('notices within a minute that the machine slept through it', (t) => {
    const { clock, fired, timer } = setUp()
    timer.set(3_600_000)
    clock.suspend(7_200_000)
    clock.moveBy(60_000)
    t.equal(fired.length, 1)
    t.end()
  })
  t.test('notices within a minute that the clock was put back by a day', (t) => {
    const { clock, fired, timer } = setUp()
    clock.suspend(86_400_000)
    timer.set(86_401_000)
    clock.putBack(86_400_000)
    clock.moveBy(60_000)
    t.equal(fired.length, 1)
    t.end()
  })
  t.test('waits a second at least, whatever it is told', (t) => {
    const { clock, fired, timer } = setUp()
    timer.set(-5)
    clock.moveTo(999)
    t.same(fired, [])
    clock.moveTo(1000)
    t.same(fired, [1000])
    t.end()
  })
  t.test('keeps one alarm at most', (t) => {
    const { clock, fired, timer } = setUp()
    timer.set(5000)
    timer.set(8000)
    t.equal(clock.timers, 1)
    clock.moveTo(7000)
    t.same(fired, [])
    timer.set(null)
    t.equal(clock.timers, 0)
    t.end()
  })
  t.end()
})
