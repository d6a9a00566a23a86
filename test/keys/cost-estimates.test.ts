import t from 'tap'
import { CostEstimates } from '../../src/keys/cost-estimates.ts'

const CREDIT = 1_000_000

function request(inputTokens: number, model = 'claude-opus-5') {
  return { model, inputTokens }
}

t.test('CostEstimates', (t) => {
  t.test('takes the rate of the model at first, and at least one credit', async (t) => {
    const estimates = new CostEstimates()
    t.equal(estimates.estimate(request(100), 2.2), 2_200_000)
    t.equal(estimates.estimate(request(100), 0.1), CREDIT)
  })

  t.test('learns what the dearest of a size has cost', async (t) => {
    const estimates = new CostEstimates()
    for (const cost of [3 * CREDIT, 2 * CREDIT, 2 * CREDIT]) estimates.learn(request(60_000), cost)
    t.ok(estimates.estimate(request(50_000), 1) > 2.7 * CREDIT, 'not forgotten at once')
    for (let i = 0; i < 100; i += 1) estimates.learn(request(60_000), 2 * CREDIT)
    t.equal(Math.round(estimates.estimate(request(50_000), 1) / 1000), 2000)
    t.equal(estimates.estimate(request(50_000, 'auto'), 1), CREDIT, 'another model')
  })

  t.test('takes the price to grow with the size, and not to shrink with it', async (t) => {
    const estimates = new CostEstimates()
    estimates.learn(request(8_000), 2 * CREDIT)
    t.equal(estimates.estimate(request(31_000), 1), 8 * CREDIT)
    t.equal(estimates.estimate(request(10), 1), 2 * CREDIT)
  })

  t.test('does not lock anybody out for an answer of a million credits', async (t) => {
    const estimates = new CostEstimates()
    estimates.learn(request(10), 1_000_000 * CREDIT)
    t.equal(estimates.estimate(request(10), 1), 8 * CREDIT, 'one answer teaches so much at most')
    t.equal(estimates.estimate(request(1e300), 1), 100 * CREDIT)
    t.equal(estimates.estimate(request(10, 'auto'), Number.POSITIVE_INFINITY), 100 * CREDIT)
    for (let i = 0; i < 40; i += 1) estimates.learn(request(10), CREDIT / 2)
    t.equal(estimates.estimate(request(10), 1), CREDIT, 'and it is forgotten')
  })

  t.test('believes what is dear for good within a few answers', async (t) => {
    const estimates = new CostEstimates()
    for (let i = 0; i < 3; i += 1) estimates.learn(request(10), 90 * CREDIT)
    t.equal(estimates.estimate(request(10), 1), 90 * CREDIT)
    for (let i = 0; i < 9; i += 1) estimates.learn(request(10), 1_000_000 * CREDIT)
    t.equal(estimates.estimate(request(10), 1), 100 * CREDIT)
    for (let i = 0; i < 60; i += 1) estimates.learn(request(10), CREDIT / 2)
    t.equal(estimates.estimate(request(10), 1), CREDIT, 'nothing beyond the most is remembered')
  })

  t.test('remembers as many models as there may be, and no more', async (t) => {
    const estimates = new CostEstimates()
    for (let i = 0; i <= 64; i += 1) estimates.learn(request(10, `model-${i}`), 5 * CREDIT)
    t.equal(estimates.estimate(request(10, 'model-0'), 1), CREDIT)
    t.equal(estimates.estimate(request(10, 'model-64'), 1), 5 * CREDIT)
  })
  t.end()
})
