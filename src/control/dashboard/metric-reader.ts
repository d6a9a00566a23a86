import { asJsonObject, type JsonObject, textMember } from '../../shared/json.ts'

interface Series {
  readonly value: number
  readonly labels: JsonObject
}

/** Reads metrics of one or more processes; values with equal labels add up. */
export class MetricReader {
  /** Bounded by the metrics that there are, and the snapshots that are read. */
  readonly #values = new Map<string, unknown[]>()

  constructor(snapshots: Iterable<readonly object[]>) {
    for (const snapshot of snapshots) {
      for (const metric of snapshot) {
        if (!('name' in metric && 'values' in metric) || typeof metric.name !== 'string') continue
        const known = this.#values.get(metric.name)
        if (known === undefined) this.#values.set(metric.name, [metric.values])
        else known.push(metric.values)
      }
    }
  }

  sum(name: string, fits: (labels: JsonObject) => boolean = () => true): number {
    let sum = 0
    for (const { value, labels } of this.#series(name)) if (fits(labels)) sum += value
    return sum
  }

  max(name: string, fits: (labels: JsonObject) => boolean = () => true): number | null {
    let max: number | null = null
    for (const { value, labels } of this.#series(name)) {
      if (fits(labels)) max = Math.max(max ?? value, value)
    }
    return max
  }

  by(
    name: string,
    label: string,
    fits: (labels: JsonObject) => boolean = () => true
  ): ReadonlyMap<string, number> {
    const sums = new Map<string, number>()
    for (const { value, labels } of this.#series(name)) {
      if (!fits(labels)) continue
      const key = textMember(labels, label) ?? ''
      sums.set(key, (sums.get(key) ?? 0) + value)
    }
    return sums
  }

  *#series(name: string): Generator<Series, void, undefined> {
    for (const values of this.#values.get(name) ?? []) {
      if (!Array.isArray(values)) continue
      for (const one of values) {
        const { value, labels } = asJsonObject(one) ?? {}
        if (typeof value === 'number') yield { value, labels: asJsonObject(labels) ?? {} }
      }
    }
  }
}

export function withLabel(name: string, value: string): (labels: JsonObject) => boolean {
  return (labels) => labels[name] === value
}

/** Below this the system's clock is too coarse. */
const MIN_CPU_MS = 900

export class CpuClock {
  /** Bounded by the processes that there are. */
  readonly #readings = new Map<string, { seconds: number; at: number; cores: number | null }>()

  /** `null` before two readings. `now` is monotonic. */
  read(name: string, metrics: MetricReader | null, now: number): number | null {
    const seconds = metrics?.sum('process_cpu_seconds_total') ?? 0
    const last = this.#readings.get(name)
    if (last !== undefined && (now - last.at < MIN_CPU_MS || seconds === last.seconds)) {
      return last.cores
    }
    const cores =
      last === undefined ? null : Math.max(0, (seconds - last.seconds) / ((now - last.at) / 1000))
    this.#readings.set(name, { seconds, at: now, cores })
    return cores
  }

  forget(name: string): void {
    this.#readings.delete(name)
  }
}
