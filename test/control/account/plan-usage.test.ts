import t from 'tap'
import type { CredentialNews } from '../../../src/ipc/messages.ts'
import { PlanUsage } from '../../../src/control/account/plan-usage.ts'
import type { JsonRequest, JsonResponse } from '../../../src/upstream/call/json-exchange.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'

const ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/P'
const snapshot = credentialSnapshot({ token: 'old', authType: 'social', profileArn: ARN })
const used = { status: 200, headers: {}, text: '{"usageBreakdownList":[{"currentUsage":7}]}' }
const tokenRefused = {
  status: 403,
  headers: {},
  text: '{"message":"The bearer token included in the request is invalid."}'
}

function setUp(replies: readonly (JsonResponse | Error)[], news?: CredentialNews) {
  const left = [...replies]
  const requests: JsonRequest[] = []
  const renewed: string[] = []
  const clock = { ms: 0 }
  const planUsage = new PlanUsage({
    call: (request, signal) => {
      requests.push(request)
      const reply = signal.aborted ? (signal.reason as Error) : left.shift()
      if (reply instanceof Error) return Promise.reject(reply)
      return reply === undefined ? Promise.reject(new Error('no reply')) : Promise.resolve(reply)
    },
    upstream: {
      apiUrl: 'http://api',
      managementUrl: null,
      authUrl: null,
      oidcUrl: null,
      userAgent: 'gateway/1'
    },
    credentials: {
      news: () =>
        news ?? {
          snapshot: { ...snapshot, token: renewed.length === 0 ? 'old' : 'new' },
          problem: null
        },
      wanted: () => Promise.resolve(),
      refused: (token) => {
        renewed.push(token)
        return Promise.resolve()
      }
    },
    now: () => clock.ms
  })
  return { planUsage, requests, renewed, clock }
}

t.test('PlanUsage', (t) => {
  t.test(
    'asks anew, however fresh its figures are, when they cannot be true any more',
    async (t) => {
      const text = '{"usageBreakdownList":[{"currentUsage":7,"usageLimit":7}]}'
      const { planUsage, requests } = setUp([used, { ...used, text }, { ...used, text }, used])
      await planUsage.current()
      planUsage.onAnswered()
      t.equal(requests.length, 1, 'something is left')
      await planUsage.anew()
      t.equal(requests.length, 2, 'a quota was met')
      for (let n = 0; n < 3; n++) {
        planUsage.onAnswered()
        await planUsage.current()
      }
      t.equal(requests.length, 3, 'once: the figures of Kiro may lag')
      await planUsage.anew()
      t.equal(requests.length, 4)
    }
  )

  t.test('asks the upstream once for all who ask, and again after 15 s', async (t) => {
    const { planUsage, requests, clock } = setUp([used, used])
    const [one, other] = await Promise.all([planUsage.current(), planUsage.current()])
    t.match(one, { usage: { allowances: [{ used: 7 }] }, problem: null })
    t.equal(one, other)
    clock.ms = 14_999
    t.match(await planUsage.current(), { usage: {} })
    t.equal(requests.length, 1)
    clock.ms = 15_000
    await planUsage.current()
    t.equal(requests.length, 2)
    const url = new URL(requests[0]?.url ?? '')
    t.equal(url.pathname, '/getUsageLimits')
    t.same(Object.fromEntries(url.searchParams), {
      origin: 'AI_EDITOR',
      resourceType: 'AGENTIC_REQUEST',
      profileArn: ARN
    })
    t.match(requests[0], { method: 'GET', headers: { authorization: 'Bearer old' } })
  })

  t.test('asks again where another token is in use by now, maybe of another account', async (t) => {
    const { planUsage, requests, renewed } = setUp([used, used, used])
    const asked = planUsage.current()
    renewed.push('by a new sign-in')
    t.match(await asked, { usage: {} })
    t.match(
      requests.map(({ headers }) => headers),
      [{ authorization: 'Bearer old' }, { authorization: 'Bearer new' }]
    )
    await planUsage.current()
    t.equal(requests.length, 2)
    renewed.pop()
    await planUsage.current()
    t.equal(requests.length, 3, 'an answer that is fresh is of another token')
  })

  t.test('asks without the ARN where it is refused with it', async (t) => {
    for (const status of [400, 403]) {
      const denied = { status, headers: {}, text: '{"message":"not for this account"}' }
      const { planUsage, requests } = setUp([denied, used])
      t.match(await planUsage.current(), { usage: {}, problem: null })
      t.notMatch(requests[1]?.url, /profileArn/)
    }
  })

  t.test('asks again with a renewed token, once', async (t) => {
    const { planUsage, requests, renewed } = setUp([tokenRefused, used])
    t.match(await planUsage.current(), { usage: {}, problem: null })
    t.same(renewed, ['old'])
    t.match(requests[1], { headers: { authorization: 'Bearer new' } })
    const { planUsage: other, requests: asked } = setUp([tokenRefused, tokenRefused])
    t.match(await other.current(), { usage: null, problem: { code: 'GW_UPSTREAM_AUTH' } })
    t.equal(asked.length, 2)
  })

  t.test('tells why it is not known, and asks anew the next time', async (t) => {
    const busy = { status: 429, headers: {}, text: '{"message":"slow down","__type":"Throttling"}' }
    const html = { status: 200, headers: {}, text: '<html>' }
    const { planUsage } = setUp([busy, html, new Error('torn'), used])
    t.match(await planUsage.current(), {
      usage: null,
      problem: { code: 'GW_UPSTREAM_RATE_LIMITED' }
    })
    t.match(await planUsage.current(), { usage: null, problem: { code: 'GW_UPSTREAM_STATUS' } })
    t.match(await planUsage.current(), { usage: null, problem: { code: 'GW_INTERNAL' } })
    t.match(await planUsage.current(), { usage: {}, problem: null })
  })

  t.test('asks nothing without credentials, or after close()', async (t) => {
    const problem = { code: 'GW_NOT_READY', message: 'sign in' } as const
    const { planUsage, requests } = setUp([used], { snapshot: null, problem })
    t.same(await planUsage.current(), { usage: null, problem })
    t.same(requests, [])
    const closed = setUp([used]).planUsage
    closed.close()
    t.match(await closed.current(), { usage: null, problem: { code: 'GW_DRAINING' } })
  })
  t.end()
})
