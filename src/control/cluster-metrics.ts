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
/** Snapshots of workers that are gone before they are merged into one. */
const MAX_RETIRED = 16

/** The metrics of all processes as one. Counts survive the workers that made them: they never go back. */
export class ClusterMetrics {
  readonly #options: ClusterMetricsOptions
  /** Bounded by the number of workers. */
  readonly #latest = new Map<string, MetricsSnapshot>()
  /** Counts of the workers that are gone, merged when there are many. Bounded by MAX_RETIRED and who leaves meanwhile. */
  #retired: MetricsSnapshot[] = []
  #isMerging = false
  /** Bounded by the number of workers. */
  #awaited: { readonly members: Set<string>; readonly onAll: () => void } | null = null
  #collecting: Promise<void> | null = null

  constructor(options: ClusterMetricsOptions) {
    this.#options = options
  }

  onSnapshot(member: string, snapshot: MetricsSnapshot): void {
    this.#latest.set(member, snapshot)
    this.#noLongerAwaited(member)
  }

  /** A worker is gone: its counts stay. Several may leave at once. */
  onLeft(member: string): void {
    this.#noLongerAwaited(member)
    const last = this.#latest.get(member)
    if (last === undefined) return
    this.#latest.delete(member)
    this.#retired.push(withoutGauges(last))
    if (this.#retired.length > MAX_RETIRED && !this.#isMerging) void this.#mergeRetired() // never rejects
  }

  /** Everything in Prometheus' text format, fresh from the workers. Several who ask at once share one round. */
  async toText(): Promise<string> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null
    })
    await this.#collecting
    const own = await this.#options.own.snapshot()
    return toPrometheusText([own, ...this.#retired, ...this.#latest.values()])
  }

  /** Only what was there before is replaced: others may leave meanwhile. */
  async #mergeRetired(): Promise<void> {
    this.#isMerging = true
    const before = [...this.#retired]
    const merged = await mergeSnapshots(before)
    this.#retired.splice(0, before.length, merged)
    this.#isMerging = false
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
