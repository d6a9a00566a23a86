import type { Channel } from '../ipc/channel.ts'
import type { FromWorker, ToWorker } from '../ipc/messages.ts'
import { Pending } from '../ipc/pending.ts'
import { PoolMetrics } from '../upstream/pool-metrics.ts'
import type { DataPlane } from './data-plane.ts'

/** Between scrapes the primary hears of this worker's counts this often, so that its death loses few of them. */
const PUSH_MS = 5_000

/** This worker's metrics on their way to the primary, and the whole cluster's on their way back. */
export class MetricsDesk {
  readonly #channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  readonly #plane: DataPlane
  readonly #texts = new Pending<string>()
  readonly #worker: string
  readonly #poolMetrics: PoolMetrics
  readonly #timer: NodeJS.Timeout

  /** `workerId` is the worker's slot. */
  constructor(
    channel: Pick<Channel<ToWorker, FromWorker>, 'send'>,
    plane: DataPlane,
    workerId: number
  ) {
    this.#channel = channel
    this.#plane = plane
    this.#worker = String(workerId)
    const { pool, metrics } = plane
    this.#poolMetrics = new PoolMetrics({ pool, metrics, owner: this.#worker })
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
    return this.#texts.ask((requestId) => {
      this.#channel.send({ type: 'metrics.wanted', requestId })
    })
  }

  onText(requestId: number, text: string): void {
    this.#texts.answer(requestId, text)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #noteGauges(): void {
    const { metrics, lease, memory } = this.#plane
    const worker = this.#worker
    const { held, waiting } = lease.state()
    metrics.permitsInUse.set(held)
    metrics.workerPermits.set({ worker }, held)
    metrics.waiters.set(waiting)
    metrics.workerWaiters.set({ worker }, waiting)
    metrics.admittedBytes.set(memory.reservedBytes)
    this.#poolMetrics.note()
  }
}
