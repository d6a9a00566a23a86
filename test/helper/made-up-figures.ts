import {
  type EndedRequest,
  HISTORY_COLUMNS,
  type HistoryPoint,
  type KeyStatus,
  type Now,
  type NowFigures,
  type ShownAccount,
  type Snapshot
} from '../../src/dashboard/feed.ts'
import { judge } from '../../src/dashboard/verdict.ts'

/*
 * A day of a small team as the dashboard is told of it, made up: the same for the same moment, so that pictures of the page
 * change only when the page does.
 */

const MEBIBYTE = 2 ** 20
const STEP_MS = 5_000
const HOUR_MS = 3_600_000

/** Between 0 and 1; the same for the same numbers. */
function chance(seed: number, salt: number): number {
  const mixed = Math.imul(Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ salt, 0xc2b2_ae35) >>> 0
  return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
}

/** Slow waves of work, with a burst now and then. */
function activityAt(at: number): number {
  const minutes = at / 60_000
  const waves = 0.5 + 0.28 * Math.sin(minutes / 7) + 0.16 * Math.sin(minutes / 2.3)
  return Math.max(0.05, waves + 0.06 * (chance(Math.floor(at / STEP_MS), 1) - 0.5))
}

/** Part of the requests that fail through the upstream's fault, as FATES has it. */
const FAILED_PART = 0.03

export function madeUpPoint(at: number): HistoryPoint {
  const activity = activityAt(at)
  const noise = (salt: number): number => chance(Math.floor(at / STEP_MS), salt) - 0.5
  const inUse = Math.round(activity * 84)
  const requestsPerMinute = Math.max(0, activity * 96 + 4 * noise(2))
  const figures: Partial<Record<(typeof HISTORY_COLUMNS)[number], number>> = {
    inUse,
    idle: Math.round(9 + 4 * Math.sin(at / 300_000)),
    budget: 300,
    waiting: 0,
    longestWaitMs: 0,
    streams: inUse,
    requestsPerMinute,
    failedPerMinute: Math.round(requestsPerMinute * FAILED_PART),
    inputTokensPerMinute: activity * 310_000 + 9_000 * noise(3),
    outputTokensPerMinute: activity * 62_000 + 3_000 * noise(4),
    creditsPerHour: 4 + activity * 6.4,
    firstP50Ms: 760 + activity * 210 + 30 * noise(5),
    firstP95Ms: 1_650 + activity * 900 + 140 * noise(6),
    totalP50Ms: 6_400 + activity * 1_800 + 160 * noise(7),
    totalP95Ms: 27_000 + activity * 9_000 + 900 * noise(8),
    memoryBytes: (158 + activity * 38 + noise(9)) * MEBIBYTE,
    cpuCores: 0.1 + activity * 0.62 + 0.03 * noise(10),
    loopDelayMs: 2.4 + activity * 3 + 1.4 * noise(11),
    workers: 2
  }
  const values = Object.fromEntries(HISTORY_COLUMNS.map((name) => [name, figures[name] ?? null]))
  return { at, values: values as HistoryPoint['values'] }
}

/** Three gateways, all of them well. */
export function madeUpFleet(): NonNullable<Now['fleet']> {
  return {
    name: 'kiro',
    member: 'gateway-0',
    stage: 'serving',
    problem: null,
    unshared: [],
    phase: 'open',
    era: 3,
    maxConnections: 300,
    free: 20,
    replicas: 3,
    holder: 'gateway-1',
    members: [120, 85, 75].map((connections, at) => {
      return { name: `gateway-${at}`, connections, waiting: 0, isSilent: false }
    }),
    awaited: [],
    contactMs: 840,
    granted: 240,
    returned: 120
  }
}

