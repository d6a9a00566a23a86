import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { GOOD_STANDING } from '../../../src/ipc/messages.ts'
import type { Bar } from '../../../src/kiro/wire/fault-table.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'

// kiro-protocol, §8.6, §8.8, §8.9: what clients get of every refusal, and how often it is asked for.

t.setTimeout(300_000)

const bodies = {
  '/v1/chat/completions': { model: 'auto', messages: [{ role: 'user', content: 'hi' }] },
  '/v1/responses': { model: 'auto', store: false, input: 'hi' },
  '/v1/messages': { model: 'auto', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }
} as const

const THROTTLING = 'com.amazon.kiro.runtimeservice#ThrottlingException'
const QUOTA = 'com.amazon.kiro.runtimeservice#ServiceQuotaExceededException'
const SUSPICIOUS =
  'Due to suspicious activity, we are imposing temporary limits on how frequently your account (x) can send a request to Kiro while we investigate.'
const FOREIGN =
  'Your subscription does not support this application. Please contact your administrator.'

interface Row {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  readonly openAi: readonly [status: number, type: string, code: string | null]
  readonly anthropic: readonly [status: number, type: string]
  /** `retry-after`; `final`: no time, and the client must not try again. */
  readonly later: string
  /** Calls with two attempts allowed. */
  readonly calls: number
  readonly bar?: Bar
  /** What the message says beyond the upstream's. */
  readonly says?: RegExp
}

const exhausted = {
  openAi: [429, 'insufficient_quota', 'insufficient_quota'],
  anthropic: [429, 'rate_limit_error'],
  later: 'final',
  calls: 1
} as const
const limited = {
  openAi: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  anthropic: [429, 'rate_limit_error']
} as const
const overloaded = {
  openAi: [503, 'server_error', 'overloaded'],
  anthropic: [529, 'overloaded_error'],
  later: '3',
  calls: 2
} as const
const refused = {
  openAi: [400, 'invalid_request_error', null],
  anthropic: [400, 'invalid_request_error'],
  later: 'final',
  calls: 1
} as const

function quota(status: number, reason: string | null, bar: Bar, type = THROTTLING): Row {
  const body = { __type: type, message: 'You have reached the limit.', reason }
  return { status, body, ...exhausted, bar }
}

function throttle(reason: string | null, more: object = {}, message = 'Too many requests.') {
  return { status: 429, body: { __type: THROTTLING, message, reason, ...more } }
}

