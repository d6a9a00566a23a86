import type { IncomingHttpHeaders } from 'node:http'
import { monotonicNow } from '../../admission/clock.ts'
import type { FleetTold } from '../../ipc/life-signs.ts'
import type {
  ClusterStatus,
  PlanGrowth,
  PlanOutlook,
  Problem,
  StateLevel
} from '../../ipc/messages.ts'
import { type KeyUsage, namedSums, type UsageSums } from '../../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { type AccountUsage, planTotals } from '../../kiro/wire/account-usage.ts'
import { PROMETHEUS_CONTENT_TYPE } from '../../observe/snapshots.ts'
import type { FailingRequests } from '../../shared/failing.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type FailureCode, failureOf } from '../../shared/failures.ts'
import { version } from '../../shared/version.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { limitsHere, type Wish } from '../primary/key-limits.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import type { PassthroughKeys } from './passthrough-keys.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { Authenticator } from './auth.ts'
import { goneSignal, type Route, type RoutedRequest, sendJson } from './router.ts'
import { toIso } from '../../shared/dates.ts'

export const HEALTH_PATHS: ReadonlySet<string> = new Set(['/health', '/healthz', '/livez'])

export interface Sources {
  /** Latest news of the primary. Changes in place. */
  readonly current: {
    readonly status: ClusterStatus
    readonly authenticator: Pick<Authenticator, 'check' | 'checkMetrics'>
  }
  readonly primary: Pick<PrimaryPulse, 'ask' | 'isSilent'>
}

/** Health checks need no key; with one, `/readyz` adds reasons and states. */
export function healthRoutes(plane: DataPlane, { current, primary }: Sources): readonly Route[] {
  const serveHealth: Route['serve'] = (routed) => {
    const isDraining = plane.life.state === 'draining'
    sendJson(routed, isDraining ? 503 : 200, { status: isDraining ? 'draining' : 'ok' })
  }
  const serveReady: Route['serve'] = (routed) => {
    const found = findProblems(plane, current.status)
    if (primary.isSilent) found.push(PRIMARY_SILENT)
    const isReady = found.length === 0
    const { bookProblem, failing } = current.status
    if (bookProblem !== undefined) found.push({ code: 'usage-book', message: bookProblem })
    if (failing?.level === 'red') found.push(toObstacle(failing))
    const own = found.length > 0 ? 'red' : failing !== undefined ? 'amber' : 'green'
    const status = { status: isReady ? 'ready' : 'not ready' }
    if (!hasKey(current.authenticator, routed.request.headers)) {
      return sendJson(routed, isReady ? 200 : 503, status)
    }
    const fleet = plane.fleet()
    sendJson(routed, isReady ? 200 : 503, {
      ...status,
      problems: found.map(({ message }) => message),
      codes: found.map(({ code }) => code),
      level: worseOf(own, current.status.verdict?.level ?? 'green'),
      verdict: current.status.verdict?.code ?? (failing === undefined ? null : 'failures'),
      version,
      workers: current.status.workers,
      upstream: plane.isSimulated ? 'simulator' : 'kiro',
      ...(fleet !== null && { fleet: toFleetAnswer(fleet) })
    })
  }
  return [
    ...Array.from(HEALTH_PATHS, (path) => openRoute(path, serveHealth)),
    openRoute('/readyz', serveReady),
    // Claude Code asks for it at its start, to see whether it can reach the server.
    openRoute('/api/hello', (routed) => sendJson(routed, 200, { message: 'hello' }))
  ]
}

function openRoute(path: string, serve: Route['serve']): Route {
  return { method: 'GET', path, isOpen: true, serve }
}

/** Accepts the metrics key; without keys, a client on this machine needs none. */
function hasKey(
  authenticator: Sources['current']['authenticator'],
  headers: IncomingHttpHeaders
): boolean {
  return (
    passes(() => authenticator.check(headers)) || passes(() => authenticator.checkMetrics(headers))
  )
}

/** True if the check does not throw. */
export function passes(check: () => unknown): boolean {
  try {
    check()
    return true
  } catch {
    return false
  }
}

