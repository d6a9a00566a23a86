import { availableCpus, readContainerLimits } from '../config/container.ts'
import type { MemoryPlan } from '../config/memory-plan.ts'
import type { Config } from '../config/settings.ts'
import { faultOf } from '../dashboard/failures.ts'
import type {
  EndedRequest,
  FleetShown,
  GatewayVerdict,
  RunningRequest,
  WorkerFigures
} from '../dashboard/feed.ts'
import type { DashboardWish } from '../ipc/dashboard.ts'
import type { ClusterStatus } from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import { MICROS_PER_CREDIT } from '../keys/key.ts'
import type { AccountUsage } from '../kiro/wire/account-usage.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { MetricsSnapshot } from '../observe/snapshots.ts'
import type { FailingRequests } from '../shared/failing.ts'
import type { FleetStatus, OwnFleetStatus } from '../shared/fleet-status.ts'
import type { LearntTokens } from './account/learnt-tokens.ts'
import type { AccountControl } from './account-control.ts'
import type { BudgetState } from './budget/budget.ts'
import type { DashboardPublisher, DashboardSources } from './dashboard/dashboard-publisher.ts'
import { CpuClock, MetricReader } from './dashboard/metric-reader.ts'
import { toQuota, toShownAccount } from './dashboard/shown-account.ts'
import type { ProcessReadings } from './dashboard/shown-figures.ts'
import { toKeyStatuses } from './dashboard/shown-keys.ts'
import type { ClusterMetrics } from './workers/cluster-metrics.ts'
import type { KeyControl } from './key-control.ts'
import type { PlanControl } from './plan-control.ts'
import { WorkerViews } from './dashboard/worker-views.ts'
import type { Supervisor } from './workers/supervisor.ts'
import type { WorkerChannel } from './workers/worker-channel.ts'

export interface DashboardControlOptions {
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
  readonly onVerdict: () => void
  readonly failing: () => FailingRequests | null
  readonly memoryUsed: () => { readonly bytes: number; readonly of: 'container' | 'processes' }
}

export interface FleetView {
  readonly status: FleetStatus
  readonly own: OwnFleetStatus
  readonly noteMetrics: (metrics: Metrics) => void
}

export interface DashboardParts {
  readonly account: AccountControl
  readonly keys: KeyControl
  readonly plan: PlanControl
  readonly tokens: Pick<LearntTokens, 'errors' | 'noteMetrics'>
  readonly supervisor: Pick<Supervisor, 'states' | 'leavingPids'>
}

/** Most models whose errors of counts are shown. */
const MAX_COUNTS = 12

/** The dashboard's part in the primary. Its publisher exists only while `DASHBOARD` is on. */
export class DashboardControl {
  readonly #options: DashboardControlOptions
  readonly #cpuLimit = availableCpus(readContainerLimits())
  readonly #cpu = new CpuClock()
  readonly #views: WorkerViews
  /** Deaths by slot. Bounded by the slots. */
  readonly #deaths = new Map<number, number>()
  #publisher: DashboardPublisher | null = null
  #verdict: GatewayVerdict | null = null
  #isClosed = false

