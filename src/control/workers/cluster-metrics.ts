import type { Metrics } from '../../observe/metrics.ts'
import {
  mergeSnapshots,
  type MetricsSnapshot,
  toPrometheusText,
  withoutGauges
} from '../../observe/snapshots.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { withinTime } from '../../shared/within-time.ts'

export interface ClusterMetricsOptions {
  readonly own: Pick<Metrics, 'snapshot'>
  readonly ask: () => readonly string[]
  readonly onCollected?: () => void
}

/** A worker that has not answered by then is busy: its last snapshot is used. */
const PATIENCE_MS = 500
const MAX_RETIRED = 16

/** Merges the metrics of all processes. Dead workers' counts stay, each once, so sums never fall. */
export class ClusterMetrics {
  readonly #options: ClusterMetricsOptions
  /** Bounded by the number of workers. */
  readonly #members = new Set<string>()
  /** Bounded by the number of members. */
  readonly #latest = new Map<string, MetricsSnapshot>()
  /** `member` is null once merged. Bounded by MAX_RETIRED and the workers that leave meanwhile. */
  readonly #retired: { readonly member: string | null; readonly snapshot: MetricsSnapshot }[] = []
  #isMerging = false
  /** Bounded by the number of workers. */
  #awaited: { readonly members: Set<string>; readonly onAll: () => void } | null = null
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

  onLeft(member: string): void {
    this.#noLongerAwaited(member)
    this.#members.delete(member)
    const last = this.#latest.get(member)
    this.#latest.delete(member)
    this.#retired.push({ member, snapshot: last === undefined ? [] : withoutGauges(last) })
    if (this.#retired.length > MAX_RETIRED && !this.#isMerging) void this.#mergeRetired() // never rejects
  }

  async toText(): Promise<string> {
    await this.collect()
    this.#options.onCollected?.()
    const own = await this.#options.own.snapshot()
    return toPrometheusText([own, ...this.gone, ...this.#latest.values()])
  }

  get gone(): readonly MetricsSnapshot[] {
    return this.#retired.map(({ snapshot }) => snapshot)
  }

  get members(): ReadonlyMap<string, MetricsSnapshot> {
    return this.#latest
  }

  /** Ignored if the worker's counts have been merged already. */
  #onLastWords(member: string, snapshot: MetricsSnapshot): void {
    const at = this.#retired.findLastIndex((retired) => retired.member === member)
    if (at !== -1) this.#retired[at] = { member, snapshot: withoutGauges(snapshot) }
  }

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
    await withinTime(promise, PATIENCE_MS)
    this.#awaited = null
  }

  #noLongerAwaited(member: string): void {
    this.#awaited?.members.delete(member)
    if (this.#awaited?.members.size === 0) this.#awaited.onAll()
  }
}