interface Obstacle {
  readonly code: FailureCode
  readonly message: string
}

const PRIMARY_SILENT: Obstacle = {
  code: 'primary-silent',
  message:
    'The primary process hangs or was stopped: tokens are not renewed and connections are not assigned.'
}

const FLEET_UNHEARD: Obstacle = {
  code: 'fleet-unheard',
  message: 'This worker has not received the state of its fleet yet.'
}

const SHUTTING_DOWN: Obstacle = {
  code: 'shutting-down',
  message: 'The gateway is shutting down.'
}

const WORKERS_DYING: Obstacle = {
  code: 'workers-dying',
  message: 'A worker repeatedly dies during start-up. The reason is in the log.'
}

function worseOf(one: StateLevel, other: StateLevel): StateLevel {
  return LEVELS.indexOf(one) > LEVELS.indexOf(other) ? one : other
}

const LEVELS: readonly StateLevel[] = ['green', 'amber', 'red']

/** For red alone: amber has no code, so that a monitor of codes stays calm. Does not make the gateway unready: it can serve, and without requests nobody would see when all is well again. */
function toObstacle({ count, code, reason }: FailingRequests): Obstacle {
  const message = `The last ${count} requests failed: ${reason} (${code})`
  return { code: 'requests-failing', message }
}

function findProblems(plane: DataPlane, { isCrashLooping, isEnding }: ClusterStatus): Obstacle[] {
  const found: Obstacle[] = []
  const add = ({ code, message, failure = failureOf(code) }: Problem): void => {
    found.push({ code: failure, message })
  }
  if (plane.life.state === 'draining' || isEnding) found.push(SHUTTING_DOWN)
  const { problem } = plane.credentials
  const isMoot = problem?.code === 'GW_KEY_INVALID' // clients bring keys of their own
  if (problem !== null && !isMoot) add(problem)
  const { problem: refusal } = plane.account
  if (refusal !== null) add(refusal)
  const { planProblem, hasOverageKeys } = plane.account
  if (planProblem !== null && !hasOverageKeys) add(planProblem)
  if (plane.current.config.fleet.url !== null && plane.fleet() === null) found.push(FLEET_UNHEARD)
  const { bar } = plane.lease
  if (bar !== null) add(bar)
  if (isCrashLooping) found.push(WORKERS_DYING)
  return found
}

function toFleetAnswer({ status, sentAt }: FleetTold) {
  const monoMs = Number(process.hrtime.bigint() / 1_000_000n)
  const { name, member, stage, phase, era, maxConnections, free, replicas } = status
  return {
    name,
    member,
    stage,
    phase,
    era,
    last_contact_ms: sentAt === null ? null : Math.max(0, monoMs - Math.round(sentAt.mono)),
    max_connections: maxConnections,
    free,
    replicas,
    sign_in_holder: status.holder,
    unshared: status.unshared,
    members: status.members.map(({ isSilent, ...one }) => ({ ...one, silent: isSilent })),
    awaited: status.awaited
  }
}

/** Any worker serves the whole cluster's metrics. Needs an operator key or METRICS_KEY. */
export function metricsRoute({ primary }: Pick<Sources, 'primary'>): Route {
  const serve = async ({ request, response }: RoutedRequest): Promise<void> => {
    const body = await primary.ask({ type: 'metrics.wanted' }) // a part alone would make counters go back
    const headers = { 'content-type': PROMETHEUS_CONTENT_TYPE }
    answerEarly(request, response, { status: 200, headers, body })
  }
  return { method: 'GET', path: '/metrics', isOperators: true, isForMetrics: true, serve }
}