  constructor(options: DashboardControlOptions) {
    this.#options = options
    this.#views = new WorkerViews(
      () => options.channels.keys(),
      (member, requestId) => this.#send(member, { name: 'look', requestId })
    )
  }

  async adapt(): Promise<void> {
    const isOn = this.#options.config().observe.dashboard !== 'off'
    if (isOn === (this.#publisher !== null) || this.#isClosed) return
    if (!isOn) {
      this.#publisher?.close()
      this.#publisher = null
      return
    }
    try {
      const { DashboardPublisher } = await import('./dashboard/dashboard-publisher.ts')
      if (this.#publisher !== null || this.#isClosed) return
      this.#publisher = new DashboardPublisher(this.#sources(), process.uptime() * 1000)
    } catch (err) {
      this.#options.log.error({ err }, 'dashboard cannot be loaded')
    }
  }

  onRows(rows: readonly UsageRow[]): void {
    if (this.#publisher === null) return
    const { keys } = this.#options.parts()
    this.#publisher.onEnded(rows, (row) => toEnded(row, keys.nameOf(row.key)))
  }

  /** Each answer about the plan is shown at once, no matter who asked. */
  onUsage(usage: AccountUsage): void {
    this.#publisher?.onQuota(toQuota({ usage, problem: null }))
  }

  onWish(wish: DashboardWish, member: string): void {
    switch (wish.name) {
      case 'open':
        void this.#open(wish, member) // never rejects
        break
      case 'left':
        this.#publisher?.left(member, wish.pages)
        break
      case 'seen':
        if (this.#options.channels.has(member)) this.#views.onSeen(member, wish)
        break
    }
  }

  /** The last judgement; `null` while the dashboard is off. */
  get verdict(): GatewayVerdict | null {
    return this.#publisher === null ? null : this.#verdict
  }

  /** Resolves when all who tell of the gateway have the new judgement. Never rejects. */
  async judgeAgain(): Promise<void> {
    await this.#publisher?.judgeAgain()
  }

  /** `null` while the dashboard is off or cannot be loaded. */
  async state(): Promise<Awaited<ReturnType<DashboardPublisher['state']>> | null> {
    await this.adapt() // it may not be loaded yet
    return this.#publisher?.state() ?? null
  }

  onDied(slot: number): void {
    this.#deaths.set(slot, (this.#deaths.get(slot) ?? 0) + 1)
  }

  onLeft(member: string): void {
    this.#publisher?.left(member)
    this.#cpu.forget(member)
    this.#views.onLeft(member)
  }

  close(): void {
    this.#isClosed = true
    this.#publisher?.close()
    this.#publisher = null
  }

  async #open(
    { requestId, pages }: Extract<DashboardWish, { readonly name: 'open' }>,
    member: string
  ): Promise<void> {
    await this.adapt() // it may not be loaded yet
    const isThere = (): boolean => this.#options.channels.has(member)
    if (this.#publisher !== null) await this.#publisher.open(member, { requestId, pages }, isThere)
    else this.#send(member, { name: 'opened', requestId, pages: 0, events: '' })
  }

  readonly #send: DashboardSources['send'] = (member, news) => {
    this.#options.channels.get(member)?.send({ type: 'dashboard.news', news })
  }

  #sources(): DashboardSources {
    const { config, parts, isSimulated, memory } = this.#options
    return {
      read: (isFresh) => this.#read(isFresh),
      moment: () => {
        const { bytes, of } = this.#options.memoryUsed()
        return {
          counts: parts().tokens.errors().slice(-MAX_COUNTS),
          memory: { limitBytes: memory.limitBytes, usedBytes: bytes, of },
          cpuLimit: this.#cpuLimit,
          maxWaiting: config().pool.maxWaiting,
          pausedUntil: pauseOf(parts().account),
          fleet: this.#fleet(),
          workers: this.#workers(),
          isCrashLooping: this.#options.status().isCrashLooping,
          failing: this.#options.failing(),
          running: this.#running()
        }
      },
      account: (quota) => {
        const { account, plan } = parts()
        const { news, accountStatus } = account.forWorker()
        const { isExpected, endsAt, loginHint } = account.credentials
        return toShownAccount(
          {
            planBar: plan.bar,
            outlook: plan.outlook,
            news,
            status: accountStatus,
            isExpected,
            endsAt,
            loginHint
          },
          {
            startedAt: this.#publisher?.startedAt ?? Date.now(),
            isSimulated,
            workers: memory.workers,
            status: this.#options.status(),
            config: config(),
            quota,
            now: Date.now()
          }
        )
      },
      keys: ({ all }) => {
        const { keys } = parts()
        return toKeyStatuses(all, keys.knownKeys, (key) => keys.creditsOf(key))
      },
      quota: async () => toQuota(await parts().account.usage()),
      send: this.#send,
      onVerdict: (verdict) => {
        const isNews = verdict.code !== this.#verdict?.code || verdict.level !== this.#verdict.level
        this.#verdict = verdict
        if (isNews) this.#options.onVerdict()
      }
    }
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

  #fleet(): FleetShown | null {
    const fleet = this.#options.fleet()
    return fleet === null ? null : { ...fleet.status, ...fleet.own }
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

function pauseOf(account: AccountControl): number | null {
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
