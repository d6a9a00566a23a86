import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GOOD_STATUS } from '../../../src/ipc/messages.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { isNightly } from '../../helper/nightly.ts'
import {
  FOREIGN_PROGRAM,
  reasonOf,
  refusalTable,
  UPSTREAM_REFUSALS,
  type UpstreamRefusal
} from '../../helper/upstream-refusals.ts'

// kiro-protocol, §8.6, §8.8, §8.9: what clients get of every refusal, and how often it is asked for.

t.setTimeout(600_000)

const bodies = {
  '/v1/chat/completions': { model: 'auto', messages: [{ role: 'user', content: 'hi' }] },
  '/v1/responses': { model: 'auto', store: false, input: 'hi' },
  '/v1/messages': { model: 'auto', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }
} as const

interface Told {
  readonly type?: string
  readonly error: Readonly<Record<string, unknown>> & { readonly message: string }
  readonly request_id?: string
}

type Refusing = Pick<UpstreamRefusal, 'status' | 'headers' | 'body'>

async function setUp(t: Test, { status, headers, body }: Refusing) {
  const upstream = await CountingUpstream.start(t, (_request, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  const primary = await FakePrimary.start(t, upstream.url, { env: { UPSTREAM_MAX_ATTEMPTS: '2' } })
  void renewOnce(primary)
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

/** Has another token for the first that is refused. */
async function renewOnce(primary: FakePrimary): Promise<void> {
  const requestId = await primary.asked('credential.refused')
  const snapshot = credentialSnapshot({ token: 'token-2' })
  primary.tell({ type: 'credential.changed', news: { snapshot, problem: null } })
  primary.tell({ type: 'answered', requestId, answer: null })
}

for (const [index, [name, refusal]] of Object.entries(UPSTREAM_REFUSALS).entries()) {
  t.test(name, { jobs: 2 }, async (t) => {
    // By day the two APIs of one shape take turns; test/dialects/error-body.test.ts has each error in all shapes.
    const isSkipped = index % 2 === 0 ? '/v1/chat/completions' : '/v1/responses'
    for (const path of Object.keys(bodies) as (keyof typeof bodies)[]) {
      if (path === isSkipped && !isNightly) continue
      t.test(path, async (t) => {
        const { upstream, post, barsTold } = await setUp(t, refusal)
        const { status, headers, text } = await post(path)
        const told = JSON.parse(text) as Told
        const { message } = told.error
        if (path === '/v1/messages') {
          const [expected, type] = refusal.anthropic
          t.equal(status, expected)
          t.strictSame(told, {
            type: 'error',
            error: { type, message },
            request_id: headers.get('request-id')
          })
        } else {
          const [expected, type, code, param = null] = refusal.openAi
          t.equal(status, expected)
          t.strictSame(told, { error: { message, type, param, code } })
        }
        const isFinal = refusal.later === 'final'
        t.equal(headers.get('x-should-retry'), isFinal ? 'false' : null)
        t.equal(headers.get('retry-after'), isFinal ? null : refusal.later)
        t.equal(upstream.requests, refusal.calls, 'calls')
        const reason = reasonOf(refusal)
        if (typeof refusal.body !== 'string')
          t.ok(message.includes(String(refusal.body['message'])), message)
        if (reason !== null) t.ok(message.includes(`(reason: ${reason})`), message)
        if (refusal.says !== undefined) t.match(message, refusal.says)
        t.same([...new Set(barsTold())], refusal.bar === undefined ? [] : [refusal.bar])
      })
    }
  })
}

t.test('docs/errors.md has the same table', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/errors.md'), 'utf8')
  t.ok(page.includes(`\n\n${refusalTable()}`), `it should have this:\n${refusalTable()}`)
})

t.test('the table has every reason that the gateway knows', async (t) => {
  const known = readFileSync(
    join(import.meta.dirname, '../../../src/kiro/wire/fault-table.ts'),
    'utf8'
  )
  const tested = Object.values(UPSTREAM_REFUSALS).map(reasonOf)
  const reasons = known.matchAll(/\b[A-Z]{4,}(?:_[A-Z]+)+\b/g)
  const missing = [...reasons].map(([name]) => name).filter((name) => !tested.includes(name))
  t.same(
    missing.filter((name) => !['SIGNATURE_WORDS', 'FIELDS_WORDS', 'TOKEN_TYPES'].includes(name)),
    []
  )
})

t.test('the account', (t) => {
  t.test(
    'is not asked again after a quota, and others read why and until when, in words of ours',
    async (t) => {
      const { upstream, primary, post } = await setUp(
        t,
        UPSTREAM_REFUSALS['monthly quota'] as UpstreamRefusal
      )
      await post('/v1/messages')
      const { text, status, headers } = await post('/v1/chat/completions')
      t.equal(status, 429)
      t.equal(headers.get('x-should-retry'), 'false')
      t.match(
        text,
        /quota of the upstream account is used up.*asks the upstream again after 20\d\d-/
      )
      t.equal(upstream.requests, 1)
      const ready = await fetch(`${primary.url}/readyz`, { headers: { 'x-api-key': 'good-key' } })
      t.equal(ready.status, 503)
      t.match(await ready.json(), {
        problems: [/^The quota of the upstream account is used up/],
        codes: ['quota-used-up']
      })
      primary.tell({ type: 'account.status', status: GOOD_STATUS })
      await post('/v1/messages')
      t.equal(upstream.requests, 2, 'once the primary says so')
    }
  )

  t.test('whose quota is used up is told in words that end the loops of clients', async (t) => {
    const { post } = await setUp(t, UPSTREAM_REFUSALS['monthly quota'] as UpstreamRefusal)
    const first = JSON.parse((await post('/v1/chat/completions')).text) as Told
    const said = 'You have reached the limit. (reason: MONTHLY_REQUEST_COUNT)'
    t.equal(first.error.message, said, 'what the upstream has said goes on as it is')
    for (const path of ['/v1/messages', '/v1/chat/completions', '/v1/responses'] as const) {
      const { text } = await post(path)
      t.match(text, /quota[^"]*exhausted[^"]*reset at/, 'as Qwen Code looks for them')
      t.equal(text.match(/exhausted/g)?.length, 1)
    }
  })

  t.test('of which another worker has heard is not asked', async (t) => {
    const { upstream, primary, post } = await setUp(
      t,
      UPSTREAM_REFUSALS['monthly quota'] as UpstreamRefusal
    )
    const bar = {
      bar: 'suspicion',
      code: 'GW_UPSTREAM_RESTRICTED',
      until: Date.now() + 60_000
    } as const
    primary.tell({
      type: 'account.status',
      status: { ...GOOD_STATUS, bars: [bar], suspectedAt: Date.now() }
    })
    t.match(await post('/v1/messages'), { status: 429, text: /suspects abuse/ })
    t.equal(upstream.requests, 0)
    primary.tell({
      type: 'account.status',
      status: {
        ...GOOD_STATUS,
        bars: [{ ...bar, until: Date.now() - 1 }],
        suspectedAt: Date.now()
      }
    })
    await post('/v1/messages')
    t.equal(upstream.requests, 1, 'its time is over')
  })

  t.test('that was suspected within a day is told other advice', async (t) => {
    const suspected = { ...GOOD_STATUS, suspectedAt: Date.now() - 3_600_000 }
    const foreign = await setUp(t, { status: 403, body: { message: FOREIGN_PROGRAM } })
    foreign.primary.tell({ type: 'account.status', status: suspected })
    const { text } = await foreign.post('/v1/messages')
    t.match(text, /Stop using the account for automation/)
    t.notMatch(text, /KIRO_USER_AGENT/)

    const locked = await setUp(t, { status: 403, body: { message: 'User is not authorized' } })
    t.match(await locked.post('/v1/messages'), { status: 403 })
    t.notOk(locked.primary.messages.some(({ type }) => type === 'credential.suspended'))
    locked.primary.tell({ type: 'account.status', status: suspected })
    await locked.post('/v1/messages')
    t.ok(locked.primary.messages.some(({ type }) => type === 'credential.suspended'))
  })
  t.end()
})
