import { byId, metric, setAttribute, setMeter, setMetric } from './dom.js'
import {
  amount,
  bytes,
  date,
  duration,
  fullTime,
  plural,
  short,
  timeOfDay,
  UNKNOWN
} from './format.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {import('../feed.ts').ShownAccount} Account */

/** @param {Now} now */
export function showNow(now) {
  const { requests, waiting, workers } = now
  showConnections(now.connections)
  setMetric('streams', requests.streams, amount(requests.streams))
  setMetric('requests-in-flight', requests.inFlight, amount(requests.inFlight))
  setMetric('permits-waiting', waiting.permits, amount(waiting.permits))
  setMetric('longest-wait-ms', waiting.longestMs, duration(waiting.longestMs))
  level(
    'permits-waiting',
    waiting.permits === 0 ? 'good' : waiting.longestMs > 10_000 ? 'bad' : 'fair'
  )
  showRates(now)
  showMachine(now)
  const ready = workers.filter(({ state }) => state === 'ready').length
  setMetric('worker-count', ready, amount(ready))
  setMetric('worker-target', workers.length, amount(workers.length))
  setMetric('worker-restarts', now.workerRestarts, amount(now.workerRestarts))
  setMetric('dashboards', now.dashboards, amount(now.dashboards))
}

/** @param {Now['connections']} connections */
function showConnections({ budget, inUse, idle, connecting, closing }) {
  const free = budget === null ? null : Math.max(0, budget - inUse - idle - connecting - closing)
  setMetric('connections-in-use', inUse, amount(inUse))
  setMetric('connections-idle', idle, amount(idle))
  setMetric('connections-free', free, free === null ? 'any number' : amount(free))
  setMetric('connections-budget', budget, budget === null ? 'no limit' : amount(budget))
}

/**
 * Shows the rates of the last minute or hour, and totals since the start.
 * @param {Now} now
 */
function showRates({ requests, tokens, credits, latency }) {
  rate('requests-per-minute', requests.perMinute)
  rate('errors-per-minute', requests.failedPerMinute)
  rate('tokens-per-minute', tokens.perMinute)
  rate('input-tokens-per-minute', tokens.inputPerMinute)
  rate('output-tokens-per-minute', tokens.outputPerMinute)
  setMetric('credits-per-hour', credits.perHour, amount(credits.perHour))
  time('first-token-p50-ms', latency.firstMs?.p50 ?? null)
  time('first-token-p95-ms', latency.firstMs?.p95 ?? null)
  time('total-p50-ms', latency.totalMs?.p50 ?? null)
  time('total-p95-ms', latency.totalMs?.p95 ?? null)
  setMetric('requests-total', requests.total, amount(requests.total))
  setMetric('requests-failed', requests.failed, amount(requests.failed))
  setMetric('tokens-input', tokens.input, short(tokens.input), amount(tokens.input))
  setMetric('tokens-output', tokens.output, short(tokens.output), amount(tokens.output))
  setMetric('credits-total', credits.total, amount(credits.total))
}

/** @param {Now} now */
function showMachine({ memory, cpu, processes }) {
  setMetric('memory-bytes', memory.usedBytes, bytes(memory.usedBytes))
  setMetric('memory-limit-bytes', memory.limitBytes, bytes(memory.limitBytes))
  level('memory-bytes', levelOf(memory.usedBytes, memory.limitBytes))
  showCpu(cpu)
  time('loop-delay-ms', worstDelayMs(processes))
}

/** @param {Now['processes']} processes */
export function worstDelayMs(processes) {
  const delays = processes.flatMap(({ loopDelayMs }) => loopDelayMs?.p99 ?? [])
  return delays.length === 0 ? null : Math.max(...delays)
}

/** @param {Now['cpu']} cpu */
function showCpu({ cores, limit }) {
  const share = cores === null || limit === null ? null : (cores / limit) * 100
  setMetric(
    'cpu-percent',
    share,
    share === null ? UNKNOWN : `${amount(Number(share.toFixed(1)))} %`
  )
  setMetric('cpu-limit', limit, limit === null ? UNKNOWN : plural(limit, 'core'))
  level('cpu-percent', levelOf(cores, limit))
}

