import t from 'tap'
import { madeUpFleet } from '../helper/made-up-figures.ts'
import type { Now, ShownAccount } from '../../src/dashboard/feed.ts'
import { inLocalTime } from '../../src/dashboard/page/format.js'
import { SteadyVerdict } from '../../src/dashboard/page/steady.js'
import { judge } from '../../src/dashboard/verdict.ts'

const AT = Date.UTC(2026, 10, 26, 12)
const DAY_MS = 86_400_000
const LOGIN_HINT =
  'Sign in again in Kiro IDE, set REFRESH_TOKEN to the new refresh token, and restart.'
/** As the gateway words it, for a sign-in of REFRESH_TOKEN. */
const DEAD = {
  code: 'GW_UPSTREAM_AUTH',
  message: `The Kiro sign-in of this gateway is no longer valid (HTTP 401, invalid_grant). ${LOGIN_HINT}`
}

const calm: Now = {
  verdict: { level: 'green', code: 'well', sentence: '', facts: '', problems: [], action: null },
  at: AT,
  webSockets: { open: 0, busy: 0, keptBytes: 0 },
  connections: {
    budget: 300,
    unleased: 0,
    inUse: 37,
    idle: 5,
    connecting: 0,
    closing: 0,
    members: []
  },
  waiting: { permits: 0, gated: 0, longestMs: 0, max: 1000, pausedUntil: null },
  fleet: null,
  pace: null,
  requests: {
    inFlight: 37,
    streams: 37,
    total: 9,
    failed: 0,
    perMinute: 60,
    failedPerMinute: 0,
    failing: null
  },
  tokens: { input: 0, output: 0, perMinute: 0, inputPerMinute: 0, outputPerMinute: 0 },
  counts: [],
  credits: { total: 0, perHour: 0 },
  latency: { firstMs: null, totalMs: null },
  errors: [],
  memory: { limitBytes: 512 * 2 ** 20, usedBytes: 160 * 2 ** 20, of: 'container' },
  cpu: { cores: 0.4, limit: 2 },
  processes: [{ name: 'primary', pid: 1, rssBytes: 1, cpu: 0, loopDelayMs: null }],
  workers: [
    { slot: 1, state: 'ready', pid: 2, startedAt: AT, restarts: 0 },
    { slot: 2, state: 'ready', pid: 3, startedAt: AT, restarts: 0 }
  ],
  workerRestarts: 0,
  isCrashLooping: false,
  running: [],
  dashboards: 1
}

const account: ShownAccount = {
  version: '0.1.0',
  node: '24.21.0',
  startedAt: AT - DAY_MS,
  isSimulated: false,
  signIn: {
    isUsable: true,
    state: 'signed-in',
    method: 'social',
    region: 'us-east-1',
    expiresAt: AT + 3_600_000,
    renewsItself: true,
    endsAt: null,
    remedy: LOGIN_HINT,
    problem: null
  },
  outlook: null,
  quota: {
    plan: 'KIRO PRO',
    unit: 'credits',
    used: 300,
    limit: 1000,
    remaining: 700,
    resetsAt: AT + 5 * DAY_MS,
    overage: null,
    problem: null
  },
  problems: [],
  settings: { poolTimeoutMs: null, workers: 2 }
}

const signedIn = (changes: Partial<ShownAccount['signIn']>): ShownAccount => ({
  ...account,
  signIn: { ...account.signIn, ...changes }
})
const withQuota = (remaining: number): ShownAccount => ({
  ...account,
  quota: account.quota && { ...account.quota, remaining, used: 1000 - remaining }
})

t.test('a calm gateway is well, in figures', async (t) => {
  const { level, sentence, facts, problems } = judge(calm, account)
  t.same([level, sentence, problems], ['green', 'All is well.', []])
  t.equal(facts, '2 workers serve 37 streams, none waiting, 37 of 300 connections in use.')
  const simulated = judge(calm, { ...account, isSimulated: true })
  t.match(simulated.facts, /simulator, not from a model/)
  t.equal(
    judge({ ...calm, connections: { ...calm.connections, budget: null } }, account).level,
    'green'
  )
})