export function madeUpNow(at: number): Now {
  const { values } = madeUpPoint(at)
  const of = (name: keyof typeof values): number => values[name] ?? 0
  const inUse = of('inUse')
  const idle = of('idle')
  const first = Math.ceil(inUse * 0.54)
  const quiet = { connecting: 0, closing: 0, waiting: 0 }
  const process = (name: string, pid: number, mebibytes: number, share: number) => ({
    name,
    pid,
    rssBytes: Math.round(mebibytes * MEBIBYTE),
    cpu: of('cpuCores') * share,
    loopDelayMs: { p50: 0.1, p99: of('loopDelayMs') * (0.4 + share), max: 11 }
  })
  const worker = (slot: number, pid: number) => ({
    slot,
    state: 'ready',
    pid,
    startedAt: at - 9 * HOUR_MS,
    restarts: 0
  })
  const figures: NowFigures = {
    at,
    connections: {
      budget: 300,
      unleased: 0,
      inUse,
      idle,
      connecting: 0,
      closing: 0,
      members: [
        { ...quiet, name: '1', leased: 148, inUse: first, idle: Math.ceil(idle / 2) },
        { ...quiet, name: '2', leased: 148, inUse: inUse - first, idle: Math.floor(idle / 2) },
        { ...quiet, name: 'control', leased: 4, inUse: 0, idle: 0 }
      ]
    },
    webSockets: { open: 12, busy: 5, keptBytes: 4_718_592 },
    waiting: { permits: 0, gated: 0, longestMs: 0, max: 1000, pausedUntil: null },
    fleet: null,
    pace: null,
    requests: {
      inFlight: inUse + 1,
      streams: inUse,
      total: 31_207,
      failed: 936,
      perMinute: of('requestsPerMinute'),
      failedPerMinute: of('failedPerMinute'),
      failing: null
    },
    tokens: {
      input: 104_300_412,
      output: 19_204_951,
      perMinute: of('inputTokensPerMinute') + of('outputTokensPerMinute'),
      inputPerMinute: of('inputTokensPerMinute'),
      outputPerMinute: of('outputTokensPerMinute')
    },
    credits: { total: 58.42, perHour: 8.64 },
    counts: [
      { model: 'claude-haiku-5.5', p50: 0.011, p95: 0.034, counts: 64, hidden: 2_048 },
      { model: 'gpt-5.6-luna', p50: 0.016, p95: 0.041, counts: 12, hidden: null }
    ],
    latency: {
      firstMs: { p50: of('firstP50Ms'), p95: of('firstP95Ms') },
      totalMs: { p50: of('totalP50Ms'), p95: of('totalP95Ms') }
    },
    errors: [
      { code: 'GW_CLIENT_CLOSED', fault: 'client', total: 921, lastHour: 97 },
      { code: 'GW_UPSTREAM_RATE_LIMITED', fault: 'upstream', total: 612, lastHour: 64 },
      { code: 'GW_UPSTREAM_IDLE_TIMEOUT', fault: 'upstream', total: 324, lastHour: 33 }
    ],
    memory: { limitBytes: 512 * MEBIBYTE, usedBytes: of('memoryBytes'), of: 'container' },
    cpu: { cores: of('cpuCores'), limit: 2 },
    processes: [
      process('primary', 7, 61, 0.06),
      process('worker 1', 20, 83, 0.5),
      process('worker 2', 31, 79, 0.44)
    ],
    workers: [worker(1, 20), worker(2, 31)],
    workerRestarts: 0,
    isCrashLooping: false,
    running: [],
    dashboards: 1
  }
  return { ...figures, verdict: judge(figures, madeUpAccount(at)) }
}

export function madeUpAccount(at: number): ShownAccount {
  return {
    version: '0.1.0',
    node: '26.10.0',
    startedAt: at - 9 * HOUR_MS,
    isSimulated: false,
    signIn: {
      isUsable: true,
      state: 'signed-in',
      method: 'Builder ID',
      region: 'us-east-1',
      expiresAt: at + 0.7 * HOUR_MS,
      renewsItself: true,
      endsAt: null,
      remedy: 'Run "kiro-gateway login" again; the gateway picks it up.',
      problem: null
    },
    quota: {
      plan: 'KIRO PRO+',
      unit: 'credits',
      used: 1243.02,
      limit: 2000,
      remaining: 756.98,
      resetsAt: at + 5 * 24 * HOUR_MS,
      overage: null,
      problem: null
    },
    outlook: {
      outsideToday: 3.1,
      outside: 12.4,
      since: at - 9 * 24 * HOUR_MS,
      isDrifting: false,
      perDay: 61,
      usedUpAt: null
    },
    problems: [],
    settings: { poolTimeoutMs: null, workers: 2 }
  }
}

function madeUpKey(name: string, streams: number, used: number, limit: number | null): KeyStatus {
  return {
    id: `k_${name}`,
    name,
    state: 'active',
    streams,
    waiting: 0,
    maxStreams: limit === null ? null : 24,
    requestsPerMinute: null,
    models: null,
    expiresAt: null,
    credits:
      limit === null ? null : { limit, period: 'month', used, reserved: 0.6, resetsAt: null },
    requests: Math.round(used * 84),
    inputTokens: Math.round(used * 280_000),
    outputTokens: Math.round(used * 51_000),
    creditsTotal: used
  }
}