/**
 * @param {string} name
 * @param {number} value
 */
function rate(name, value) {
  setMetric(name, value, short(Math.round(value)))
}

/**
 * @param {string} name
 * @param {number | null} ms
 */
function time(name, ms) {
  setMetric(name, ms, duration(ms))
}

/**
 * @param {string} name
 * @param {string} value
 */
function level(name, value) {
  const tile = metric(name).closest('.tile')
  if (tile !== null) setAttribute(tile, 'data-level', value)
}

/**
 * @param {number | null} used
 * @param {number | null} limit
 */
function levelOf(used, limit) {
  if (used === null || limit === null || used < limit * 0.85) return 'good'
  return used < limit * 0.95 ? 'fair' : 'bad'
}

/** @type {Readonly<Record<string, string>>} */
const SIGN_IN_STATES = {
  'signed-in': 'signed in',
  waiting: 'being renewed',
  failing: 'renewal fails',
  'signed-out': 'signed out',
  'client-keys': "clients' own keys",
  simulator: 'none needed (simulator)'
}

/** @param {Account} account */
export function showAccount({ version, node, startedAt, signIn, quota, outlook, isSimulated }) {
  const chip = byId('version', HTMLElement)
  chip.hidden = false
  setMetric('version', version, `v${version}`)
  byId('simulated', HTMLElement).hidden = !isSimulated
  const { isUsable, state, method, expiresAt, renewsItself } = signIn
  const words = SIGN_IN_STATES[state] ?? state
  const how = state === 'signed-in' && method !== null ? `${words} (${method})` : words
  setMetric('sign-in', isUsable ? 1 : 0, how)
  setMetric('sign-in-state', state, signIn.region ?? UNKNOWN)
  const renewed = renewsItself ? ', renewed automatically' : ''
  const expiry = expiresAt === null ? UNKNOWN : `${timeOfDay(expiresAt)}${renewed}`
  setMetric('sign-in-expires', expiresAt, expiry, fullTime(expiresAt))
  showQuota(quota, isUsable)
  showOutlook(outlook)
  setMetric(
    'started-at',
    startedAt,
    `${date(startedAt)}, ${timeOfDay(startedAt)}`,
    fullTime(startedAt)
  )
  setMetric('node-version', node, node)
}

/** @param {Account['outlook']} outlook */
function showOutlook(outlook) {
  const { outsideToday = null, perDay = null, usedUpAt = null } = outlook ?? {}
  const usual = perDay === null ? '' : `${amount(perDay)} credits a day in recent weeks`
  const lasts = perDay === null ? UNKNOWN : usedUpAt === null ? 'it is reset' : date(usedUpAt)
  setMetric('plan-lasts', usedUpAt ?? perDay, lasts, usual)
  setMetric(
    'plan-outside',
    outsideToday,
    outsideToday === null ? UNKNOWN : `${amount(outsideToday)} credits`
  )
}

/**
 * Shows the quota. A problem of the sign-in is not repeated as the reason for a missing quota.
 * @param {Account['quota']} quota
 * @param {boolean} isUsable
 */
function showQuota(quota, isUsable) {
  const meter = byId('quota-meter', HTMLElement)
  const remaining = quota?.remaining ?? null
  const limit = quota?.limit ?? null
  const used = quota?.used ?? null
  const unit = quota?.unit ?? ''
  const of = limit === null ? '' : ` of ${amount(limit)} ${unit}`
  const problem = isUsable ? (quota?.problem?.message ?? 'not known yet') : UNKNOWN
  const text = remaining === null ? problem : `${amount(remaining)}${of}`
  setMetric('quota-remaining', remaining, text)
  setMetric('quota-used', used, amount(used))
  setMetric('plan', quota?.plan ?? null, quota?.plan ?? UNKNOWN)
  const resetsAt = quota?.resetsAt ?? null
  setMetric('quota-resets', resetsAt, date(resetsAt), fullTime(resetsAt))
  meter.hidden = used === null || limit === null || limit <= 0
  if (used !== null && limit !== null && limit > 0) setMeter(meter, used / limit)
}