t.test('each trouble says what it is and what to do', async (t) => {
  const waiting = { permits: 12, gated: 0, longestMs: 2_000, max: 1000, pausedUntil: null }
  const full = { ...calm.connections, inUse: 300 }
  const [one, other] = calm.workers
  if (one === undefined || other === undefined) throw new Error('two workers')
  const cases: readonly [
    code: string,
    level: string,
    now: Now,
    account: ShownAccount,
    says: RegExp
  ][] = [
    [
      'signed-out',
      'red',
      calm,
      signedIn({ isUsable: false, state: 'signed-out', problem: DEAD }),
      /^The sign-in has ended\..*REFRESH_TOKEN.*restart/
    ],
    ['sign-in-failing', 'amber', calm, signedIn({ state: 'failing' }), /is still valid/],
    ['sign-in-failing', 'red', calm, signedIn({ isUsable: false, state: 'failing' }), /doctor/],
    ['sign-in-waiting', 'amber', calm, signedIn({ isUsable: false, state: 'waiting' }), /resolves/],
    ['sign-in-ends', 'amber', calm, signedIn({ endsAt: AT + DAY_MS }), /REFRESH_TOKEN/],
    ['quota-out', 'red', calm, withQuota(0), /All 1,000 credits/],
    ['quota-low', 'amber', calm, withQuota(50), /5 % of the plan/],
    [
      'worker-missing',
      'amber',
      { ...calm, workers: [one, { ...other, state: 'starting' }] },
      account,
      /worker 2 is starting/
    ],
    [
      'worker-missing',
      'red',
      { ...calm, isCrashLooping: true, workers: [one, { ...other, state: 'restarting' }] },
      account,
      /docker logs/
    ],
    [
      'worker-replaced',
      'amber',
      { ...calm, workers: [{ ...one, restarts: 1, startedAt: AT - 9_000 }] },
      account,
      /Worker 1 has died.*worker died/
    ],
    [
      'no-worker',
      'red',
      { ...calm, workers: [{ ...one, state: 'silent' }] },
      account,
      /worker 1 is silent/
    ],
    [
      'waiting',
      'amber',
      { ...calm, waiting, connections: full },
      account,
      /300 of 300.*HTTP_MAX_CONNECTIONS/
    ],
    [
      'waiting',
      'red',
      { ...calm, waiting: { ...waiting, longestMs: 11_000 } },
      account,
      /11 s.*HTTP_MAX_CONNECTIONS is not the reason/
    ],
    [
      'pace',
      'amber',
      { ...calm, pace: { limit: 60, free: 0 }, waiting: { ...waiting, gated: 12 } },
      account,
      /limit of 60 requests a minute/
    ],
    [
      'paused',
      'amber',
      { ...calm, waiting: { ...waiting, permits: 0, pausedUntil: AT + 1 } },
      account,
      /pause/
    ],
    [
      'failures',
      'amber',
      {
        ...calm,
        requests: { ...calm.requests, failedPerMinute: 40 },
        errors: [
          { code: 'GW_CLIENT_CLOSED', fault: 'client', total: 90, lastHour: 90 },
          { code: 'GW_UPSTREAM_RESET', fault: 'upstream', total: 40, lastHour: 40 }
        ]
      },
      account,
      /40 of 60.*Most are GW_UPSTREAM_RESET/s
    ],
    [
      'memory',
      'amber',
      { ...calm, memory: { ...calm.memory, usedBytes: 460 * 2 ** 20 } },
      account,
      /460 MB of 512 MB/
    ],
    [
      'loop',
      'amber',
      {
        ...calm,
        processes: [
          {
            name: 'worker 1',
            pid: 2,
            rssBytes: 1,
            cpu: 1,
            loopDelayMs: { p50: 1, p99: 350, max: 900 }
          }
        ]
      },
      account,
      /worker 1 by 350 ms/
    ],
    ['cpu', 'amber', { ...calm, cpu: { cores: 1.97, limit: 2 } }, account, /1.97 of 2 cores/]
  ]
  for (const [code, level, now, whose, says] of cases) {
    const { problems, ...verdict } = judge(now, whose)
    const [problem] = problems
    t.same([verdict.code, verdict.level, problems.length], [code, level, 1], code)
    t.match(`${problem?.what} ${problem?.remedy}`, says)
    t.equal(verdict.sentence, problem?.what)
  }
})

