import { mergeSnapshots, toPrometheusText, withoutGauges } from '../observe/merge-snapshots.ts'
import type { Metrics, MetricsSnapshot } from '../observe/metrics.ts'

export interface ClusterMetricsOptions {
  /** The primary's own. */
  readonly own: Metrics
  /** Asks every worker for a snapshot; returns the members that were asked. */
  readonly ask: () => readonly string[]
}

/** A worker that has not answered by then is busy: what it said last is told instead. */
const PATIENCE_MS = 500

/** The metrics of all processes as one. Counts survive the workers that made them: they never go back. */
export class ClusterMetrics {
  readonly #options: ClusterMetricsOptions
  readonly #latest = new Map<string, MetricsSnapshot>()
  /** Counts of the workers that are gone. */
  #retired: MetricsSnapshot = []
  #awaited: { readonly members: Set<string>; readonly onAll: () => void } | null = null
  #collecting: Promise<void> | null = null

  constructor(options: ClusterMetricsOptions) {
    this.#options = options
  }

  onSnapshot(member: string, snapshot: MetricsSnapshot): void {
    this.#latest.set(member, snapshot)
    this.#noLongerAwaited(member)
  }

  /** A worker is gone: its counts stay. */
  async onLeft(member: string): Promise<void> {
    this.#noLongerAwaited(member)
    const last = this.#latest.get(member)
    if (last === undefined) return
    this.#latest.delete(member)
    this.#retired = await mergeSnapshots([this.#retired, withoutGauges(last)])
  }

  /** Everything in Prometheus' text format, fresh from the workers. Several who ask at once share one round. */
  async toText(): Promise<string> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null
    })
    await this.#collecting
    const own = await this.#options.own.snapshot()
    return toPrometheusText([own, this.#retired, ...this.#latest.values()])
  }

  async #collect(): Promise<void> {
    const members = new Set(this.#options.ask())
    if (members.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#awaited = { members, onAll: resolve }
    const timer = setTimeout(resolve, PATIENCE_MS)
    await promise
    clearTimeout(timer)
    this.#awaited = null
  }

  #noLongerAwaited(member: string): void {
    this.#awaited?.members.delete(member)
    if (this.#awaited?.members.size === 0) this.#awaited.onAll()
  }
}
