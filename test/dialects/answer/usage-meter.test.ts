import { ok } from 'node:assert/strict'
import t from 'tap'
import { charCounter } from '../../helper/char-counter.ts'
import { UsageMeter } from '../../../src/dialects/answer/usage.ts'
import type { TokenUsage } from '../../../src/kiro/wire/event.ts'
import { assert, double, integer, option, property, record } from '../../helper/fast-check.ts'

function meter(contextWindow = 200_000): UsageMeter {
  return new UsageMeter({ inputTokens: 900, contextWindow, newCounter: () => charCounter() })
}

t.test('without a word from the upstream', async (t) => {
  t.test('takes the local estimates', async (t) => {
    const usage = meter()
    usage.addText('abc')
    t.same(usage.total(), { inputTokens: 900, outputTokens: 3 })
  })

  t.test('counts reasoning as output and tells it apart', async (t) => {
    const usage = meter()
    usage.addText('abc')
    usage.addReasoning('de')
    t.same(usage.total(), { inputTokens: 900, outputTokens: 5, reasoningTokens: 2 })
  })

  t.test('counts long answers piece by piece, and each character once', async (t) => {
    const usage = meter()
    for (let index = 0; index < 10_000; index++) usage.addText('ab')
    t.equal(usage.total().outputTokens, 20_000)
    t.equal(usage.total().outputTokens, 20_000)
  })
})

t.test('with a percentage', async (t) => {
  t.test('takes the window less the answer', async (t) => {
    const usage = meter()
    usage.addText('abc')
    usage.setPercentage(1.5)
    t.same(usage.total(), { inputTokens: 2997, outputTokens: 3 })
  })

  t.test('takes it of the window of the model that answers', async (t) => {
    const usage = meter()
    usage.setContextWindow(1_000_000)
    usage.setPercentage(1.5)
    t.equal(usage.total().inputTokens, 15_000)
  })

  t.test('rounds down', async (t) => {
    const usage = meter()
    usage.setPercentage(0.00199)
    t.equal(usage.total().inputTokens, 3)
  })

  t.test('takes the local estimate for 0 and for less than the answer itself', async (t) => {
    const usage = meter()
    usage.setPercentage(0)
    t.equal(usage.total().inputTokens, 900)
    usage.setPercentage(0.001)
    usage.addText('abc')
    t.equal(usage.total().inputTokens, 900)
  })

  for (const [percentage, isFull] of [
    [99.9, false],
    [100, true],
    [104.2, true],
    [Number.POSITIVE_INFINITY, false],
    [-3, false]
  ] as const) {
    t.test(`of ${percentage} the window is ${isFull ? '' : 'not '}full`, async (t) => {
      const usage = meter()
      usage.setPercentage(percentage)
      t.equal(usage.isWindowFull, isFull)
      t.ok(usage.total().inputTokens > 0)
    })
  }
})

t.test('with counts', async (t) => {
  t.test('takes them all and no percentage', async (t) => {
    const usage = meter()
    usage.addText('abc')
    usage.addCounts({ uncachedInputTokens: 100, cacheReadInputTokens: 900 })
    usage.addCounts({ outputTokens: 50, totalTokens: 1050 })
    usage.setPercentage(50)
    t.same(usage.total(), { inputTokens: 100, outputTokens: 50, cacheReadTokens: 900 })
  })

  t.test('works the uncached input out of the total', async (t) => {
    const usage = meter()
    usage.addCounts({
      totalTokens: 1000,
      outputTokens: 50,
      cacheReadInputTokens: 600,
      cacheWriteInputTokens: 50
    })
    t.same(usage.total(), {
      inputTokens: 300,
      outputTokens: 50,
      cacheReadTokens: 600,
      cacheWriteTokens: 50
    })
  })

  t.test('fills up with the percentage what is not there', async (t) => {
    const usage = meter()
    usage.addCounts({ outputTokens: 50 })
    usage.setPercentage(1.5)
    t.same(usage.total(), { inputTokens: 2950, outputTokens: 50 })
  })

  t.test('allows for no uncached input where all of it was cached', async (t) => {
    const usage = meter()
    usage.addCounts({ uncachedInputTokens: 0, cacheReadInputTokens: 900, outputTokens: 1 })
    t.same(usage.total(), { inputTokens: 0, outputTokens: 1, cacheReadTokens: 900 })
  })

  t.test('takes counts that are all 0 for none', async (t) => {
    const usage = meter()
    usage.addText('abc')
    usage.addCounts({ uncachedInputTokens: 0, outputTokens: 0, cacheReadInputTokens: 0 })
    t.same(usage.total(), { inputTokens: 900, outputTokens: 3 })
  })

  t.test('says no more reasoning than output', async (t) => {
    const usage = meter()
    usage.addReasoning('abcdef')
    usage.addCounts({ outputTokens: 4 })
    t.match(usage.total(), { outputTokens: 4, reasoningTokens: 4 })
  })
})

t.test('adds up credits', async (t) => {
  const usage = meter()
  usage.addCredits(0.25)
  usage.addCredits(0.5)
  usage.addCredits(Number.NaN)
  t.equal(usage.total().credits, 0.75)
})

t.test('has a bound on what many meterings come to', async (t) => {
  const usage = meter()
  for (let count = 0; count < 8_000; count++) usage.addCredits(1_000_000)
  for (const credits of [1e308, Infinity, Number.NaN, -1]) usage.addCredits(credits)
  t.equal(usage.total().credits, 1_000_000)
})

t.test('is never negative nor without input, whatever the upstream counts', async () => {
  const count = option(integer({ min: -10, max: 2000 }), { nil: undefined })
  const counts = record({
    uncachedInputTokens: count,
    cacheReadInputTokens: count,
    cacheWriteInputTokens: count,
    outputTokens: count,
    totalTokens: count
  })
  assert(
    property(counts, double({ min: -5, max: 200 }), (given, percentage) => {
      const usage = meter()
      usage.addText('abc')
      usage.addCounts(given as TokenUsage)
      usage.setPercentage(percentage)
      const { inputTokens, outputTokens, cacheReadTokens = 0, cacheWriteTokens = 0 } = usage.total()
      ok(inputTokens >= 0 && outputTokens >= 0 && cacheReadTokens >= 0 && cacheWriteTokens >= 0)
      ok(inputTokens + cacheReadTokens + cacheWriteTokens > 0)
      ok(Number.isInteger(inputTokens) && Number.isInteger(outputTokens))
    })
  )
})

t.test('measuredInput()', async (t) => {
  t.test('is null while the upstream has told nothing of use', async (t) => {
    const usage = meter()
    usage.addText('abc')
    t.equal(usage.measuredInput(), null)
    usage.setPercentage(0.001)
    t.equal(usage.measuredInput(), null)
  })

  t.test('is the percentage less the answer', async (t) => {
    const usage = meter()
    usage.setPercentage(1)
    usage.addText('abc')
    t.equal(usage.measuredInput(), 2000 - 3)
  })

  t.test('counts what was cached', async (t) => {
    const usage = meter()
    usage.addCounts({ uncachedInputTokens: 100, cacheReadInputTokens: 900 })
    t.equal(usage.measuredInput(), 1000)
  })
})

t.test('figures beyond all reason are none', async (t) => {
  const usage = meter()
  usage.setPercentage(1e9)
  usage.addCounts({ uncachedInputTokens: 1e308, outputTokens: 1e12 })
  usage.addCredits(-5)
  usage.addCredits(1e300)
  usage.addText('abc')
  t.same(usage.total(), { inputTokens: 900, outputTokens: 3 })
})