const rows: Readonly<Record<string, Row>> = {
  'monthly quota': quota(402, 'MONTHLY_REQUEST_COUNT', 'monthly', QUOTA),
  'monthly quota, old form': quota(400, 'MONTHLY_REQUEST_COUNT', 'monthly'),
  overage: quota(402, 'OVERAGE_REQUEST_LIMIT_EXCEEDED', 'monthly', QUOTA),
  'overage with 403': quota(403, 'OVERAGE_REQUEST_LIMIT_EXCEEDED', 'monthly', QUOTA),
  'quota without a reason': quota(402, null, 'unnamed', QUOTA),
  'unknown quota': quota(402, 'SOMETHING_NEW', 'unnamed', QUOTA),
  'weekly quota': quota(429, 'WEEKLY_REQUEST_COUNT', 'monthly'),
  'usage limit': quota(429, 'USAGE_LIMIT_REACHED', 'monthly'),
  'daily quota': quota(429, 'DAILY_REQUEST_COUNT', 'daily'),
  'hourly quota': quota(429, 'HOURLY_REQUEST_COUNT', 'hourly'),
  'conversation limit': {
    status: 402,
    body: { __type: QUOTA, message: 'Limit', reason: 'CONVERSATION_LIMIT_EXCEEDED' },
    openAi: [400, 'invalid_request_error', 'context_length_exceeded'],
    anthropic: [400, 'invalid_request_error'],
    later: 'final',
    calls: 2
  },
  'credit rate': {
    ...throttle('CREDIT_CONSUMPTION_RATE_EXCEEDED', { retryAfterMilliseconds: 300_000 }),
    ...limited,
    later: '300',
    calls: 1,
    bar: 'credit-rate'
  },
  'credit rate without a time': {
    ...throttle('CREDIT_CONSUMPTION_RATE_EXCEEDED'),
    ...limited,
    later: '300',
    calls: 1,
    bar: 'credit-rate'
  },
  'user rate': {
    ...throttle('USER_REQUEST_RATE_EXCEEDED'),
    headers: { 'retry-after': '1' },
    ...limited,
    later: '1',
    calls: 2,
    bar: 'user-rate'
  },
  'user rate with a long wait': {
    ...throttle('USER_REQUEST_RATE_EXCEEDED'),
    headers: { 'retry-after': '16' },
    ...limited,
    later: '16',
    calls: 1,
    bar: 'user-rate'
  },
  'service rate': {
    ...throttle('SERVICE_REQUEST_RATE_EXCEEDED'),
    ...limited,
    later: '3',
    calls: 2
  },
  'a rate with words of limits': {
    ...throttle(null, {}, 'You have reached the limit of requests.'),
    ...limited,
    later: '3',
    calls: 2
  },
  'a rate with a long wait': {
    ...throttle(null),
    headers: { 'retry-after': '90' },
    ...limited,
    later: '90',
    calls: 1,
    bar: 'rate'
  },
  'capacity with 429': { ...throttle('INSUFFICIENT_MODEL_CAPACITY'), ...overloaded },
  'capacity with 500': {
    status: 500,
    body: { message: 'm', reason: 'MODEL_TEMPORARILY_UNAVAILABLE' },
    ...overloaded
  },
  suspicion: {
    ...throttle(null, {}, SUSPICIOUS),
    openAi: [429, 'rate_limit_error', 'account_restricted'],
    anthropic: [429, 'rate_limit_error'],
    later: 'final',
    calls: 1,
    bar: 'suspicion'
  },
  'seat that admits other programs': {
    status: 403,
    body: { __type: 'x#AccessDeniedException', message: FOREIGN },
    openAi: [403, 'permission_error', 'client_not_supported'],
    anthropic: [403, 'permission_error'],
    later: 'final',
    calls: 1,
    bar: 'not-admitted',
    says: /API keys are the official way.*KIRO_API_KEY.*KIRO_USER_AGENT/
  },
  suspended: {
    status: 403,
    body: { message: 'Your User ID (x) temporarily is suspended.' },
    openAi: [403, 'permission_error', null],
    anthropic: [403, 'permission_error'],
    later: 'final',
    calls: 1
  },
  entitlement: {
    status: 403,
    body: { message: 'm', reason: 'FEATURE_NOT_SUPPORTED' },
    openAi: [403, 'permission_error', null],
    anthropic: [403, 'permission_error'],
    later: 'final',
    calls: 1
  },
  'a key of an organisation': {
    status: 409,
    body: { message: 'm', reason: 'CUSTOMER_KMS_KEY_DISABLED' },
    ...refused
  }
}

interface Told {
  readonly error: { readonly message: string; readonly type: string; readonly code?: string | null }
}