t.test(
  'what the gateway itself says of the account comes first, and the worst leads',
  async (t) => {
    const barred = {
      code: 'GW_UPSTREAM_RESTRICTED',
      message: 'The account is limited.',
      until: AT + 60_000,
      bar: 'suspicion'
    }
    const { code, sentence, level } = judge(
      { ...calm, cpu: { cores: 2, limit: 2 } },
      { ...account, problems: [barred] }
    )
    t.same(
      [code, sentence, level],
      ['GW_UPSTREAM_RESTRICTED cpu', 'The account is limited.', 'red']
    )
  }
)

t.test('what an operator can do about the worst problem is named, with its place', async (t) => {
  const quota = {
    code: 'GW_UPSTREAM_QUOTA',
    message: 'You have reached the limit.',
    until: AT + 60_000,
    bar: 'monthly'
  }
  const again = { label: 'Call Kiro again now', place: 'gateway' }
  const verdict = judge({ ...calm, cpu: { cores: 2, limit: 2 } }, { ...account, problems: [quota] })
  t.same(verdict.action, again)
  t.same(
    verdict.problems.map(({ action }) => action),
    [again, null],
    'a busy CPU is not mended on the page'
  )
  const book = { code: 'GW_KEY_BOOK', message: 'The disk is full.', until: null, bar: null }
  t.equal(judge(calm, { ...account, problems: [book] }).action, null)
  const out = signedIn({ isUsable: false, state: 'signed-out', problem: DEAD })
  t.same(judge(calm, out).action, { label: 'Sign in to Kiro', place: 'gateway' })
  t.match(judge(failing(1), account).action, { place: 'requests?since=1h&failed=true' })
  const steady = new SteadyVerdict()
  steady.next(verdict, 0)
  t.same(steady.next(judge(calm, account), 100).action, again, 'as long as it is told')
})

t.test('a sentence names its times, and a page writes them in its own zone', async (t) => {
  const until = AT + 36 * 3_600_000
  const [quota] = barred('monthly', until)
  t.match(quota?.remedy, /calls Kiro again on 28 Nov 2026, 00:00:00 UTC \(in 36 h\)\./)
  t.same(quota?.times, [{ text: 'on 28 Nov 2026, 00:00:00 UTC', at: until }])
  const paused = { ...calm.waiting, pausedUntil: AT + 20_000 }
  const replaced = calm.workers.map((one) => ({ ...one, restarts: 1, startedAt: AT - 9_000 }))
  const said = [
    ...judge({ ...calm, waiting: paused, workers: replaced }, account).problems,
    ...judge(failing(1), signedIn({ endsAt: AT + 3_600_000 })).problems,
    ...judge(calm, withQuota(0)).problems,
    ...barred('unnamed', AT + 3_600_000)
  ]
  for (const { code, what, remedy, times } of said) {
    t.ok(times.length > 0, code)
    const text = times.reduce((text, time) => inLocalTime(text, [time], AT), `${what} ${remedy}`)
    t.notMatch(text, 'UTC', code)
  }
})

t.test('a death is told for a minute', async (t) => {
  const workers = calm.workers.map((one) => ({ ...one, restarts: 2, startedAt: AT - 61_000 }))
  t.equal(judge({ ...calm, workers }, account).level, 'green')
})

t.test('a wait of a moment, and a few failures among many answers, are no trouble', async (t) => {
  const waiting = { permits: 3, gated: 0, longestMs: 200, max: 1000, pausedUntil: null }
  const requests = { ...calm.requests, failedPerMinute: 2 }
  t.equal(judge({ ...calm, waiting, requests }, account).level, 'green')
})

