import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import {
  type MeterReading,
  MeterReadings,
  type MeterReadingsOptions
} from '../../../src/server/worker/meter-readings.ts'

/** MeterReadings whose connections are closed when the test says so. */
function rig(options: Partial<MeterReadingsOptions> = {}) {
  const readings = new MeterReadings({ missing: () => 0, connections: () => 2, ...options })
  const closing: MeterReading[] = []
  const begin = (key = 'anna', isUnpriced = false): MeterReading | null => {
    const reading: MeterReading | null = readings.begin({
      key,
      isUnpriced,
      stop: () => {
        if (reading === null) return
        reading.over()
        closing.push(reading)
      }
    })
    return reading
  }
  return { readings, begin, closing }
}

t.test('MeterReadings', (t) => {
  t.test('end with their answers', (t) => {
    const { readings, begin, closing } = rig()
    const reading = begin()
    t.equal(reading?.take(100), true)
    t.equal(readings.size, 1)
    reading?.over()
    reading?.over()
    reading?.released()
    t.equal(readings.size, 0)
    readings.giveWay(1)
    t.same(closing, [])
    t.end()
  })

  t.test('are bounded in time, and have more of it while the price is unknown', async (t) => {
    const { readings, begin, closing } = rig({ bounds: { ms: 10, unpricedMs: 60_000 } })
    const reading = begin()
    const unpriced = begin('ben', true)
    while (closing.length === 0) await delay(5)
    t.same(closing, [reading])
    t.equal(readings.size, 1)
    unpriced?.over()
  })

  t.test('are bounded in bytes', (t) => {
    const { begin, closing } = rig({ bounds: { bytes: 1000, unpricedBytes: 5000 } })
    const reading = begin()
    const unpriced = begin('ben', true)
    t.equal(reading?.take(1000), true)
    t.equal(reading?.take(1), false)
    t.equal(reading?.take(1), false)
    t.equal(unpriced?.take(5000), true)
    t.equal(unpriced?.take(1), false)
    t.same(closing, [reading, unpriced])
    t.end()
  })

  t.test('give way to those who lack a connection, the oldest first, and no more of them', (t) => {
    const { readings, begin, closing } = rig()
    const all = ['a', 'b', 'c', 'd'].map((key) => begin(key))
    const unpriced = begin('e', true)
    readings.giveWay(1)
    readings.giveWay(1)
    t.same(closing, all.slice(0, 1), 'its permit is not back yet: no other need go')
    closing[0]?.released()
    closing[0]?.released()
    readings.giveWay(2)
    t.same(closing, all.slice(0, 3))
    readings.giveWay(100)
    t.same(closing, all, 'whose price is unknown does not')
    t.equal(readings.size, 1)
    unpriced?.over()
    t.end()
  })

  t.test(
    'give way in time where they have all connections, though the price is unknown',
    async (t) => {
      const bounds = { ms: 20, unpricedMs: 60_000 }
      const { readings, begin, closing } = rig({ missing: () => 2, bounds })
      const first = begin('anna', true)
      await delay(60)
      t.same(closing, [], 'there is another connection')
      const second = begin('ben', true)
      while (closing.length === 0) await delay(5)
      t.same(closing, [first])
      await delay(60)
      readings.giveWay(2)
      t.same(closing, [first], 'one of them is enough')
      second?.over()
      const alone = rig({ bounds })
      const unpriced = [alone.begin('anna', true), alone.begin('ben', true)]
      await delay(60)
      t.same(alone.closing, [], 'none waiting')
      alone.readings.giveWay(1)
      t.same(alone.closing, unpriced.slice(0, 1))
      unpriced[1]?.over()
    }
  )

  t.test('are not begun where somebody waits, unless the price is unknown', (t) => {
    const { begin } = rig({ missing: () => 1 })
    t.equal(begin(), null)
    begin('ben', true)?.over()
    t.end()
  })

  t.test('are few of one key', (t) => {
    const { readings, begin, closing } = rig()
    const own = Array.from({ length: 6 }, () => begin('anna'))
    begin('ben')
    t.same(closing, own.slice(0, 2), 'the oldest go')
    t.equal(readings.size, 5)
    readings.giveUp()
    t.equal(readings.size, 0)
    t.not(begin('ben'), null)
    t.end()
  })

  t.test('end with the worker', (t) => {
    const { readings, begin, closing } = rig()
    begin()
    begin('ben', true)
    readings.close()
    t.equal(closing.length, 2)
    t.equal(begin(), null)
    t.equal(begin('ben', true), null)
    t.end()
  })
  t.end()
})
