import { readMemoryUsed } from '../config/container.ts'
import type { FailingRequests } from '../shared/failing.ts'
import { SHOWN_METRICS } from '../ipc/dashboard.ts'
import type { CredentialNews, FromWorker } from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import { Metrics } from '../observe/metrics.ts'
import type { MetricsSnapshot } from '../observe/snapshots.ts'
import { version } from '../shared/version.ts'
import { noteBudget } from './budget/budget.ts'
import { CONTROL, type ControlLane } from './budget/control-lane.ts'
import type {
  DashboardPublisherOptions,
  DashboardParts,
  FleetView
} from './dashboard/dashboard-publisher.ts'
import { MetricReader } from './dashboard/metric-reader.ts'
import { DashboardControl } from './dashboard-control.ts'
import { ClusterMetrics } from './workers/cluster-metrics.ts'
import { FailingStreak } from './usage/failing-streak.ts'
import { TurnCounts } from './usage/turn-counts.ts'
import type { AccountControl } from './account-control.ts'
import type { KeyControl } from './key-control.ts'
import type { PlanControl } from './plan-control.ts'
import type { WorkerChannel } from './workers/worker-channel.ts'

type FigureMessage = Extract<FromWorker, { readonly type: 'metrics.snapshot' | 'dashboard.wish' }>

export interface FiguresControlOptions
  extends Pick<
    DashboardPublisherOptions,
    'budget' | 'status' | 'config' | 'memory' | 'isSimulated' | 'log' | 'onVerdict'
  > {
  readonly channels: ReadonlyMap<string, WorkerChannel>
  readonly parts: () => Pick<DashboardParts, 'tokens' | 'supervisor'> & {
    readonly account: AccountControl
    readonly keys: KeyControl
    readonly plan: PlanControl
    readonly lane: Pick<ControlLane, 'noteMetrics'>
  }
}

interface MemoryUsed {
  readonly bytes: number
  readonly of: 'container' | 'processes'
}

/** Reading takes a millisecond, twice a second while a dashboard is open. */
const MEMORY_MS = 2_000
const OTHER = 'other'

export class FiguresControl {
  readonly own = new Metrics()
  readonly dashboard: DashboardControl
  readonly #options: FiguresControlOptions
  readonly #metrics: ClusterMetrics
  readonly #turns = new TurnCounts(this.own)
  readonly #streak = new FailingStreak()
  /** Why there is no sign-in, and whether it is being renewed; `null` while there is one. */
  #signInTrouble: string | null = 'none was told yet'
  #fleet: FleetView | null = null
  #memory: MemoryUsed & { readonly at: number } = { at: -Infinity, bytes: 0, of: 'processes' }