const failing = (count: number, code = 'GW_UPSTREAM_CONNECT'): Now => {
  const reason = 'The upstream refused the connection (ECONNREFUSED, while connecting).'
  const level = count < 3 ? ('amber' as const) : ('red' as const)
  const last = { level, count, at: AT - 2_000, code, reason }
  return { ...calm, requests: { ...calm.requests, perMinute: 2, failing: last } }
}

t.test('two requests of one person that failed are not well, and three are bad', async (t) => {
  const seen = [1, 2, 3, 1200].map((count) => {
    const { level, code, sentence } = judge(failing(count), account)
    return [level, code, sentence]
  })
  t.same(seen, [
    ['amber', 'failures', 'The last request failed.'],
    ['amber', 'failures', 'The last 2 requests failed.'],
    ['red', 'failures', 'The last 3 requests failed.'],
    ['red', 'failures', 'The last 1200 requests failed.']
  ])
  const [problem] = judge(failing(1), account).problems
  t.match(problem?.remedy, /ECONNREFUSED.*GW_UPSTREAM_CONNECT, at/, 'the reason is there')
})

t.test('a dead sign-in is told once, with the one remedy that fits its source', async (t) => {
  const dead = signedIn({ isUsable: false, state: 'signed-out', problem: DEAD })
  const { problems, ...verdict } = judge(failing(5, DEAD.code), dead)
  t.same([verdict.level, verdict.sentence], ['red', 'The sign-in has ended.'])
  t.equal(problems.length, 1)
  const text = problems.map(({ what, remedy }) => `${what} ${remedy}`).join(' ')
  t.equal(text.split('REFRESH_TOKEN').length, 2, 'once')
  t.notMatch(text, /kiro-gateway login/, 'which is of no use while REFRESH_TOKEN is set')
  const pending = { code: 'GW_LOGIN_PENDING', message: 'The log shows a link and a code.' }
  const never = judge(calm, signedIn({ isUsable: false, state: 'signed-out', problem: pending }))
  t.same(
    never.problems.map(({ what, remedy }) => [what, remedy]),
    [['There is no usable sign-in.', pending.message]]
  )
})

const barred = (bar: string, until: number) =>
  judge(failing(5, 'GW_UPSTREAM_QUOTA'), {
    ...withQuota(0),
    problems: [{ code: 'GW_UPSTREAM_QUOTA', message: 'You have reached the limit.', until, bar }]
  }).problems

t.test('a quota that is used up says of which time, and on which day it resets', async (t) => {
  const resetsAt = account.quota?.resetsAt ?? 0
  const [monthly, ...more] = barred('monthly', resetsAt)
  t.same(more, [], 'once')
  t.equal(monthly?.what, "Kiro's monthly credits are used up.")
  t.match(monthly?.remedy, /^The quota resets on .*2026.* UTC \(in 5 days\)\. Kiro says: You have/)
  const [unnamed] = barred('unnamed', AT + 3_600_000)
  t.equal(unnamed?.what, "The Kiro account's quota is used up.")
  t.match(unnamed?.remedy, /^The gateway calls Kiro again (at|on) .* \(in 1 h\)\./)
})

t.test('a plan that would cost extra says what to do about it', async (t) => {
  const until = account.quota?.resetsAt ?? 0
  const bar = { code: 'GW_PLAN_LIMIT', message: 'Used up.', until, bar: 'overage' }
  const [one, ...more] = judge(failing(5, 'GW_PLAN_LIMIT'), {
    ...withQuota(0),
    problems: [bar]
  }).problems
  t.same(more, [], 'once')
  t.match(one, { level: 'red', code: 'GW_PLAN_LIMIT', what: /credits are used up/ })
  t.match(
    one?.remedy,
    /^The plan resets on .*ALLOW_OVERAGE=true, or kiro-gateway key set NAME --overage/
  )
})

t.test('credits that were used elsewhere are told of where they are many', async (t) => {
  const outlook = {
    outsideToday: 3.1,
    outside: 40,
    since: AT,
    isDrifting: true,
    perDay: null,
    usedUpAt: null
  }
  const [drift] = judge(calm, { ...account, outlook }).problems
  t.match(drift, { level: 'amber', what: /^3\.1 credits used today did not go through/ })
  t.same(judge(calm, { ...account, outlook: { ...outlook, isDrifting: false } }).problems, [])
})

