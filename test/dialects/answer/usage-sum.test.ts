import t from 'tap'
import { addUsage } from '../../../src/dialects/answer/usage.ts'

t.test('addUsage() adds up what is known', async (t) => {
  const first = { inputTokens: 10, outputTokens: 2, credits: 0.5 }
  t.equal(addUsage(null, first), first)
  t.same(addUsage(first, { inputTokens: 5, outputTokens: 1 }), {
    inputTokens: 15,
    outputTokens: 3,
    credits: 0.5
  })
  t.same(
    addUsage(first, { ...first, cacheReadTokens: 7, cacheWriteTokens: 0, reasoningTokens: 1 }),
    {
      inputTokens: 20,
      outputTokens: 4,
      cacheReadTokens: 7,
      cacheWriteTokens: 0,
      reasoningTokens: 1,
      credits: 1
    }
  )
})
