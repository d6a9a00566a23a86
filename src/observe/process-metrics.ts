import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
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

interface Delays {
  readonly median: number
  readonly p99: number
  readonly worst: number
}

const NONE: Delays = { median: 0, p99: 0, worst: 0 }

/** Delay of the event loop over at least the last 15 s, so that no peak is missed. The worst process counts. */
class LoopDelay {
  readonly #monitor = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #windowMs: number
  #before = NONE
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
        const { median, p99, worst } = this.#read()
        gauge.set({ quantile: '0.5' }, median)
        gauge.set({ quantile: '0.99' }, p99)
        gauge.set({ quantile: '1' }, worst)
      }
    })
  }

  close(): void {
    this.#monitor.disable()
  }

  #read(): Delays {
    const now = {
      median: toDelaySeconds(this.#monitor.percentile(50)),
      p99: toDelaySeconds(this.#monitor.percentile(99)),
      worst: toDelaySeconds(this.#monitor.max)
    }
    const { median, p99, worst } = this.#before
    if (performance.now() - this.#startedAt >= this.#windowMs) {
      this.#before = now
      this.#startedAt = performance.now()
      this.#monitor.reset()
    }
    return {
      median: Math.max(median, now.median),
      p99: Math.max(p99, now.p99),
      worst: Math.max(worst, now.worst)
    }
  }
}

/** Each sample wakes the process: with 20 ms an idle gateway took 1 % of a core, a slow stream an eighth more CPU. */
const RESOLUTION_MS = 100

/** The histogram holds nanoseconds between its own ticks; what exceeds the interval is delay. */
function toDelaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3)
}
