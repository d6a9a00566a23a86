import t from 'tap'
import { madeUpFleet } from '../helper/made-up-figures.ts'
import type { Now, ShownAccount } from '../../src/dashboard/feed.ts'
import { judge, SteadyVerdict } from '../../src/dashboard/page/verdict.js'

const AT = Date.UTC(2026, 10, 26, 12)
const DAY_MS = 86_400_000

const calm: Now = {
  at: AT,
  uptimeMs: 60_000,
  connections: {
    budget: 300,
    keepaliveBudget: 150,
    unleased: 0,
    permitsInUse: 37,
    inUse: 37,
    idle: 5,
    connecting: 0,
    closing: 0,
    members: []
  },
  waiting: { permits: 0, gated: 0, longestMs: 0, max: 1000, pausedUntil: null },
  fleet: null,
  pace: null,
  requests: { inFlight: 37, streams: 37, total: 9, failed: 0, perMinute: 60, failedPerMinute: 0 },
  tokens: { input: 0, output: 0, perMinute: 0, inputPerMinute: 0, outputPerMinute: 0 },
  credits: { total: 0, perHour: 0 },
  latency: { windowMs: 300_000, samples: 0, firstMs: null, totalMs: null },
  errors: [],
  memory: { limitBytes: 512 * 2 ** 20, usedBytes: 160 * 2 ** 20, of: 'container' },
  cpu: { cores: 0.4, limit: 2 },
  processes: [{ name: 'primary', pid: 1, rssBytes: 1, cpu: 0, loopDelayMs: null }],
  workers: [
    { slot: 1, state: 'ready', pid: 2, startedAt: AT, restarts: 0 },
    { slot: 2, state: 'ready', pid: 3, startedAt: AT, restarts: 0 }
  ],
  workerRestarts: 0,
  workerStalls: 0,
  isCrashLooping: false,
  dashboards: 1
}

const account: ShownAccount = {
  version: '0.1.0',
  node: '24.21.0',
  startedAt: AT,
  host: '127.0.0.1',
  isSimulated: false,
  signIn: {
    isUsable: true,
    state: 'signed-in',
    method: 'social',
    region: 'us-east-1',
    expiresAt: AT + 3_600_000,
    renewsItself: true,
    endsAt: null,
    problem: null
  },
  quota: {
    at: AT,
    plan: 'KIRO PRO',
    unit: 'credits',
    used: 300,
    limit: 1000,
    remaining: 700,
    resetsAt: AT + 5 * DAY_MS,
    allowances: [],
    overage: null,
    problem: null
  },
  problems: [],
  settings: { usageLog: true, poolTimeoutMs: null, workers: 2 }
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
  t.same([level, sentence, problems], ['good', 'All is well.', []])
  t.equal(facts, '2 workers serve 37 streams, nobody waits, 37 of 300 connections in use.')
  const simulated = judge(calm, { ...account, isSimulated: true })
  t.match(simulated.facts, /simulator, not from a model/)
  t.equal(
    judge({ ...calm, connections: { ...calm.connections, budget: null } }, account).level,
    'good'
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
      'bad',
      calm,
      signedIn({ isUsable: false, state: 'signed-out' }),
      /kiro-gateway login/
    ],
    ['sign-in-failing', 'fair', calm, signedIn({ state: 'failing' }), /still serves/],
    ['sign-in-failing', 'bad', calm, signedIn({ isUsable: false, state: 'failing' }), /doctor/],
    ['sign-in-waiting', 'fair', calm, signedIn({ isUsable: false, state: 'waiting' }), /passes/],
    ['sign-in-ends', 'fair', calm, signedIn({ endsAt: AT + DAY_MS }), /login/],
    ['quota-out', 'bad', calm, withQuota(0), /All 1000 credits/],
    ['quota-low', 'fair', calm, withQuota(50), /5 % of the plan/],
    [
      'worker-missing',
      'fair',
      { ...calm, workers: [one, { ...other, state: 'starting' }] },
      account,
      /worker 2 is starting/
    ],
    [
      'worker-missing',
      'bad',
      { ...calm, isCrashLooping: true, workers: [one, { ...other, state: 'restarting' }] },
      account,
      /docker logs/
    ],
    [
      'worker-replaced',
      'fair',
      { ...calm, workers: [{ ...one, restarts: 1, startedAt: AT - 9_000 }] },
      account,
      /Worker 1 has died.*worker died/
    ],
    [
      'no-worker',
      'bad',
      { ...calm, workers: [{ ...one, state: 'silent' }] },
      account,
      /worker 1 is silent/
    ],
    [
      'waiting',
      'fair',
      { ...calm, waiting, connections: full },
      account,
      /300 of 300.*HTTP_MAX_CONNECTIONS/
    ],
    ['waiting', 'bad', { ...calm, waiting: { ...waiting, longestMs: 11_000 } }, account, /11 s/],
    [
      'pace',
      'fair',
      { ...calm, pace: { limit: 60, free: 0 }, waiting: { ...waiting, gated: 12 } },
      account,
      /of 60 a minute/
    ],
    [
      'paused',
      'fair',
      { ...calm, waiting: { ...waiting, permits: 0, pausedUntil: AT + 1 } },
      account,
      /pause/
    ],
    [
      'failures',
      'bad',
      {
        ...calm,
        requests: { ...calm.requests, failedPerMinute: 40 },
        errors: [{ code: 'GW_UPSTREAM_RESET', total: 40, lastHour: 40 }]
      },
      account,
      /40 of 60.*GW_UPSTREAM_RESET/s
    ],
    [
      'memory',
      'fair',
      { ...calm, memory: { ...calm.memory, usedBytes: 460 * 2 ** 20 } },
      account,
      /460 MB of 512 MB/
    ],
    [
      'loop',
      'fair',
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
    ['cpu', 'fair', { ...calm, cpu: { cores: 1.97, limit: 2 } }, account, /1.97 of 2 cores/]
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
      code: 'GW_UPSTREAM_QUOTA',
      message: 'The quota is used up.',
      until: AT + 60_000
    }
    const { code, sentence, level } = judge(
      { ...calm, cpu: { cores: 2, limit: 2 } },
      { ...account, problems: [barred] }
    )
    t.same([code, sentence, level], ['GW_UPSTREAM_QUOTA cpu', 'The quota is used up.', 'bad'])
  }
)