t.test('a pause that the upstream asked for is not a lack of connections', async (t) => {
  const waiting = { permits: 8, gated: 8, longestMs: 2_000, max: 1000, pausedUntil: AT + 1_000 }
  const { problems } = judge({ ...calm, waiting }, account)
  t.same(
    problems.map(({ code }) => code),
    ['paused']
  )
  const ending = judge({ ...calm, waiting: { ...waiting, pausedUntil: AT - 1 } }, account)
  t.match(ending.sentence, /one by one after a pause/, 'nor a pace, where there is none')
  const both = judge({ ...calm, waiting: { ...waiting, permits: 10 } }, account)
  t.match(both.problems[1]?.what, /^2 requests wait for a connection/)
})

t.test(
  'trouble that has passed is told as that for a while, beside the figures of now',
  async (t) => {
    const steady = new SteadyVerdict()
    const good = judge(calm, account)
    const bad = judge(calm, withQuota(0))
    t.equal(steady.next(good, 0), good)
    t.equal(steady.next(bad, 100), bad)
    const now = judge({ ...calm, requests: { ...calm.requests, streams: 8 } }, account)
    const passed = steady.next(now, 3_000)
    t.match(passed, {
      level: 'red',
      code: 'quota-out',
      sentence: 'A moment ago: All 1,000 credits of the plan are used.',
      facts: /8 streams/
    })
    t.equal(steady.next(bad, 4_000), bad)
    t.equal(steady.next(good, 8_900).level, 'red')
    t.equal(steady.next(good, 9_100), good)
    const less = judge(failing(1), account)
    t.equal(steady.next(judge(failing(3), account), 9_200).level, 'red')
    t.equal(steady.next(less, 9_300), less, 'the same trouble is told as it is now')
    steady.next(bad, 9_400)
    steady.forget()
    t.equal(steady.next(good, 9_500), good)
  }
)

t.test('a fleet that is whole is no news, and one that is not says who is missing', async (t) => {
  const fleet = madeUpFleet()
  const codeOf = (more: Partial<typeof fleet>) => {
    const { level, code, sentence } = judge({ ...calm, fleet: { ...fleet, ...more } }, account)
    return [level, code, sentence]
  }
  t.same(codeOf({}), ['green', 'well', 'All is well.'])
  const away = codeOf({ contactMs: 41_000 })
  t.same(away, ['red', 'fleet-engine', "The fleet's Valkey has not answered for 41 s."])
  const reason = "This gateway is waiting for its fleet's Valkey."
  t.same(codeOf({ problem: reason, stage: 'joining' }), ['red', 'fleet-outside', reason])
  const unshared = "The fleet's Valkey cannot read or write: items, pace."
  t.same(codeOf({ unshared: ['items', 'pace'] }), ['amber', 'fleet-unshared', unshared])
  const [first] = fleet.members
  const members = first === undefined ? [] : [first]
  const sentence = '1 gateway of 3 in the fleet is present. x: awaited.'
  t.same(codeOf({ members, awaited: ['x'] }), ['amber', 'fleet-missing', sentence])
})

t.test('a start and an idle gateway are not late', async (t) => {
  const [primary] = calm.processes
  const late = {
    ...primary,
    name: 'worker 1',
    pid: 2,
    rssBytes: 1,
    cpu: 0,
    loopDelayMs: { p50: 1, p99: 350, max: 400 }
  }
  const busy = { ...calm, processes: [late], cpu: { cores: 2, limit: 2 } }
  t.equal(judge(busy, account).code, 'loop cpu')
  t.equal(judge(busy, { ...account, startedAt: AT - 59_000 }).code, 'well', 'it has just started')
  const requests = { ...calm.requests, inFlight: 0, perMinute: 0 }
  t.equal(judge({ ...busy, cpu: calm.cpu, requests }, account).code, 'well', 'nobody is served')
})
