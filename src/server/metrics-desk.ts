import type { Channel } from '../ipc/channel.ts'
import type { FromWorker, ToWorker } from '../ipc/messages.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { PoolStats } from '../upstream/pool.ts'
import type { DataPlane } from './data-plane.ts'

/** Between scrapes the primary hears of this worker's counts this often, so that its death loses few of them. */
const PUSH_MS = 5_000

/** This worker's metrics on their way to the primary, and the whole cluster's on their way back. */
export class MetricsDesk {
  readonly #channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  readonly #plane: DataPlane
  readonly #texts = new Map<number, (text: string) => void>()
  readonly #timer: NodeJS.Timeout
  #told: PoolStats
  #nextRequestId = 1

  constructor(channel: Pick<Channel<ToWorker, FromWorker>, 'send'>, plane: DataPlane) {
    this.#channel = channel
    this.#plane = plane
    this.#told = plane.pool.stats()
    this.#timer = setInterval(() => void this.push(), PUSH_MS) // cannot reject
    this.#timer.unref()
  }

  /** Sends a snapshot of now. */
  async push(): Promise<void> {
    this.#noteGauges()
    this.#channel.send({
      type: 'metrics.snapshot',
      metrics: await this.#plane.metrics.snapshot()
    })
  }

  /** The metrics of the whole cluster, in Prometheus' text format. */
  clusterText(): Promise<string> {
    const requestId = this.#nextRequestId++
    const { promise, resolve } = Promise.withResolvers<string>()
    this.#texts.set(requestId, resolve)
    this.#channel.send({ type: 'metrics.wanted', requestId })
    return promise
  }

  onText(requestId: number, text: string): void {
    this.#texts.get(requestId)?.(text)
    this.#texts.delete(requestId)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #noteGauges(): void {
    const { metrics, lease, pool, memory } = this.#plane
    const { held, waiting } = lease.state()
    metrics.permitsInUse.set(held)
    metrics.waiters.set(waiting)
    metrics.admittedBytes.set(memory.reservedBytes)
    const stats = pool.stats()
    metrics.upstreamConnections.set({ state: 'active' }, stats.busy)
    metrics.upstreamConnections.set({ state: 'idle' }, stats.idle)
    metrics.upstreamConnections.set({ state: 'connecting' }, stats.connecting)
    metrics.upstreamConnections.set({ state: 'closing' }, stats.closing)
    countConnections(metrics, this.#told, stats)
    this.#told = stats
  }
}

/** The pool counts for itself; what has come since the last time is added. */
function countConnections(metrics: Metrics, before: PoolStats, now: PoolStats): void {
  metrics.connectionsOpened.inc(now.opened - before.opened)
  metrics.connectionReuse.inc(now.reused - before.reused)
  for (const [reason, count] of Object.entries(now.closed)) {
    const known = Object.entries(before.closed).find(([name]) => name === reason)?.[1] ?? 0
    metrics.connectionsClosed.inc({ reason }, count - known)
  }
}