const CALLERS = [
  ['anna', 'claude-code', 'claude-opus-5.5', 'anthropic-messages', '/v1/messages'],
  ['ben', 'codex', 'gpt-5.5', 'openai-responses', '/v1/responses'],
  ['chloe', 'opencode', 'claude-sonnet-5.5', 'openai-chat', '/v1/chat/completions'],
  ['anna', 'claude-code', 'claude-haiku-4.5', 'anthropic-messages', '/v1/messages'],
  ['daniel', 'cline', 'claude-sonnet-5.5', 'openai-chat', '/v1/chat/completions']
] as const

/** What becomes of a request now and then. */
const FATES = [
  [0.03, 499, 'GW_CLIENT_CLOSED', 'client', 'The client closed the connection.', null],
  [0.05, 429, 'GW_UPSTREAM_RATE_LIMITED', 'upstream', 'Too many requests.', 429],
  [
    0.06,
    504,
    'GW_UPSTREAM_IDLE_TIMEOUT',
    'upstream',
    'The upstream fell silent in the middle of its answer (while reading the answer). Raise STREAMING_READ_TIMEOUT if such pauses are normal.',
    200
  ]
] as const

export function madeUpRequest(n: number, at: number): EndedRequest {
  const pick = (salt: number): number => chance(n, salt)
  const [key, client, model, dialect, route] = CALLERS[Math.floor(pick(1) * CALLERS.length)]!
  const fate = FATES.find(([share]) => pick(2) < share)
  const connect = pick(3) < 0.12 ? 310 : 0
  const phasesMs = {
    read: 1 + Math.floor(pick(4) * 5),
    transform: 2 + Math.floor(pick(5) * 11),
    queue: pick(6) < 0.08 ? Math.floor(pick(7) * 900) : 0,
    connect,
    ttfb: 450 + Math.floor(pick(8) * 1_400),
    stream: fate === undefined ? 1_200 + Math.floor(pick(9) ** 2 * 26_000) : 0,
    ...(fate?.[1] === 429 && { retry: 1_900 })
  }
  const totalMs = Object.values(phasesMs).reduce((sum, ms) => sum + ms, 0)
  const inputTokens = fate === undefined ? Math.floor(2_000 + pick(10) * 88_000) : 0
  const outputTokens = fate === undefined ? Math.floor(60 + pick(11) * 3_400) : 0
  return {
    n,
    id: `req_${(n * 7_919_317).toString(36)}`,
    at,
    key,
    client,
    dialect,
    route,
    model,
    modelAsked: null,
    isStream: true,
    status: fate?.[1] ?? 200,
    code: fate?.[2] ?? '',
    fault: fate?.[3] ?? null,
    failure:
      fate === undefined
        ? null
        : { reason: fate[4], detail: '', upstreamStatus: fate[5], upstreamId: 'a1b2c3' },
    worker: 1 + (n % 2),
    phasesMs,
    firstMs: fate === undefined ? totalMs - phasesMs.stream : null,
    totalMs,
    inputTokens,
    outputTokens,
    cachedTokens: Math.floor(inputTokens * 0.7),
    credits: Math.round(inputTokens * 0.004 + outputTokens * 0.09) / 1000,
    repairs: pick(12) < 0.15 ? ['tool-name'] : [],
    metering: 'metered',
    lostCalls: 0,
    attempts: fate?.[1] === 429 ? 3 : 1,
    bodyBytes: 20_000 + Math.floor(pick(13) * 600_000)
  }
}

/** The last hour of it, and its last hundred requests. */
export function madeUpSnapshot(at: number): Snapshot {
  const end = Math.floor(at / STEP_MS) * STEP_MS
  const points = Array.from({ length: 720 }, (_, index) =>
    madeUpPoint(end - (719 - index) * STEP_MS)
  )
  const columns = Object.fromEntries(
    HISTORY_COLUMNS.map((name) => [name, points.map(({ values }) => values[name])])
  )
  return {
    now: madeUpNow(at),
    account: madeUpAccount(at),
    keys: {
      more: 0,
      list: [
        madeUpKey('anna', 19, 457.3, 600),
        madeUpKey('ben', 11, 357.3, 400),
        madeUpKey('chloe', 6, 257.3, 300),
        madeUpKey('daniel', 3, 157.2, 160),
        madeUpKey('operator', 0, 9.4, null)
      ]
    },
    history: {
      at: points.map((point) => point.at),
      columns: columns as unknown as Snapshot['history']['columns']
    },
    requests: Array.from({ length: 100 }, (_, index) =>
      madeUpRequest(index + 1, at - (100 - index) * 640)
    )
  }
}
