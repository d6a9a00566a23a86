import t from 'tap'
import { simulatedModel } from '../../src/simulator/models.ts'
import { creditsOf } from '../../src/simulator/credits.ts'
import { PromptCache } from '../strict-simulator/prompt-cache.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import { fastestMs } from '../helper/cost.ts'
import { upstreamRequest } from '../helper/simulator-request.ts'

const OTHER_ID = '00000000-0000-4000-8000-000000000001'
const LONG = 'one two three four five six\n'.repeat(2000)
const TOKENS = 12_000

/** Of the tokens of a prompt, which share is known. */
function reader(modelId: string, now: () => number = () => 0) {
  const cache = new PromptCache(now)
  const model = simulatedModel(modelId)
  if (model === undefined) throw new Error('no such model')
  return (content: string, more: Parameters<typeof upstreamRequest>[1] = {}): number => {
    const view = checkRequest(upstreamRequest(content, { message: { modelId }, ...more }))
    if ('status' in view) throw new Error(JSON.stringify(view))
    return cache.read(view, model, TOKENS) / TOKENS
  }
}

t.test('PromptCache', async (t) => {
  t.test('forgets the oldest in no more time than it takes to remember', async (t) => {
    const cache = new PromptCache()
    const model = simulatedModel('claude-opus-5')
    const view = checkRequest(upstreamRequest('hi', { message: { modelId: 'claude-opus-5' } }))
    if (model === undefined || 'status' in view) throw new Error('it is refused')
    const text = 'one two three four five six\n'.repeat(180_000)
    let prompts = 0
    const read = (): void => {
      const content = `${prompts++} ${text}`
      cache.read({ ...view, current: { ...view.current, content } }, model, TOKENS)
    }
    const roomy = fastestMs(read, 3)
    for (let count = 0; count < 10; count++) read()
    const full = fastestMs(read, 3)
    t.ok(full < roomy * 5, `${roomy} ms, then ${full} ms`)
  })

  t.test('knows what stands in front of the first difference', async (t) => {
    const read = reader('claude-opus-5')
    t.equal(read(LONG), 0, 'nothing is known at first')
    t.ok(read(LONG) > 0.98)
    const half = LONG.slice(0, LONG.length / 2)
    const share = read(`${half}!${half}`)
    t.ok(share > 0.45 && share < 0.51, String(share))
    t.equal(read(`!${LONG}`), 0)
  })

  t.test('knows a turn as history that was current before', async (t) => {
    const read = reader('claude-opus-5')
    read(LONG)
    const history = [
      { userInputMessage: { content: LONG, modelId: 'claude-opus-5', origin: 'AI_EDITOR' } },
      { assistantResponseMessage: { content: 'yes' } }
    ]
    t.ok(read('and now?', { state: { history } }) > 0.98)
  })

  t.test(
    'finds a Claude prompt under any id, a GPT prompt under its own and with its effort',
    async (t) => {
      const other = { state: { conversationId: OTHER_ID } }
      const claude = reader('claude-opus-5')
      claude(LONG)
      t.ok(claude(LONG, other) > 0.98)
      const gpt = reader('gpt-5.6-sol')
      const effort = { root: { additionalModelRequestFields: { reasoning: { effort: 'low' } } } }
      gpt(LONG)
      t.equal(gpt(LONG, other), 0)
      t.equal(gpt(LONG, effort), 0)
      t.ok(gpt(LONG) > 0.98)
    }
  )

  t.test('forgets after five minutes, and keeps nothing short', async (t) => {
    let now = 0
    const read = reader('claude-opus-5', () => now)
    read(LONG)
    now += 299_000
    t.ok(read(LONG) > 0.98)
    now += 299_000
    t.ok(read(LONG) > 0.98, 'counted from the last time')
    now += 300_000
    t.equal(read(LONG), 0)
    const start = LONG.slice(0, 4000)
    t.equal(read(start + '!'.repeat(LONG.length - start.length)), 0)
  })
})

t.test('creditsOf() charges cached tokens less, as the family does', async (t) => {
  const [claude, gpt] = [simulatedModel('claude-opus-5'), simulatedModel('gpt-5.6-sol')]
  if (claude === undefined || gpt === undefined) throw new Error('no such model')
  for (const [model, factor] of [
    [claude, 0.53],
    [gpt, 0.1]
  ] as const) {
    const cold = creditsOf(model, { input: 100_000, cached: 0, output: 0 })
    const warm = creditsOf(model, { input: 100_000, cached: 100_000, output: 0 })
    t.ok(Math.abs(warm / cold - factor) < 0.001, `${warm} of ${cold}`)
    t.ok(creditsOf(model, { input: 0, cached: 0, output: 1000 }) > cold / 100)
  }
  const below = creditsOf(gpt, { input: 272_000, cached: 0, output: 0 })
  const above = creditsOf(gpt, { input: 272_001, cached: 0, output: 0 })
  t.ok(above > 1.99 * below, 'all of a long GPT request costs double')
})

t.test(
  'creditsOf() charges all of a long request of the newest Haiku five times as much',
  async (t) => {
    const haiku = simulatedModel('claude-haiku-5.5')
    if (haiku === undefined) throw new Error('no such model')
    const below = creditsOf(haiku, { input: 100_000, cached: 0, output: 0 })
    const above = creditsOf(haiku, { input: 100_001, cached: 0, output: 0 })
    t.ok(Math.abs(above / below - 5) < 0.01, `${above} of ${below}`)
  }
)
