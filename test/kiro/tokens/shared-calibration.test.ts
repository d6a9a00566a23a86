import t from 'tap'
import { learnFrom, newGauge, SharedCalibration } from '../../../src/kiro/tokens/token-gauge.ts'

const groups = [10_000, 0, 0, 0, 0, 0, 0, 0]

function lesson(model: string) {
  return { model, groups, measured: 15_000, within: 10 }
}

function setUp() {
  const sent: object[] = []
  const clock = { now: 0 }
  const calibration = new SharedCalibration(
    { send: (message: object) => sent.push(message) },
    () => clock.now
  )
  return { sent, clock, calibration }
}

t.test('what is measured is told, numbers only', async (t) => {
  const { sent, calibration } = setUp()
  calibration.learn(lesson('a'))
  t.same(sent, [{ type: 'calibration.lesson', ...lesson('a') }])
})

t.test('the first lessons of a model are told at once, then one in a second', async (t) => {
  const { sent, clock, calibration } = setUp()
  for (let count = 0; count < 30; count++) calibration.learn(lesson('a'))
  t.equal(sent.length, 20)
  clock.now = 999
  calibration.learn(lesson('a'))
  t.equal(sent.length, 20)
  calibration.learn(lesson('b'))
  t.equal(sent.length, 21, 'each model by itself')
  clock.now = 1000
  calibration.learn(lesson('a'))
  t.equal(sent.length, 22)
})

t.test('counts by what the primary says, and forgets another account', async (t) => {
  const { calibration } = setUp()
  const cold = calibration.count('a', groups).input
  const gauge = learnFrom(newGauge('a'), lesson('a'))
  if (gauge === null) throw new Error('nothing was learnt')
  calibration.onLearnt({ gauges: [gauge], isAll: false })
  t.ok(calibration.count('a', groups).input > cold * 1.1)
  calibration.onLearnt({ gauges: [], isAll: true })
  t.equal(calibration.count('a', groups).input, cold)
})
