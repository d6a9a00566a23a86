import t from 'tap'
import { nameOverflow } from '../../../src/server/ask/explain-refusal.ts'
import { GatewayError } from '../../../src/shared/errors.ts'

function overflow(message: string) {
  return new GatewayError('GW_CONTEXT_OVERFLOW', 'upstream status 400', { message })
}

t.test('nameOverflow()', async (t) => {
  const plan = { inputTokens: 215_000, contextWindow: 200_000 }

  t.test('takes the estimate and the window of the model where nobody says better', async (t) => {
    const cause = new Error('foreign')
    const message = 'Input is too long. (reason: CONTENT_LENGTH_EXCEEDS_THRESHOLD)'
    const error = new GatewayError('GW_CONTEXT_OVERFLOW', 'seen', { message, cause })
    const named = nameOverflow(error, plan)
    t.same(named.overflow, { tokens: 215_000, maximum: 200_000 })
    t.match(named, { code: 'GW_CONTEXT_OVERFLOW', detail: 'seen', message, cause })
  })

  for (const inputTokens of [1, 199_999, 200_000, 200_001]) {
    t.test(`never says that ${inputTokens} tokens would have fitted`, async (t) => {
      const named = nameOverflow(overflow('Input is too long.'), { ...plan, inputTokens })
      t.same(named.overflow, { tokens: 200_001, maximum: 200_000 })
    })
  }

  for (const [message, expected] of [
    ['prompt is too long: 210,500 tokens > 190000 maximum', { tokens: 210_500, maximum: 190_000 }],
    [
      "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens.",
      { tokens: 130_500, maximum: 128_000 }
    ],
    [
      'Input is too long: the maximum is 1_000_000 tokens',
      { tokens: 1_000_001, maximum: 1_000_000 }
    ],
    ['Input is too long for a maximum of 180000', { tokens: 215_000, maximum: 180_000 }],
    ['Input is too long, 150000 tokens maximum', { tokens: 215_000, maximum: 150_000 }],
    ['Input is too long: got 230000 tokens', { tokens: 230_000, maximum: 200_000 }],
    ['Input is too long: maximum is 0 tokens', { tokens: 215_000, maximum: 200_000 }],
    ['Input is too long (413)', { tokens: 215_000, maximum: 200_000 }]
  ] as const) {
    t.test(`reads the figures of "${message}"`, async (t) => {
      t.same(nameOverflow(overflow(message), plan).overflow, expected)
    })
  }

  t.test('leaves every other error alone', async (t) => {
    const error = new GatewayError('GW_UPSTREAM_REFUSED')
    t.equal(nameOverflow(error, plan), error)
  })
})
