import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { ModelCatalogue } from '../../../src/control/account/model-catalogue.ts'
import { BUILT_IN_CATALOGUE, type Catalogue } from '../../../src/kiro/models/models.ts'
import type { CredentialSnapshot } from '../../../src/kiro/wire/credential-snapshot.ts'
import type { JsonRequest, JsonResponse } from '../../../src/upstream/call/json-exchange.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

mock.timers.enable({ apis: ['setTimeout'] })
t.teardown(() => mock.timers.reset())

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const snapshot: CredentialSnapshot = {
  id: 'a',
  token: 'secret-token',
  tokenType: 'none',
  authType: 'social',
  profileArn: 'arn:1',
  apiRegion: 'us-east-1',
  expiresAt: null
}

type Reply = JsonResponse | Error

function setUp(t: Test, changes: { credential?: CredentialSnapshot | null } = {}) {
  const replies: Reply[] = []
  const requests: JsonRequest[] = []
  const changed: Catalogue[] = []
  const { log, text } = recordedLog()
  const catalogue = new ModelCatalogue({
    call: (request, signal) => {
      requests.push(request)
      const reply = replies.shift() ?? new Error('no more replies')
      if (signal.aborted) return Promise.reject(signal.reason as Error)
      return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply)
    },
    upstream: {
      apiUrl: 'http://api',
      managementUrl: null,
      authUrl: null,
      oidcUrl: null,
      userAgent: 'gateway/1'
    },
    credential: () => (changes.credential === undefined ? snapshot : changes.credential),
    onChange: (news) => void changed.push(news),
    log
  })
  t.teardown(() => catalogue.close())
  return { catalogue, replies, requests, changed, text }
}

function page(ids: readonly string[], nextToken?: string): JsonResponse {
  const models = ids.map((modelId) => ({ modelId }))
  return { status: 200, headers: {}, text: JSON.stringify({ models, nextToken }) }
}

function names(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `model-${index}`)
}

