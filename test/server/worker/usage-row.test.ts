import t from 'tap'
import { Progress } from '../../../src/server/worker/open-turns.ts'
import { clientFamilyOf, toUsageRow } from '../../../src/server/worker/turn-record.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { replyPlan } from '../../helper/reply-plan.ts'

t.test('clientFamilyOf()', async (t) => {
  for (const [userAgent, family] of [
    ['claude-cli/2.1.3 (external, cli)', 'claude-code'],
    ['codex_cli_rs/0.60.1 (Linux; x86_64)', 'codex'],
    ['opencode/1.0.2', 'opencode'],
    ['OpenAI/Python 2.3.0', 'openai-python'],
    ['AsyncOpenAI/Python 2.3.0', 'openai-python'],
    ['Anthropic/JS 0.70.1', 'anthropic-js'],
    ['ls/JS 5.23.2', 'js-sdk'],
    ['js/2.0', 'js'],
    ['Mozilla/5.0 (X11; Linux x86_64) Chrome/140', 'browser'],
    ['My-Tool/1 secret', 'my-tool'],
    ['curl/8.5.0', 'curl'],
    ['node', 'node'],
    ['', 'other'],
    [undefined, 'other'],
    ['\u{1f600}/1', 'other'],
    ['x'.repeat(33), 'other'],
    ['a'.repeat(10_000_000), 'other']
  ] as const) {
    t.equal(clientFamilyOf(userAgent), family, String(userAgent).slice(0, 40))
  }
})

t.test('toUsageRow()', async (t) => {
  const whose = { key: 'k_1', client: 'codex', dialect: 'openai-responses' }
  const who = { ...whose, worker: 2 }
  const record = {
    requestId: 'r',
    route: '/v1/responses',
    keyName: null,
    bodyBytes: 1,
    bytesOut: 2,
    method: 'POST',
    keyHash: null
  }
  const refused = toUsageRow(
    {
      ...record,
      status: 401,
      error: new GatewayError('GW_KEY_LIMIT'),
      plan: null,
      progress: new Progress()
    },
    who
  )
  t.match(refused, {
    ...whose,
    status: 401,
    code: 'GW_KEY_LIMIT',
    model: '',
    credits: 0,
    firstMs: null
  })

  t.same(refused.turn?.failure, {
    reason: new GatewayError('GW_KEY_LIMIT').message,
    detail: '',
    upstreamStatus: null,
    upstreamId: null
  })
  const long = new GatewayError('GW_INTERNAL', 'd'.repeat(9_999), { message: 'm'.repeat(9_999) })
  const { failure } =
    toUsageRow({ ...record, status: 500, error: long, plan: null, progress: new Progress() }, who)
      .turn ?? {}
  t.same([failure?.reason.length, failure?.detail.length], [600, 300], 'texts are bounded')

  const progress = new Progress()
  progress.spend({
    inputTokens: 5,
    outputTokens: 7,
    cacheReadTokens: 2,
    cacheWriteTokens: 1,
    credits: 9
  })
  progress.meter(500_000, 'read on')
  progress.meter(250_000, 'metered')
  const answered = {
    ...record,
    status: 200,
    error: null,
    plan: replyPlan({ repairs: ['merged'] }),
    progress
  }
  t.match(toUsageRow(answered, who), {
    code: '',
    inputTokens: 5,
    outputTokens: 7,
    cachedTokens: 3,
    credits: 750_000,
    repairs: 1,
    firstMs: Number,
    turn: { worker: 2, bodyBytes: 1, repairs: ['merged'] }
  })
  const { totalMs, firstMs } = toUsageRow(answered, who)
  t.ok([totalMs, firstMs].every(Number.isInteger), 'as the record keeps them')
  progress.charges.push({ cost: 1_000_000, period: 7 })
  t.match(
    toUsageRow(answered, who),
    { credits: 1_000_000, charges: [{ credits: 1_000_000, period: 7 }] },
    'what its limit was charged, estimates included'
  )
})
