import { readdirSync } from 'node:fs'
import { type Histogram, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge, type Registry } from './prom-client.ts'

/** Reading it takes half a millisecond, and a dashboard looks each second. */
const RSS_MS = 4_000
/** Length of a window; the worst value of the previous window is told until it ends. */
const WINDOW_MS = 15_000

/** Resource usage under the names common to Prometheus clients. A replaced worker's counts go on under its slot. */
export class ProcessMetrics {
  readonly #delay: LoopDelay

  constructor(registry: Registry, name: string, windowMs = WINDOW_MS) {
    const labels = { process: name }
    const common = { labelNames: ['process'], registers: [registry] }
    const sum = (metric: string, help: string, read: () => number) => {
      let told = 0
      const counter = new Counter({
        ...common,
        name: metric,
        help,
        collect: () => {
          const now = read()
          counter.inc(labels, Math.max(0, now - told))
          told = Math.max(told, now)
        }
      })
    }
    sum('process_cpu_seconds_total', 'CPU time of a process, in user and system mode.', cpuSeconds)
    sum(
      'kiro_gateway_event_loop_busy_seconds_total',
      'Time in which the event loop of a process was busy.',
      () => performance.eventLoopUtilization().active / 1000
    )
    const start = new Gauge({
      ...common,
      name: 'process_start_time_seconds',
      help: 'Start time of a process; with two in one slot, of the newer.',
      aggregator: 'max'
    })
    start.set(labels, Math.round(performance.timeOrigin) / 1000)
    let rssAt = -Infinity
    const rss = new Gauge({
      ...common,
      name: 'process_resident_memory_bytes',
      help: 'Memory of a process, including shared pages.',
      collect: () => {
        const now = performance.now()
        if (now - rssAt < RSS_MS) return
        rssAt = now
        rss.set(labels, process.memoryUsage.rss())
      }
    })
    // First, so that its look serves the others.
    const files = new Gauge({
      ...common,
      name: 'process_open_fds',
      help: 'Open files and sockets of a process.',
      collect: () => {
        const usage = process.memoryUsage()
        heapUsed.set(labels, usage.heapUsed)
        heap.set(labels, usage.heapTotal)
        external.set(labels, usage.external)
        files.set(labels, countOpenFiles())
      }
    })
    const memory = (metric: string, help: string) => new Gauge({ ...common, name: metric, help })
    const heapUsed = memory('nodejs_heap_size_used_bytes', 'Used part of the V8 heap of a process.')
    const heap = memory('nodejs_heap_size_total_bytes', 'V8 heap of a process.')
    const external = memory(
      'nodejs_external_memory_bytes',
      'Buffers of a process outside its heap.'
    )
    this.#delay = new LoopDelay(registry, windowMs)
  }

  close(): void {
    this.#delay.close()
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function countOpenFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length - 1 // without that of the folder itself
  } catch {
    return 0
  }
}

/** Values of the histogram of delays, by their label. */
const QUANTILES: readonly (readonly [string, (delays: Histogram) => number])[] = [
  ['0.5', (delays) => delays.percentile(50)],
  ['0.99', (delays) => delays.percentile(99)],
  ['1', (delays) => delays.max]
]

/** Delay of the event loop over at least the last 15 s, so that no peak is missed. The worst process counts. */
class LoopDelay {
  readonly #monitor = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #windowMs: number
  /** Bounded by QUANTILES. */
  #before: readonly number[] = []
  #startedAt = performance.now()

  constructor(registry: Registry, windowMs: number) {
    this.#windowMs = windowMs
    this.#monitor.enable()
    const gauge = new Gauge({
      name: 'kiro_gateway_event_loop_delay_seconds',
      help: 'Delay of the event loop in the last quarter of a minute or two, the worst process.',
      labelNames: ['quantile'],
      registers: [registry],
      aggregator: 'max',
      collect: () => {
        const delays = this.#read()
        for (const [index, [quantile]] of QUANTILES.entries())
          gauge.set({ quantile }, delays[index] ?? 0)
      }
    })
  }

  close(): void {
    this.#monitor.disable()
  }

  /** In seconds, in the order of QUANTILES. */
  #read(): readonly number[] {
    const now = QUANTILES.map(([, read]) => toDelaySeconds(read(this.#monitor)))
    const before = this.#before
    if (performance.now() - this.#startedAt >= this.#windowMs) {
      this.#before = now
      this.#startedAt = performance.now()
      this.#monitor.reset()
    }
    return now.map((delay, index) => Math.max(delay, before[index] ?? 0))
  }
}

/** Each sample wakes the process: with 20 ms an idle gateway took 1 % of a core, a slow stream an eighth more CPU. */
const RESOLUTION_MS = 100

/** The histogram holds nanoseconds between its own ticks; what exceeds the interval is delay. */
function toDelaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3)
}
