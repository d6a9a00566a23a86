import type { Metrics } from '../../observe/metrics.ts'
import {
  mergeSnapshots,
  type MetricsSnapshot,
  toPrometheusText,
  withoutGauges
} from '../../observe/snapshots.ts'
import { singleFlight } from '../../shared/single-flight.ts'

export interface ClusterMetricsOptions {
  /** The primary's own. */
  readonly own: Pick<Metrics, 'snapshot'>
  /** Asks every worker for a snapshot; returns the members that were asked. */
  readonly ask: () => readonly string[]
  /** The workers have told everything: what the primary's own are made of can be counted. */
  readonly onCollected?: () => void
}

/** A worker that has not answered by then is busy: its last snapshot is used. */
const PATIENCE_MS = 500
/** Snapshots of workers that are gone before they are merged into one. */
const MAX_RETIRED = 16

/**
 * The metrics of all processes as one. Counts survive the workers that made them, each once: they never go back, and the
 * last words of a worker, which may come after its exit, take the place of those before.
 */
export class ClusterMetrics {
  readonly #options: ClusterMetricsOptions
  /** Bounded by the number of workers. */
  readonly #members = new Set<string>()
  /** Reports of members only. Bounded by their number. */
  readonly #latest = new Map<string, MetricsSnapshot>()
  /**
   * Counts of the workers that are gone, merged when there are many; `member` is null for several. Bounded by MAX_RETIRED
   * and the workers that leave meanwhile.
   */
  readonly #retired: { readonly member: string | null; readonly snapshot: MetricsSnapshot }[] = []
  #isMerging = false
  /** Bounded by the number of workers. */
  #awaited: { readonly members: Set<string>; readonly onAll: () => void } | null = null
  /** Resolves when every worker has told how it stands, or had time enough to. */
  readonly collect = singleFlight(() => this.#collect())

  constructor(options: ClusterMetricsOptions) {
    this.#options = options
  }

  onJoined(member: string): void {
    this.#members.add(member)
  }

  onSnapshot(member: string, snapshot: MetricsSnapshot): void {
    if (!this.#members.has(member)) return this.#onLastWords(member, snapshot)
    this.#latest.set(member, snapshot)
    this.#noLongerAwaited(member)
  }

  /** A worker is gone: its counts stay. Several may leave at once. */
  onLeft(member: string): void {
    this.#noLongerAwaited(member)
    this.#members.delete(member)
    const last = this.#latest.get(member)
    this.#latest.delete(member)
    this.#retired.push({ member, snapshot: last === undefined ? [] : withoutGauges(last) })
    if (this.#retired.length > MAX_RETIRED && !this.#isMerging) void this.#mergeRetired() // never rejects
  }

  /** Everything in Prometheus' text format, fresh from the workers. Several who ask at once share one round. */
  async toText(): Promise<string> {
    await this.collect()
    this.#options.onCollected?.()
    const own = await this.#options.own.snapshot()
    return toPrometheusText([own, ...this.gone, ...this.#latest.values()])
  }

  /** Counts of the workers that are gone. */
  get gone(): readonly MetricsSnapshot[] {
    return this.#retired.map(({ snapshot }) => snapshot)
  }

  /** Latest reports of the running workers, by name. */
  get members(): ReadonlyMap<string, MetricsSnapshot> {
    return this.#latest
  }

  /** Lost if the worker's counts have been merged with others: they cannot be separated again. */
  #onLastWords(member: string, snapshot: MetricsSnapshot): void {
    const at = this.#retired.findLastIndex((retired) => retired.member === member)
    if (at !== -1) this.#retired[at] = { member, snapshot: withoutGauges(snapshot) }
  }

  /** Only what was there before is replaced: others may leave meanwhile. */
  async #mergeRetired(): Promise<void> {
    this.#isMerging = true
    const before = [...this.#retired]
    const snapshot = await mergeSnapshots(before.map((retired) => retired.snapshot))
    this.#retired.splice(0, before.length, { member: null, snapshot })
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