t.test('a death is told for a minute', async (t) => {
  const workers = calm.workers.map((one) => ({ ...one, restarts: 2, startedAt: AT - 61_000 }))
  t.equal(judge({ ...calm, workers }, account).level, 'good')
})

t.test('a wait of a moment, and failures of a few, are no trouble', async (t) => {
  const waiting = { permits: 3, gated: 0, longestMs: 200, max: 1000, pausedUntil: null }
  const requests = { ...calm.requests, failedPerMinute: 2 }
  t.equal(judge({ ...calm, waiting, requests }, account).level, 'good')
})

t.test('trouble is shown at once and stays in sight for a while', async (t) => {
  const steady = new SteadyVerdict()
  const good = judge(calm, account)
  const bad = judge(calm, withQuota(0))
  t.equal(steady.next(good, 0), good)
  t.equal(steady.next(bad, 100), bad)
  t.equal(steady.next(good, 3_000), bad)
  t.equal(steady.next(bad, 4_000), bad)
  t.equal(steady.next(good, 8_900), bad)
  t.equal(steady.next(good, 9_100), good)
  steady.next(bad, 9_200)
  steady.forget()
  t.equal(steady.next(good, 9_300), good)
})

t.test('a fleet that is whole is no news, and one that is not says who is missing', async (t) => {
  const fleet = madeUpFleet()
  const codeOf = (more: Partial<typeof fleet>) => {
    const { level, code, sentence } = judge({ ...calm, fleet: { ...fleet, ...more } }, account)
    return [level, code, sentence]
  }
  t.same(codeOf({}), ['good', 'well', 'All is well.'])
  const away = codeOf({ contactMs: 41_000 })
  t.same(away, ['bad', 'fleet-engine', 'The engine of the fleet has not answered for 41 s.'])
  const reason = 'This gateway waits for the engine of its fleet.'
  t.same(codeOf({ problem: reason, stage: 'joining' }), ['bad', 'fleet-outside', reason])
  const unshared = 'The engine of the fleet does not take or tell: items, pace.'
  t.same(codeOf({ unshared: ['items', 'pace'] }), ['fair', 'fleet-unshared', unshared])
  const [first] = fleet.members
  const members = first === undefined ? [] : [first]
  const sentence = '1 gateway of 3 in the fleet is there. x: awaited.'
  t.same(codeOf({ members, awaited: ['x'] }), ['fair', 'fleet-missing', sentence])
})
