import t from 'tap'
import { TokenCalibration } from '../../../src/kiro/models/tokens.ts'

t.test('correct()', async (t) => {
  t.test('leaves an estimate alone while nothing was learnt of the model', async (t) => {
    const calibration = new TokenCalibration()
    calibration.learn('a', 1000, 1300)
    t.equal(calibration.correct('a', 1000), 1300)
    t.equal(calibration.correct('b', 1000), 1000)
  })

  t.test('knows of newer tokenizers at first that they make more tokens of a text', async (t) => {
    const calibration = new TokenCalibration()
    for (const id of ['claude-haiku-5.5', 'claude-opus-4.7', 'claude-sonnet-5', 'claude-fable-6'])
      t.equal(calibration.correct(id, 1000), 1300, id)
    for (const id of ['claude-haiku-4.5', 'claude-sonnet-4.6', 'gpt-5.6-sol', 'auto'])
      t.equal(calibration.correct(id, 1000), 1000, id)
    calibration.learn('claude-haiku-5.5', 1000, 1100)
    t.equal(calibration.correct('claude-haiku-5.5', 1000), 1100, 'what is learnt counts')
  })

  t.test('is never 0', async (t) => {
    t.equal(new TokenCalibration().correct('a', 0), 1)
  })

  t.test('follows a tokenizer that changes', async (t) => {
    const calibration = new TokenCalibration()
    for (let i = 0; i < 20; i++) calibration.learn('a', 1000, 1500)
    for (let i = 0; i < 30; i++) calibration.learn('a', 1000, 800)
    const corrected = calibration.correct('a', 1000)
    t.ok(corrected >= 800 && corrected <= 840, String(corrected))
  })

  t.test('trusts large requests more than small ones', async (t) => {
    const calibration = new TokenCalibration()
    calibration.learn('a', 100_000, 120_000)
    calibration.learn('a', 300, 600)
    t.ok(Math.abs(calibration.correct('a', 1000) - 1200) < 10)
  })
})

t.test('learn()', async (t) => {
  for (const [estimated, measured] of [
    [199, 300],
    [1000, 399],
    [1000, 2501],
    [1000, 0],
    [1000, Number.NaN],
    [0, 0]
  ] as const) {
    t.test(`makes nothing of ${measured} for ${estimated}`, async (t) => {
      const calibration = new TokenCalibration()
      calibration.learn('a', estimated, measured)
      t.equal(calibration.correct('a', 1000), 1000)
    })
  }

  t.test('says whether it has made something of it', async (t) => {
    const calibration = new TokenCalibration()
    t.same(calibration.learn('a', 1000, 1300), { modelId: 'a', estimated: 1000, measured: 1300 })
    t.equal(calibration.learn('a', 100, 130), null)
  })

  t.test('is bounded in models', async (t) => {
    const calibration = new TokenCalibration()
    for (let i = 0; i <= 64; i++) calibration.learn(`m${i}`, 1000, 2000)
    t.equal(calibration.correct('m0', 1000), 1000)
    t.equal(calibration.correct('m1', 1000), 2000)
    t.equal(calibration.correct('m64', 1000), 2000)
  })
})

t.test('adopt() takes over what another has learnt, and goes on from there', async (t) => {
  const one = new TokenCalibration()
  for (let i = 0; i < 5; i++) one.learn('a', 1000, 1300 + i)
  one.learn('b', 1000, 900)
  const other = new TokenCalibration()
  other.learn('a', 1000, 2000)
  for (const learnt of one.learnt()) other.adopt(learnt)
  t.same([...other.learnt()], [...one.learnt()])
  one.learn('a', 1000, 1400)
  other.learn('a', 1000, 1400)
  t.same([...other.learnt()], [...one.learnt()])
})