/** Lets the refresh that has just fallen due run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('ModelCatalogue', (t) => {
  t.test('has the built-in list until the upstream has given its own, page by page', async (t) => {
    const { catalogue, replies, requests, changed } = setUp(t)
    t.equal(catalogue.current, BUILT_IN_CATALOGUE)
    replies.push(page(['a', 'b'], 'second'), page(['c']))
    await catalogue.start()
    t.match(catalogue.current, { isLive: true, models: [{ id: 'a' }, { id: 'b' }, { id: 'c' }] })
    t.same(changed, [catalogue.current])
    t.same(
      requests.map(({ body }) => JSON.parse(body ?? '')),
      [
        { origin: 'AI_EDITOR', profileArn: 'arn:1' },
        { origin: 'AI_EDITOR', profileArn: 'arn:1', nextToken: 'second' }
      ]
    )
    t.match(requests[0], {
      method: 'POST',
      url: 'http://api/',
      headers: {
        authorization: 'Bearer secret-token',
        'x-amz-target': 'AmazonCodeWhispererService.ListAvailableModels'
      }
    })
  })

  t.test('reads so much of a list and no more, however many pages there are', async (t) => {
    const { catalogue, replies, requests } = setUp(t)
    for (let at = 0; at < 40; at++) {
      const models = [{ modelId: `m${at}`, description: 'x'.repeat(300_000) }]
      replies.push({ ...page([]), text: JSON.stringify({ models, nextToken: `${at}` }) })
    }
    await catalogue.start()
    t.equal(catalogue.current, BUILT_IN_CATALOGUE)
    t.equal(requests.length, 4)
    t.same(
      requests.map(({ maxBytes }) => maxBytes! <= 2 ** 20 && maxBytes! > 0),
      [true, true, true, true]
    )
    t.ok(requests[3]!.maxBytes! < 150_000, 'what is left')
  })

  t.test('stops at a page without anything new: the upstream turns in a circle', async (t) => {
    const { catalogue, replies, requests } = setUp(t)
    replies.push(page(['a'], 'next'), page(['a'], 'next'), page(['a'], 'next'))
    await catalogue.start()
    t.match(catalogue.current, { isLive: true, models: [{ id: 'a' }] })
    t.equal(catalogue.current.models.length, 1)
    t.equal(requests.length, 2)
  })

  t.test('tells once of a list without Claude models', async (t) => {
    const { catalogue, replies, text } = setUp(t)
    const told = () => text().split('no Claude model').length - 1
    for (const [ids, times] of [
      [['gpt-5.6-sol'], 1],
      [['gpt-5.6-sol'], 1],
      [['claude-opus-5', 'gpt-5.6-sol'], 1],
      [['gpt-5.6-sol'], 2]
    ] as const) {
      replies.push(page(ids))
      await catalogue.start()
      t.equal(told(), times)
    }
  })

  t.test('asks again every hour', async (t) => {
    const { catalogue, replies, requests } = setUp(t)
    replies.push(page(['a']), page(['b']))
    await catalogue.start()
    mock.timers.tick(HOUR_MS - 1)
    await settle()
    t.equal(requests.length, 1)
    mock.timers.tick(1)
    await settle()
    t.match(catalogue.current, { models: [{ id: 'b' }] })
  })

  for (const [what, reply] of [
    ['an error', new Error('down')],
    ['another status', { status: 403, headers: {}, text: '{"models":[{"modelId":"x"}]}' }],
    ['no JSON', { status: 200, headers: {}, text: '<html>' }],
    ['an empty list', page([])],
    ['a list of more models than there can be', page(names(501))],
    ['a list that is too long', { ...page(['x']), text: `{"models":[${' '.repeat(2 ** 20)}]}` }],
    ['more brackets than text', { ...page(['x']), text: `{"models":[${'[],'.repeat(30_000)}[]]}` }]
  ] as const) {
    t.test(`keeps what it has after ${what}, and asks again in a minute`, async (t) => {
      const { catalogue, replies, requests, changed, text } = setUp(t)
      replies.push(reply, page(['a']), reply, page(['b']))
      await catalogue.start()
      t.equal(catalogue.current, BUILT_IN_CATALOGUE)
      t.equal(changed.length, 0)
      t.match(text(), /model list unavailable/)
      t.notMatch(text(), /secret-token/)
      mock.timers.tick(MINUTE_MS)
      await settle()
      t.match(catalogue.current, { isLive: true, models: [{ id: 'a' }] })
      mock.timers.tick(HOUR_MS)
      await settle()
      t.match(catalogue.current, { isLive: true, models: [{ id: 'a' }] }, 'the last one stays')
      t.equal(requests.length, 3)
      mock.timers.tick(MINUTE_MS)
      await settle()
      t.match(catalogue.current, { models: [{ id: 'b' }] })
    })
  }

  t.test('takes no part of a list that could not be had whole', async (t) => {
    const { catalogue, replies } = setUp(t)
    replies.push(page(['a'], 'second'), new Error('down'))
    await catalogue.start()
    t.equal(catalogue.current, BUILT_IN_CATALOGUE)
  })

  t.test('does not follow pages for ever', async (t) => {
    const { catalogue, replies, requests } = setUp(t)
    for (let i = 0; i < 100; i++) replies.push(page([`m${i}`], 'again'))
    await catalogue.start()
    t.equal(requests.length, 20)
    t.equal(catalogue.current.models.length, 20)
  })

  t.test('does not call without credentials', async (t) => {
    const { catalogue, requests, text } = setUp(t, { credential: null })
    await catalogue.start()
    t.equal(requests.length, 0)
    t.match(text(), /no credentials/)
  })

  t.test('close() ends it: nothing is asked or logged any more', async (t) => {
    const { catalogue, replies, requests, text } = setUp(t)
    replies.push(page(['a']))
    const started = catalogue.start()
    catalogue.close()
    await started
    await settle()
    mock.timers.tick(2 * HOUR_MS)
    await settle()
    t.equal(requests.length, 1)
    t.notMatch(text(), /not available/)
  })
  t.end()
})