async function setUp(t: Test, { status, headers, body }: Pick<Row, 'status' | 'headers' | 'body'>) {
  const upstream = await CountingUpstream.start(t, (_request, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  })
  const primary = await FakePrimary.start(t, upstream.url, { env: { UPSTREAM_MAX_ATTEMPTS: '2' } })
  const post = async (path: keyof typeof bodies) => {
    const response = await fetch(`${primary.url}${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify(bodies[path])
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const barsTold = () =>
    primary.messages.flatMap((one) => (one.type === 'account.refused' ? [one.refusal.bar] : []))
  return { upstream, primary, post, barsTold }
}

for (const [name, row] of Object.entries(rows)) {
  t.test(name, { jobs: 3 }, async (t) => {
    for (const path of Object.keys(bodies) as (keyof typeof bodies)[]) {
      t.test(path, async (t) => {
        const { upstream, post, barsTold } = await setUp(t, row)
        const { status, headers, text } = await post(path)
        const { error } = JSON.parse(text) as Told
        const [expectedStatus, type, code] =
          path === '/v1/messages' ? [...row.anthropic, undefined] : row.openAi
        t.match(
          { status, type: error.type, code: error.code },
          { status: expectedStatus, type, code }
        )
        t.equal(headers.get('x-should-retry'), row.later === 'final' ? 'false' : null)
        t.equal(headers.get('retry-after'), row.later === 'final' ? null : row.later)
        t.equal(upstream.requests, row.calls, 'calls')
        const said = String(row.body['message'])
        t.ok(error.message.includes(said), error.message)
        const { reason } = row.body
        if (typeof reason === 'string') t.ok(error.message.includes(`(reason: ${reason})`))
        if (row.says !== undefined) t.match(error.message, row.says)
        t.same([...new Set(barsTold())], row.bar === undefined ? [] : [row.bar])
      })
    }
  })
}

t.test('the account', (t) => {
  t.test('is not asked again after a quota, and everybody reads why and until when', async (t) => {
    const { upstream, primary, post } = await setUp(t, rows['monthly quota'] as Row)
    await post('/v1/messages')
    const { text, status, headers } = await post('/v1/chat/completions')
    t.equal(status, 429)
    t.equal(headers.get('x-should-retry'), 'false')
    t.match(text, /You have reached the limit.*asks the upstream again after 20\d\d-/)
    t.equal(upstream.requests, 1)
    const ready = await fetch(`${primary.url}/readyz`)
    t.equal(ready.status, 503)
    t.match(await ready.text(), /You have reached the limit/)
    primary.tell({ type: 'account.standing', standing: GOOD_STANDING })
    await post('/v1/messages')
    t.equal(upstream.requests, 2, 'once the primary says so')
  })

  t.test('of which another worker has heard is not asked', async (t) => {
    const { upstream, primary, post } = await setUp(t, rows['monthly quota'] as Row)
    const bar = {
      bar: 'suspicion',
      code: 'GW_UPSTREAM_RESTRICTED',
      message: SUSPICIOUS,
      until: Date.now() + 60_000
    } as const
    primary.tell({
      type: 'account.standing',
      standing: { bars: [bar], suspectedAt: Date.now() }
    })
    t.match(await post('/v1/messages'), { status: 429, text: /suspicious activity/ })
    t.equal(upstream.requests, 0)
    primary.tell({
      type: 'account.standing',
      standing: { bars: [{ ...bar, until: Date.now() - 1 }], suspectedAt: Date.now() }
    })
    await post('/v1/messages')
    t.equal(upstream.requests, 1, 'its time is over')
  })

  t.test('that was suspected within a day is told other advice', async (t) => {
    const suspected = { bars: [], suspectedAt: Date.now() - 3_600_000 }
    const foreign = await setUp(t, rows['seat that admits other programs'] as Row)
    foreign.primary.tell({ type: 'account.standing', standing: suspected })
    const { text } = await foreign.post('/v1/messages')
    t.match(text, /stop using the account for automation/)
    t.notMatch(text, /KIRO_USER_AGENT/)

    const locked = await setUp(t, { status: 403, body: { message: 'User is not authorized' } })
    t.match(await locked.post('/v1/messages'), { status: 403 })
    t.notOk(locked.primary.messages.some(({ type }) => type === 'credential.suspended'))
    locked.primary.tell({ type: 'account.standing', standing: suspected })
    await locked.post('/v1/messages')
    t.ok(locked.primary.messages.some(({ type }) => type === 'credential.suspended'))
  })
  t.end()
})
