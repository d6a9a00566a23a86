import t from 'tap'
import { DrainRate } from '../../src/admission/clock.ts'

t.test('DrainRate', (t) => {
  t.test('without experience suggests a few seconds', (t) => {
    const rate = new DrainRate()
    t.equal(rate.perSecond(0), 0)
    t.equal(rate.retryAfterS(100, 0), 5)
    t.end()
  })
  for (const perSecond of [0.5, 2, 20])
    t.test(`finds ${perSecond} per second`, (t) => {
      const rate = new DrainRate()
      let now = 0
      for (; now < 60_000; now += 1000 / perSecond) rate.note(now)
      t.ok(Math.abs(rate.perSecond(now) / perSecond - 1) < 0.1, `${rate.perSecond(now)}`)
      const expected = Math.ceil(10 / perSecond)
      t.ok(Math.abs(rate.retryAfterS(9, now) - expected) <= 2)
      t.end()
    })
  t.test('never says less than a second or more than a minute', (t) => {
    const rate = new DrainRate()
    for (let now = 0; now < 10_000; now += 10) rate.note(now)
    t.equal(rate.retryAfterS(0, 10_000), 1)
    t.equal(rate.retryAfterS(100_000, 10_000), 60)
    t.end()
  })
  t.test('forgets what is long ago', (t) => {
    const rate = new DrainRate()
    rate.note(0)
    t.equal(rate.retryAfterS(0, 3_600_000), 5)
    t.end()
  })
  t.end()
})
