import { readMemoryUsed } from '../config/container.ts'
import type { MemoryPlan } from '../config/memory-plan.ts'
import type { ClusterStatus, FromWorker } from '../ipc/messages.ts'
import type { UsageRow } from '../ipc/usage-row.ts'
import { Metrics } from '../observe/metrics.ts'
import { type CountedTurn, TurnCounts } from '../observe/turn-counts.ts'
import { version } from '../shared/version.ts'
import { type BudgetState, noteBudget } from './budget/budget.ts'
import { CONTROL } from './budget/control-lane.ts'
import { ClusterMetrics } from './desks/cluster-metrics.ts'
import type { WorkerLink } from './workers/worker-link.ts'

/** Those of a worker that are about figures. */
type FigureMessage = Extract<FromWorker, { readonly type: 'metrics.snapshot' | 'metrics.wanted' }>

export interface FiguresControlOptions {
  /** The workers that run now, by their names in the ledger. */
  readonly links: ReadonlyMap<string, Pick<WorkerLink, 'id' | 'send'>>
  readonly budget: () => BudgetState
  /** Puts what others in the primary know into its metrics. */
  readonly noteOthers: (metrics: Metrics) => void
  /** Called when the workers have told everything: what the primary's own are made of can be counted. */
  readonly onCollected: (metrics: Metrics) => void
  /** The models that there are now. */
  readonly models: () => readonly { readonly id: string }[]
  readonly status: () => ClusterStatus
  readonly memory: Pick<MemoryPlan, 'limitBytes' | 'workers'>
}

/** Where a model is counted that is in no list. */
const OTHER = 'other'

/** Everything in the primary that counts: its own metrics, the requests of all workers, and all processes together. */
export class FiguresControl {
  /** The primary's own. */
  readonly own = new Metrics()
  readonly #options: FiguresControlOptions
  readonly #metrics: ClusterMetrics
  readonly #turns = new TurnCounts()

  constructor(options: FiguresControlOptions) {
    const { links, onCollected, memory } = options
    this.#options = options
    this.own.memoryLimit.set(memory.limitBytes)
    this.own.workersConfigured.set(memory.workers)
    this.own.buildInfo.set({ version, node: process.versions.node }, 1)
    this.#metrics = new ClusterMetrics({
      own: this.own,
      counts: () => this.#turns.snapshot(),
      onCollected: () => onCollected(this.own),
      ask: () => {
        for (const link of links.values()) link.send({ type: 'metrics.collect' })
        return [...links.keys()]
      }
    })
  }

  onJoined(member: string): void {
    this.#metrics.onJoined(member)
  }

  /** A worker is gone. */
  onLeft(member: string): void {
    this.#metrics.onLeft(member)
  }

  onMessage(message: FigureMessage, link: Pick<WorkerLink, 'member' | 'send'>): void {
    switch (message.type) {
      case 'metrics.snapshot':
        this.#metrics.onSnapshot(link.member, message.metrics)
        break
      case 'metrics.wanted':
        void this.#sendMetrics(link, message.requestId) // never rejects
        break
    }
  }

  /** Requests are over, each told of once. */
  onRows(rows: readonly UsageRow[]): void {
    const models = new Set(this.#options.models().map(({ id }) => id))
    for (const row of rows) {
      const counted = toCounted(row, models.has(row.model) ? row.model : OTHER)
      if (counted !== null) this.#turns.add(counted)
    }
  }

  /** So many requests died with a worker. */
  onLost(requests: number): void {
    this.#turns.lose(requests)
  }

  /** Has every worker tell how it stands. Never rejects. */
  collect(): Promise<void> {
    return this.#metrics.collect()
  }

  close(): void {
    this.own.close()
  }

  async #sendMetrics(link: Pick<WorkerLink, 'send'>, requestId: number): Promise<void> {
    const { budget, links, noteOthers, status } = this.#options
    const ready = status().workers.filter(({ state }) => state === 'ready')
    this.own.workersReady.set(ready.length)
    this.own.memoryUsed.set(readMemoryUsed() ?? process.memoryUsage.rss())
    noteOthers(this.own)
    noteBudget(this.own, budget(), (member) =>
      member === CONTROL ? CONTROL : String(links.get(member)?.id ?? 'leaving')
    )
    link.send({ type: 'metrics.text', requestId, text: await this.#metrics.toText() })
  }
}

/** `null` for what is no request of a client: credits that died with a worker. */
function toCounted({ turn, ...row }: UsageRow, model: string): CountedTurn | null {
  if (turn === undefined) return null
  const { phaseMs, route, isStream, chunks, isDoublePrice } = turn
  const { read = 0, transform = 0, queue = 0, connect = 0, ttfb } = phaseMs
  const wasAsked = phaseMs['connect'] !== undefined
  return {
    ...row,
    model,
    route,
    isStream,
    chunks,
    isDoublePrice,
    askedMs: wasAsked ? Math.max(0, row.totalMs - read - transform - queue) : null,
    toFirstChunkMs: ttfb === undefined ? null : connect + ttfb
  }
}
