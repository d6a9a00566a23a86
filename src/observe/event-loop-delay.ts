import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Gauge, type Registry } from 'prom-client'

/**
 * How late the event loop runs its timers, since the metric was last read: median, 99th percentile and worst.
 * Merged over processes, the worst one counts.
 */
export class EventLoopDelay {
  readonly #delays = monitorEventLoopDelay({ resolution: resolutionMs })

  constructor(registry: Registry, name: string) {
    const delays = this.#delays
    delays.enable()
    const gauge = new Gauge({
      name,
      help: 'Delay of the event loop since the last reading, the worst process.',
      labelNames: ['quantile'],
      registers: [registry],
      aggregator: 'max',
      collect() {
        gauge.set({ quantile: '0.5' }, toDelaySeconds(delays.percentile(50)))
        gauge.set({ quantile: '0.99' }, toDelaySeconds(delays.percentile(99)))
        gauge.set({ quantile: '1' }, toDelaySeconds(delays.max))
        delays.reset()
      }
    })
  }

  /** Stops measuring. */
  close(): void {
    this.#delays.disable()
  }
}

/**
 * Between two looks. Each wakes the process: every 20 ms, an idle gateway took 1 % of a core for it, and a slow stream an
 * eighth more CPU (`npm run bench -- --row paced`).
 */
const resolutionMs = 100

/** The histogram holds nanoseconds between ticks of its own timer; what is beyond its interval is delay. */
function toDelaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - resolutionMs / 1e3)
}
