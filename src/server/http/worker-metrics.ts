import type { ToPrimary } from '../../ipc/channel.ts'
import { SHOWN_METRICS } from '../../ipc/dashboard.ts'
import type { LogStream } from '../../observe/logger.ts'
import type { MetricsSnapshot } from '../../observe/snapshots.ts'
import { poolMeter } from '../../upstream/connections/pool-metrics.ts'
import type { ResponsesSockets } from '../socket/responses-sockets.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'

/** Interval between scrapes, so that a dying worker loses few counts. */
const PUSH_MS = 5_000

export interface WorkerMetricsOptions {
  readonly channel: ToPrimary
  readonly plane: DataPlane
  readonly pulse: Pick<PrimaryPulse, 'isSilent'>
  readonly logStream: LogStream
  readonly hasNamedKeys: () => boolean
  readonly sockets: Pick<ResponsesSockets, 'busy' | 'keptBytes' | 'size'>
}

export class WorkerMetrics {
  readonly #options: WorkerMetricsOptions
  #linesLost = 0
  readonly #notePool: () => void
  readonly #timer: NodeJS.Timeout

  constructor(options: WorkerMetricsOptions) {
    this.#options = options
    const { pool, metrics, slot } = options.plane
    this.#notePool = poolMeter(pool, metrics, String(slot))
    this.#timer = setInterval(() => void this.push(), PUSH_MS) // cannot reject
    this.#timer.unref()
  }

  async push(): Promise<void> {
    const { channel, plane, pulse } = this.#options
    if (pulse.isSilent) return // snapshots would pile up in the channel
    this.#noteGauges()
    channel.send({ type: 'metrics.snapshot', metrics: await plane.metrics.snapshot() })
  }

  /** Snapshot of SHOWN_METRICS; the primary already has every request that they count. */
  shown(): Promise<MetricsSnapshot> {
    const { records, metrics } = this.#options.plane
    records.flush()
    this.#noteShown()
    return metrics.some(SHOWN_METRICS)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Gauges of SHOWN_METRICS, which are read each second. */
  #noteShown(): void {
    const { metrics, lease } = this.#options.plane
    const { held, waiting, gated } = lease.state()
    metrics.permitsInUse.set(held)
    metrics.waiters.set(waiting)
    metrics.gatedRequests.set(gated)
    metrics.longestWait.set(lease.longestWaitMs / 1000)
    this.#noteKeys()
    this.#notePool()
  }

  #noteGauges(): void {
    this.#noteShown()
    const { plane, logStream, sockets } = this.#options
    const worker = String(plane.slot)
    const { metrics, lease, memory, smallLane, kept, answers, transforms } = plane
    const { held, waiting } = lease.state()
    metrics.workerPermits.set({ worker }, held)
    metrics.workerWaiters.set({ worker }, waiting)
    metrics.transformJobs.set({ state: 'waiting' }, transforms.waiting)
    metrics.transformJobs.set({ state: 'running' }, transforms.running)
    metrics.webSockets.set({ state: 'busy' }, sockets.busy)
    metrics.webSockets.set({ state: 'idle' }, sockets.size - sockets.busy)
    metrics.webSocketBytes.set(sockets.keptBytes)
    metrics.admissibleBytes.set(memory.totalBytes)
    metrics.admittedBytes.set(memory.reservedBytes)
    metrics.admittedLaneBytes.set({ lane: 'small' }, smallLane.reservedBytes)
    metrics.admittedLaneBytes.set({ lane: 'answer' }, answers.laneBytes)
    metrics.admittedLaneBytes.set({ lane: 'kept' }, kept.reservedBytes)
    const { lost = 0 } = logStream
    metrics.logLinesLost.inc(lost - this.#linesLost)
    this.#linesLost = lost
  }

  #noteKeys(): void {
    const { hasNamedKeys, plane } = this.#options
    if (!hasNamedKeys()) return
    const { metrics, turns } = plane
    metrics.keyStreams.reset()
    metrics.keyWaiting.reset()
    for (const [key, { streams, waiting }] of turns.byKey()) {
      metrics.keyStreams.set({ key }, streams)
      metrics.keyWaiting.set({ key }, waiting)
    }
  }
}