/** A named key sees only its own usage, as recorded here. */
export function usageRoutes(
  plane: Pick<DataPlane, 'limits' | 'records'>,
  primary: Sources['primary'],
  planes: PassthroughKeys
): readonly Route[] {
  const serve = async (routed: RoutedRequest): Promise<void> => {
    const { namedKey, kiroKey, response } = routed
    if (namedKey !== null) {
      await limitsHere(namedKey, plane.limits)?.admit(wishOf(routed))
      const [own] = await keyUsage(plane, primary, namedKey.id)
      if (own === undefined) throw new GatewayError('GW_KEY_REVOKED', 'gone meanwhile')
      return sendJson(routed, 200, { object: 'usage', unit: 'credits', ...toKeyAnswer(own) })
    }
    if (kiroKey !== null) {
      return sendJson(routed, 200, toAnswer(await planes.usageOf(kiroKey, response)))
    }
    const [account, keys] = await Promise.all([
      primary.ask({ type: 'usage.wanted' }),
      keyUsage(plane, primary, null)
    ])
    const { news, outlook } = account
    const { usage, problem } = news
    if (usage === null)
      throw new GatewayError(problem.code, undefined, { message: problem.message })
    const answer = { ...toAnswer(usage), ...toOutlookAnswer(outlook), keys: keys.map(toKeyAnswer) }
    sendJson(routed, 200, answer)
  }
  return ['/v1/usage', '/usage'].map((path) => ({ method: 'GET', path, serve }))
}

/** Usage of a key, or of all, with the requests that this worker has just served. */
export function keyUsage(
  { records }: Pick<DataPlane, 'records'>,
  primary: Sources['primary'],
  key: string | null
): Promise<readonly KeyUsage[]> {
  records.flush()
  return primary.ask({ type: 'key-usage.wanted', key })
}

export function wishOf({ response }: RoutedRequest): Wish {
  return { arrivedAt: monotonicNow(), signal: goneSignal(response) }
}

function toAnswer(usage: AccountUsage) {
  const { plan, resetsAt, allowances, overage } = usage
  const { used, limit } = planTotals(usage)
  return {
    object: 'usage',
    plan,
    unit: allowances[0]?.unit ?? null,
    used,
    limit,
    remaining: Math.max(0, limit - used),
    resets_at: toIso(resetsAt),
    allowances,
    overage: {
      enabled: overage.isEnabled,
      used: overage.used,
      charges: overage.charges,
      currency: overage.currency,
      rate: overage.rate,
      cap: overage.cap
    }
  }
}

function toOutlookAnswer(outlook: PlanOutlook | null) {
  if (outlook === null) return { recorded: null, forecast: null }
  const { at, today, since, isDrifting, forecast } = outlook
  return {
    recorded: {
      at: new Date(at).toISOString(),
      drifting: isDrifting,
      today: toGrowthAnswer(today),
      since: { at: new Date(since.at).toISOString(), ...toGrowthAnswer(since) }
    },
    forecast: forecast && {
      per_day: Math.round(forecast.perDay) / MICROS_PER_CREDIT,
      used_up_at: toIso(forecast.usedUpAt)
    }
  }
}

function toGrowthAnswer({ used, booked, outside }: PlanGrowth) {
  return {
    account: used / MICROS_PER_CREDIT,
    gateway: booked / MICROS_PER_CREDIT,
    outside: outside / MICROS_PER_CREDIT
  }
}

/** Credits, not micro-credits. `used`: of the period if there is a limit, else of the last 30 days. */
function toKeyAnswer({ id, name, credits, today, last30Days }: KeyUsage) {
  const sums = { today: toSumsAnswer(today), last_30_days: toSumsAnswer(last30Days) }
  if (credits === null) {
    const used = last30Days === null ? null : last30Days.credits / MICROS_PER_CREDIT
    return { key: name, id, period: null, limit: null, used, ...sums }
  }
  const { limit, period, used, reserved, endsAt } = credits
  return {
    key: name,
    id,
    period,
    limit: limit / MICROS_PER_CREDIT,
    used: used / MICROS_PER_CREDIT,
    reserved: reserved / MICROS_PER_CREDIT,
    remaining: Math.max(0, limit - used - reserved) / MICROS_PER_CREDIT,
    resets_at: toIso(endsAt),
    ...sums
  }
}

function toSumsAnswer(sums: UsageSums | null) {
  return sums === null ? null : namedSums(sums)
}