  constructor(options: FiguresControlOptions) {
    const { channels, memory } = options
    this.#options = options
    this.own.memoryLimit.set(memory.limitBytes)
    this.own.workersConfigured.set(memory.workers)
    this.own.buildInfo.set({ version, node: process.versions.node }, 1)
    this.#metrics = new ClusterMetrics({
      own: this.own,
      onCollected: () => this.#note(),
      ask: () => {
        for (const channel of channels.values()) channel.send({ type: 'metrics.collect' })
        return [...channels.keys()]
      }
    })
    this.dashboard = new DashboardControl({
      ...options,
      nameOf: (member) => this.#nameOf(member),
      own: () => this.#some(),
      fleet: () => this.#fleet,
      cluster: this.#metrics,
      failing: () => this.failing,
      memoryUsed: () => this.#memoryUsed()
    })
    void this.dashboard.adapt() // never rejects
  }

  /** `null` unless the last request failed for a reason that no problem of the account tells. */
  get failing(): FailingRequests | null {
    const { account, plan } = this.#options.parts()
    const { news, accountStatus } = account.forWorker()
    const bars = accountStatus.bars.filter(({ until }) => until > Date.now())
    return this.#streak.besides([
      news.problem?.code,
      plan.bar?.code,
      ...bars.map(({ code }) => code)
    ])
  }

  /** Call when a limit of the account or the state of a worker has changed: all who tell of it do so at once. */
  tellVerdict(): void {
    this.#options.onVerdict()
    void this.dashboard.judgeAgain() // never rejects
  }

  /** Failures for lack of a sign-in say nothing about the next request. A renewed token alone changes no judgement. */
  onSignIn(news: CredentialNews): void {
    const trouble = news.problem === null ? null : `${news.problem.code} ${news.isFailing === true}`
    if (trouble === this.#signInTrouble) return
    this.#signInTrouble = trouble
    if (trouble === null) this.#streak.forget()
    this.tellVerdict()
  }

  showFleet(fleet: FleetView): void {
    this.#fleet = fleet
  }

  onJoined(member: string): void {
    this.#metrics.onJoined(member)
  }

  onLeft(member: string): void {
    this.#metrics.onLeft(member)
    this.dashboard.onLeft(member)
  }

  onMessage(message: FigureMessage, channel: Pick<WorkerChannel, 'member'>): void {
    switch (message.type) {
      case 'metrics.snapshot':
        this.#metrics.onSnapshot(channel.member, message.metrics)
        break
      case 'dashboard.wish':
        this.dashboard.onWish(message.wish, channel.member)
        break
    }
  }

  onRows(rows: readonly UsageRow[]): void {
    const { account } = this.#options.parts()
    account.onRows(rows)
    const models = new Set(account.models.map(({ id }) => id))
    for (const row of rows) this.#turns.add(row, models.has(row.model) ? row.model : OTHER)
    if (this.#streak.add(rows)) this.tellVerdict()
    this.dashboard.onRows(rows)
  }

  onLost(requests: number): void {
    this.#turns.lose(requests)
  }

  /** Never rejects. */
  async inFlight(): Promise<number> {
    await this.collect()
    return new MetricReader(this.#metrics.members.values()).sum('kiro_gateway_requests_in_flight')
  }

  /** Prometheus' text format. Never rejects. */
  text(): Promise<string> {
    return this.#metrics.toText()
  }

  collect(): Promise<void> {
    return this.#metrics.collect()
  }

  onDied(slot: number): void {
    this.own.workerRestarts.inc()
    this.dashboard.onDied(slot)
  }

  close(): void {
    this.dashboard.close()
    this.own.close()
  }

  #some(): Promise<MetricsSnapshot> {
    this.#noteShown()
    return this.own.some(SHOWN_METRICS)
  }

  /** Metrics of SHOWN_METRICS, which are read each second. */
  #noteShown(): void {
    const { lane, keys } = this.#options.parts()
    this.#turns.note()
    lane.noteMetrics()
    keys.noteCounts(this.own)
  }

  #note(): void {
    const { budget, parts, status } = this.#options
    const { account, keys, plan, tokens } = parts()
    this.#noteShown()
    const ready = status().workers.filter(({ state }) => state === 'ready')
    this.own.workersReady.set(ready.length)
    this.own.memoryUsed.set(this.#memoryUsed().bytes)
    this.#fleet?.noteMetrics(this.own)
    account.noteMetrics(this.own)
    plan.noteMetrics(this.own)
    tokens.noteMetrics(this.own)
    keys.noteMetrics(this.own)
    noteBudget(this.own, budget(), (member) => this.#nameOf(member))
  }

  /** The container's figure, or the processes' own if there is no limit. */
  #memoryUsed(): MemoryUsed {
    const now = performance.now()
    if (now - this.#memory.at >= MEMORY_MS) this.#memory = { at: now, ...this.#readMemory() }
    return this.#memory
  }

  #readMemory(): MemoryUsed {
    const bytes = readMemoryUsed()
    if (bytes !== null) return { bytes, of: 'container' }
    const workers = new MetricReader(this.#metrics.members.values())
    const inAll = process.memoryUsage.rss() + workers.sum('process_resident_memory_bytes')
    return { bytes: inAll, of: 'processes' }
  }

  #nameOf(member: string): string {
    return member === CONTROL
      ? CONTROL
      : String(this.#options.channels.get(member)?.id ?? 'leaving')
  }
}
