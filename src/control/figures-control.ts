import type { FromWorker } from '../ipc/messages.ts'
import { Metrics } from '../observe/metrics.ts'
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
}

/** Everything in the primary that counts: its own metrics and those of all processes together. */
export class FiguresControl {
  /** The primary's own. */
  readonly own = new Metrics()
  readonly #options: FiguresControlOptions
  readonly #metrics: ClusterMetrics

  constructor(options: FiguresControlOptions) {
    const { links, onCollected } = options
    this.#options = options
    this.#metrics = new ClusterMetrics({
      own: this.own,
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

  /** Has every worker tell how it stands. Never rejects. */
  collect(): Promise<void> {
    return this.#metrics.collect()
  }

  close(): void {
    this.own.close()
  }

  async #sendMetrics(link: Pick<WorkerLink, 'send'>, requestId: number): Promise<void> {
    const { budget, links, noteOthers } = this.#options
    noteOthers(this.own)
    noteBudget(this.own, budget(), (member) =>
      member === CONTROL ? CONTROL : String(links.get(member)?.id ?? 'leaving')
    )
    link.send({ type: 'metrics.text', requestId, text: await this.#metrics.toText() })
  }
}
