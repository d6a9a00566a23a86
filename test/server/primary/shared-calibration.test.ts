import t from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import { SharedCalibration } from '../../../src/server/primary/primary-clients.ts'

function setUp() {
  const sent: FromWorker[] = []
  const clock = { now: 0 }
  const channel = { send: (message: FromWorker): void => void sent.push(message) }
  const calibration = new SharedCalibration(channel, () => clock.now)
  return { sent, clock, calibration }
}

t.test('what a worker learns counts at once and is told, numbers only', async (t) => {
  const { sent, calibration } = setUp()
  calibration.learn('a', 1000, 1300)
  t.equal(calibration.correct('a', 1000), 1300)
  t.same(sent, [{ type: 'calibration.lesson', modelId: 'a', estimated: 1000, measured: 1300 }])
})

t.test('what teaches nothing is not told, and hinders nothing', async (t) => {
  const { sent, calibration } = setUp()
  calibration.learn('a', 1000, 9000)
  t.same(sent, [])
  calibration.learn('a', 1000, 1300)
  t.equal(sent.length, 1)
})

t.test('a model is learnt of once in a second, each by itself', async (t) => {
  const { sent, clock, calibration } = setUp()
  calibration.learn('a', 1000, 1300)
  clock.now = 999
  calibration.learn('a', 1000, 2000)
  t.equal(calibration.correct('a', 1000), 1300, 'what is not told is not learnt')
  calibration.learn('b', 1000, 1100)
  clock.now = 1000
  calibration.learn('a', 1000, 2000)
  t.equal(sent.length, 3)
  t.ok(calibration.correct('a', 1000) > 1600)
})

t.test('what the primary says wins', async (t) => {
  const { calibration } = setUp()
  calibration.learn('a', 1000, 1300)
  calibration.onLearnt({ modelId: 'a', estimated: 2000, measured: 2200 })
  t.equal(calibration.correct('a', 1000), 1100)
})
