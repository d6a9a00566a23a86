import type { DashboardWish, RunningTurn } from '../../ipc/dashboard.ts'
import type { MetricsSnapshot } from '../../observe/snapshots.ts'
import { withinTime } from '../../shared/within-time.ts'

/** A worker that has not answered by then is busy: its last report is used. */
const PATIENCE_MS = 500

/** A view is as good as a new one until then. */
export const VIEW_FRESH_MS = 200

export class WorkerViews {
  readonly #members: () => Iterable<string>
  readonly #ask: (member: string, requestId: number) => void
  /** `performance.now()`. Bounded by the workers that run. */
  readonly #seenAt = new Map<string, number>()
  /** Bounded by the workers that run. */
  readonly #seen = new Map<string, MetricsSnapshot>()
  /** Bounded by the workers that run. */
  readonly #running = new Map<string, readonly RunningTurn[]>()
  /** Bounded by the workers that run. */
  #awaited = new Set<string>()
  #requestId = 0
  #onAll: () => void = () => {}

  constructor(members: () => Iterable<string>, ask: (member: string, requestId: number) => void) {
    this.#members = members
    this.#ask = ask
  }

  /** Asks workers that have told nothing just now; resolves when all have answered or time is up. One at a time. */
  async look(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#requestId++
    this.#onAll = resolve
    const from = performance.now() - VIEW_FRESH_MS
    const isOld = (member: string): boolean => (this.#seenAt.get(member) ?? -Infinity) < from
    this.#awaited = new Set(Array.from(this.#members()).filter(isOld))
    for (const member of this.#awaited) this.#ask(member, this.#requestId)
    if (this.#awaited.size === 0) return
    await withinTime(promise, PATIENCE_MS)
  }

  onSeen(
    member: string,
    { requestId, metrics, running }: Extract<DashboardWish, { readonly name: 'seen' }>
  ): void {
    this.#seen.set(member, metrics)
    this.#seenAt.set(member, performance.now())
    this.#running.set(member, running)
    if (requestId === this.#requestId) this.#noLongerAwaited(member)
  }

  onLeft(member: string): void {
    this.#seen.delete(member)
    this.#seenAt.delete(member)
    this.#running.delete(member)
    this.#noLongerAwaited(member)
  }

  /** Before a worker's first report, uses `others`. */
  latest(others: ReadonlyMap<string, MetricsSnapshot>): ReadonlyMap<string, MetricsSnapshot> {
    return new Map([...others, ...this.#seen])
  }

  /** By member, each oldest first. */
  get running(): ReadonlyMap<string, readonly RunningTurn[]> {
    return this.#running
  }

  #noLongerAwaited(member: string): void {
    if (this.#awaited.delete(member) && this.#awaited.size === 0) this.#onAll()
  }
}
