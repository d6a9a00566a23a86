import { availableCpus, readContainerLimits } from '../../config/container.ts'
import type { MemoryPlan } from '../../config/memory-plan.ts'
import type { Config } from '../../config/settings.ts'
import { Failures, faultOf } from '../../dashboard/failures.ts'
import type {
  EndedRequest,
  GatewayVerdict,
  KeyStatuses,
  Now,
  Quota,
  RunningRequest,
  ShownAccount,
  Snapshot,
  WorkerFigures
} from '../../dashboard/feed.ts'
import { DashboardHistory, HISTORY_STEP_MS } from '../../dashboard/history.ts'
import { Latencies } from '../../dashboard/latencies.ts'
import { judge } from '../../dashboard/verdict.ts'
import type { DashboardNews, DashboardWish } from '../../ipc/dashboard.ts'
import type { ClusterStatus } from '../../ipc/messages.ts'
import type { KeyCredits, UsageRow } from '../../ipc/usage-row.ts'
import { type KnownKeys, MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import type { AccountUsage } from '../../kiro/wire/account-usage.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { MetricsSnapshot } from '../../observe/snapshots.ts'
import type { FailingRequests } from '../../shared/failing.ts'
import type { FleetStatus, OwnFleetStatus } from '../../shared/fleet-status.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { withinTime } from '../../shared/within-time.ts'
import type { LearntTokens } from '../account/learnt-tokens.ts'
import type { BudgetState } from '../budget/budget.ts'
import type { ClusterMetrics } from '../workers/cluster-metrics.ts'
import type { Supervisor } from '../workers/supervisor.ts'
import type { WorkerChannel } from '../workers/worker-channel.ts'
import { CpuClock, MetricReader } from './metric-reader.ts'
import { type AccountParts, toQuota, toShownAccount } from './shown-account.ts'
import { failuresOf, type ProcessReadings, toNow, totalsOf } from './shown-figures.ts'
import { toKeyStatuses } from './shown-keys.ts'
import { VIEW_FRESH_MS, WorkerViews } from './worker-views.ts'

export interface DashboardPublisherOptions {
  readonly config: () => Config
  readonly memory: Pick<MemoryPlan, 'limitBytes' | 'workers'>
  readonly isSimulated: boolean
  readonly log: Pick<Logger, 'error'>
  readonly channels: ReadonlyMap<string, Pick<WorkerChannel, 'id' | 'pid' | 'startedAt' | 'send'>>
  readonly budget: () => BudgetState
  readonly nameOf: (member: string) => string
  readonly status: () => ClusterStatus
  readonly parts: () => DashboardParts
  readonly own: () => Promise<MetricsSnapshot>
  readonly fleet: () => Pick<FleetView, 'status' | 'own'> | null
  readonly cluster: Pick<ClusterMetrics, 'gone' | 'members'>
  /** The judgement of the gateway has changed. */
  readonly onVerdict: () => void
  readonly failing: () => FailingRequests | null
  readonly memoryUsed: () => { readonly bytes: number; readonly of: 'container' | 'processes' }
}

export interface FleetView {
  readonly status: FleetStatus
  readonly own: OwnFleetStatus
  readonly noteMetrics: (metrics: Metrics) => void
}

export interface DashboardParts extends AccountParts {
  readonly keys: {
    readonly knownKeys: KnownKeys
    readonly nameOf: (key: string) => string
    readonly creditsOf: (key: NamedKey) => KeyCredits | null
  }
  readonly tokens: Pick<LearntTokens, 'errors' | 'noteMetrics'>
  readonly supervisor: Pick<Supervisor, 'states' | 'leavingPids'>
}

/** Most models whose errors of counts are shown. */
const MAX_COUNTS = 12
/** Over all workers. A browser opens six to one address. */
export const MAX_DASHBOARDS = 64
const TICK_MS = 1_000
/** Workers tell how they stand this long after a tick, so that the next need not ask. */
const LOOK_MS = TICK_MS - VIEW_FRESH_MS / 2
const REQUESTS_MS = 200
const KEYS_MS = 2_000
const QUOTA_MS = 60_000
/** A slow upstream delays no figures that are there. */
const QUOTA_PATIENCE_MS = 2_000
const MAX_REQUESTS = 100

/** Keeps the dashboard's data and writes events once for all pages. Without an open page it does little. */
export class DashboardPublisher {
  readonly #options: DashboardPublisherOptions
  readonly #deaths: ReadonlyMap<number, number>
  readonly #cpuLimit = availableCpus(readContainerLimits())
  readonly #cpu = new CpuClock()
  readonly #views: WorkerViews
  /** Epoch ms. */
  readonly startedAt: number
  readonly #history: DashboardHistory
  readonly #failures: Failures
  readonly #latencies = new Latencies()
  /** Bounded by the workers; their sum by MAX_DASHBOARDS. */
  readonly #pages = new Map<string, number>()
  /** Oldest first. Bounded by MAX_REQUESTS. */
  readonly #requests: EndedRequest[] = []
  #untold = 0
  #nextNumber = 1
  readonly #points: NodeJS.Timeout
  #ticks: NodeJS.Timeout | null = null
  #requestTimer: NodeJS.Timeout | null = null
  readonly #lookOnce = singleFlight((isFresh: boolean) => this.#lookAnew(isFresh))
  #last: Look | null = null
  #verdict: GatewayVerdict | null = null
  #isTicking = false
  #isPointDue = false
  #quota: Quota | null = null
  /** `performance.now()`, like `#keysDueAt`. */
  #quotaDueAt = 0
  #keysDueAt = 0
  #toldAccount = ''
  #toldKeys = ''

  /** `deaths`: by slot, as they are counted. */
  constructor(options: DashboardPublisherOptions, deaths: ReadonlyMap<number, number>) {
    this.#options = options
    this.#deaths = deaths
    this.#views = new WorkerViews(
      () => options.channels.keys(),
      (member, requestId) => this.#send(member, { name: 'look', requestId })
    )
    const uptimeMs = process.uptime() * 1000
    this.startedAt = Math.round(Date.now() - uptimeMs)
    const startedAt = performance.now() - uptimeMs
    this.#history = new DashboardHistory(startedAt)
    this.#failures = new Failures(startedAt)
    this.#points = setInterval(() => this.#onPointDue(), HISTORY_STEP_MS).unref()
  }

  /** The last judgement; `null` before the first. */
  get verdict(): GatewayVerdict | null {
    return this.#verdict
  }

  /** `rows` are oldest first; only those that can be shown are converted. */
  onRows(rows: readonly UsageRow[]): void {
    const { keys } = this.#options.parts()
    const ended = rows
      .slice(-MAX_REQUESTS)
      .flatMap((row) => toEnded(row, keys.nameOf(row.key)) ?? [])
    if (ended.length === 0) return
    const now = performance.now()
    for (const one of ended) {
      if (one.firstMs !== null) this.#latencies.add(now, one.firstMs, one.totalMs)
    }
    const numbered = ended.map((one) => ({ n: this.#nextNumber++, ...one }))
    this.#requests.push(...numbered)
    this.#requests.splice(0, this.#requests.length - MAX_REQUESTS)
    if (this.#pages.size === 0) return
    this.#untold = Math.min(this.#untold + numbered.length, MAX_REQUESTS)
    this.#requestTimer ??= setTimeout(() => this.#tellRequests(), REQUESTS_MS).unref()
  }

  async open(
    member: string,
    { requestId, pages }: { readonly requestId: number; readonly pages: number }
  ): Promise<void> {
    this.#askQuota(performance.now())
    const look = await this.#look(true)
    if (!this.#options.channels.has(member)) return
    const free = MAX_DASHBOARDS - this.#size
    const admitted = Math.max(0, Math.min(pages, free))
    this.#tellRequests() // to open pages: new ones get them in the snapshot
    if (admitted > 0) {
      this.#pages.set(member, (this.#pages.get(member) ?? 0) + admitted)
      this.#ticks ??= setInterval(() => void this.#tick(), TICK_MS).unref() // cannot reject
    }
    const events = admitted > 0 ? eventOf('snapshot', this.#snapshot(look)) : ''
    if (admitted > 0) this.#toldAccount = '' // the new pages know a newer one than the others
    this.#send(member, { name: 'opened', requestId, pages: admitted, events })
  }

  /** Tells what pages are told, once. */
  async state(): Promise<{ readonly now: Now; readonly account: ShownAccount }> {
    const at = performance.now()
    if (this.#quota === null || at >= this.#quotaDueAt) {
      this.#quotaDueAt = at + QUOTA_MS
      await withinTime(this.#noteQuota(), QUOTA_PATIENCE_MS)
      this.#last = null
    }
    const { now } = await this.#look(true)
    return { now, account: this.#account() }
  }

  onUsage(usage: AccountUsage): void {
    const quota = toQuota({ usage, problem: null })
    const isNews = quota.remaining !== this.#quota?.remaining || this.#quota.problem !== null
    this.#quota = quota
    this.#quotaDueAt = performance.now() + QUOTA_MS
    if (isNews) void this.judgeAgain() // never rejects
  }

  /** Judges anew what has just changed. Never rejects. */
  async judgeAgain(): Promise<void> {
    await this.#lookOnce.running // it may have begun before the change
    this.#last = null
    await this.#look(false)
  }

  onSeen(member: string, wish: Extract<DashboardWish, { readonly name: 'seen' }>): void {
    if (this.#options.channels.has(member)) this.#views.onSeen(member, wish)
  }

  onLeft(member: string): void {
    this.left(member)
    this.#cpu.forget(member)
    this.#views.onLeft(member)
  }

  left(member: string, pages = Infinity): void {
    const left = (this.#pages.get(member) ?? 0) - pages
    if (left > 0) this.#pages.set(member, left)
    else this.#pages.delete(member)
    if (this.#pages.size > 0 || this.#ticks === null) return
    clearInterval(this.#ticks)
    this.#ticks = null
    if (!this.#isPointDue) return
    this.#isPointDue = false
    this.#onPointDue()
  }

  close(): void {
    clearInterval(this.#points)
    if (this.#ticks !== null) clearInterval(this.#ticks)
    if (this.#requestTimer !== null) clearTimeout(this.#requestTimer)
  }

  get #size(): number {
    return this.#pages.values().reduce((sum, pages) => sum + pages, 0)
  }

  #snapshot({ readings, now }: Look): Snapshot {
    return {
      now: { ...now, dashboards: this.#size },
      account: this.#account(),
      keys: this.#keys(readings),
      history: this.#history.toJson(),
      requests: this.#requests
    }
  }

  #look(isFresh: boolean): Promise<Look> {
    const last = this.#last
    if (last !== null && performance.now() - last.at < VIEW_FRESH_MS) return Promise.resolve(last)
    return this.#lookOnce(isFresh)
  }

  async #lookAnew(isFresh: boolean): Promise<Look> {
    const readings = await this.#read(isFresh)
    const at = performance.now()
    const totals = totalsOf(readings.all)
    const failures = failuresOf(readings.all)
    this.#failures.note(at, failures)
    const { config, memory, memoryUsed, status, fleet, failing, parts } = this.#options
    const { account, tokens } = parts()
    const { bytes, of } = memoryUsed()
    const shared = fleet()
    const figures = toNow(readings, {
      at: Date.now(),
      counts: tokens.errors().slice(-MAX_COUNTS),
      memory: { limitBytes: memory.limitBytes, usedBytes: bytes, of },
      cpuLimit: this.#cpuLimit,
      maxWaiting: config().pool.maxWaiting,
      pausedUntil: pauseOf(account),
      fleet: shared === null ? null : { ...shared.status, ...shared.own },
      workers: this.#workers(),
      isCrashLooping: status().isCrashLooping,
      failing: failing(),
      running: this.#running(),
      totals,
      rates: this.#history.rates(at, totals),
      latency: this.#latencies.at(at),
      errors: this.#failures.toJson(failures),
      dashboards: this.#size
    })
    const verdict = judge(figures, this.#account())
    this.#last = { at, readings, totals, now: { ...figures, verdict } }
    const isNews = verdict.code !== this.#verdict?.code || verdict.level !== this.#verdict.level
    this.#verdict = verdict
    if (isNews) this.#options.onVerdict()
    return this.#last
  }

  #onPointDue(): void {
    if (this.#pages.size > 0)
      this.#isPointDue = true // the next tick adds it
    else void this.#look(false).then((look) => this.#addPoint(look)) // cannot reject
  }

  #addPoint({ at, totals, now }: Look): void {
    this.#history.add({ at, shownAt: now.at }, totals, levelsOf(now))
  }

  #pointNews(look: Look): string {
    if (!this.#isPointDue) return ''
    this.#isPointDue = false
    this.#addPoint(look)
    return eventOf('point', this.#history.last())
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return // a worker hangs
    this.#isTicking = true
    const look = await this.#look(true)
    this.#isTicking = false
    const { at, readings, now } = look
    this.#askQuota(at)
    const news = this.#pointNews(look) + this.#accountNews() + this.#keyNews(at, readings)
    this.#tell(eventOf('tick', now) + news, LOOK_MS)
  }

  #accountNews(): string {
    const event = eventOf('account', this.#account())
    if (event === this.#toldAccount) return ''
    this.#toldAccount = event
    return event
  }

  #keyNews(at: number, readings: ProcessReadings): string {
    if (at < this.#keysDueAt) return ''
    this.#keysDueAt = at + KEYS_MS
    const event = eventOf('keys', this.#keys(readings))
    if (event === this.#toldKeys) return ''
    this.#toldKeys = event
    return event
  }

  #askQuota(at: number): void {
    if (at < this.#quotaDueAt) return
    this.#quotaDueAt = at + QUOTA_MS
    void this.#noteQuota() // never rejects
  }

  async #noteQuota(): Promise<void> {
    this.#quota = toQuota(await this.#options.parts().account.usage())
  }

  #tellRequests(): void {
    if (this.#requestTimer !== null) clearTimeout(this.#requestTimer)
    this.#requestTimer = null
    const untold = this.#untold
    this.#untold = 0
    if (untold > 0) this.#tell(eventOf('requests', this.#requests.slice(-untold)))
  }

  #tell(events: string, lookInMs?: number): void {
    const more = lookInMs === undefined ? {} : { lookInMs }
    for (const member of this.#pages.keys()) {
      this.#send(member, { name: 'events', events, ...more })
    }
  }

  #send(member: string, news: DashboardNews): void {
    this.#options.channels.get(member)?.send({ type: 'dashboard.news', news })
  }

  #account(): ShownAccount {
    const { parts, isSimulated, memory, status, config } = this.#options
    return toShownAccount(parts(), {
      startedAt: this.startedAt,
      isSimulated,
      workers: memory.workers,
      status: status(),
      config: config(),
      quota: this.#quota
    })
  }

  #keys({ all }: ProcessReadings): KeyStatuses {
    const { keys } = this.#options.parts()
    return toKeyStatuses(all, keys.knownKeys, (key) => keys.creditsOf(key))
  }

  /** Oldest first. */
  #running(): readonly RunningRequest[] {
    const { channels } = this.#options
    const all = [...this.#views.running].flatMap(([member, turns]) => {
      const worker = channels.get(member)?.id ?? 0
      return turns.map((turn) => ({ ...turn, worker }))
    })
    return all.toSorted((one, other) => one.at - other.at)
  }

  async #read(isFresh: boolean): Promise<ProcessReadings> {
    const { channels, budget, nameOf, parts, own: ownNow, cluster } = this.#options
    if (isFresh) await this.#views.look()
    const own = await ownNow()
    const members = isFresh ? this.#views.latest(cluster.members) : cluster.members
    const all = [own, ...cluster.gone, ...members.values()]
    const leaving = new Set(parts().supervisor.leavingPids())
    const now = performance.now()
    const processOf = (member: string, name: string, pid: number, snapshot?: readonly object[]) => {
      const metrics = snapshot === undefined ? null : new MetricReader([snapshot])
      return { name, pid, metrics, cpu: this.#cpu.read(member, metrics, now) }
    }
    const workers = Array.from(channels, ([member, { id, pid }]) => {
      const name = `worker ${id}${leaving.has(pid) ? ' (leaving)' : ''}`
      return processOf(member, name, pid, members.get(member))
    })
    return {
      all: new MetricReader(all),
      processes: [processOf('primary', 'primary', process.pid, own), ...workers],
      budget: budget(),
      nameOf
    }
  }

  #workers(): readonly WorkerFigures[] {
    const { status, parts, channels } = this.#options
    const states = new Map(status().workers.map(({ id, state }) => [id, state]))
    const startedAt = new Map(channels.values().map((channel) => [channel.pid, channel.startedAt]))
    return parts()
      .supervisor.states()
      .map(({ id, pid, state }) => ({
        slot: id,
        state: states.get(id) ?? state.name,
        pid,
        startedAt: pid === null ? null : (startedAt.get(pid) ?? null),
        restarts: this.#deaths.get(id) ?? 0
      }))
  }
}

/** `at` is monotonic. */
interface Look {
  readonly at: number
  readonly readings: ProcessReadings
  readonly totals: ReturnType<typeof totalsOf>
  readonly now: Now
}

function pauseOf(account: AccountParts['account']): number | null {
  const { pausedUntil } = account.forWorker().accountStatus
  return pausedUntil !== null && pausedUntil > Date.now() ? pausedUntil : null
}

/** `null` for credits that died with a worker. */
function toEnded({ turn, ...row }: UsageRow, key: string): Omit<EndedRequest, 'n'> | null {
  if (turn === undefined) return null
  const { at, client, dialect, model, status, code } = row
  return {
    id: turn.requestId,
    at,
    key,
    client,
    dialect,
    route: turn.route,
    model,
    modelAsked: turn.modelAsked ?? null,
    isStream: turn.isStream,
    status,
    code,
    fault: code === '' ? null : faultOf(code, row.key === 'kiro' ? 'client' : 'gateway'),
    failure: turn.failure ?? null,
    worker: turn.worker,
    phasesMs: turn.phaseMs,
    firstMs: row.firstMs,
    totalMs: row.totalMs,
    inputTokens: row.inputTokens,
    outputTokens: row.outputTokens,
    cachedTokens: row.cachedTokens,
    credits: row.credits / MICROS_PER_CREDIT,
    metering: row.metering ?? null,
    repairs: turn.repairs,
    lostCalls: turn.lostCalls ?? 0,
    attempts: turn.attempts,
    bodyBytes: turn.bodyBytes
  }
}

function eventOf(name: string, data: object | null): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

function levelsOf(now: Now): Parameters<DashboardHistory['add']>[2] {
  const { connections, waiting, requests, latency, memory, cpu, processes, workers } = now
  const delays = processes.flatMap(({ loopDelayMs }) => loopDelayMs?.p99 ?? [])
  return {
    inUse: connections.inUse,
    idle: connections.idle,
    budget: connections.budget,
    waiting: waiting.permits,
    longestWaitMs: waiting.longestMs,
    streams: requests.streams,
    firstP50Ms: latency.firstMs?.p50 ?? null,
    firstP95Ms: latency.firstMs?.p95 ?? null,
    totalP50Ms: latency.totalMs?.p50 ?? null,
    totalP95Ms: latency.totalMs?.p95 ?? null,
    memoryBytes: memory.usedBytes,
    cpuCores: cpu.cores,
    loopDelayMs: delays.length === 0 ? null : Math.max(...delays),
    workers: workers.filter(({ state }) => state === 'ready').length
  }
}
