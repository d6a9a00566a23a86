import type { ErrorCount } from './feed.ts'

const HOUR_MS = 3_600_000
const STEP_MS = 300_000
const MAX_CODES = 40

interface Step {
  readonly at: number
  readonly counts: ReadonlyMap<string, number>
}

/** How often requests have failed in the last hour, give or take five minutes, by code. Times are of a clock that never goes back. */
export class Failures {
  /** The oldest is an hour old. Bounded by the steps of an hour, and each by the codes that there are. */
  #steps: readonly Step[]

  constructor(startedAt: number) {
    this.#steps = [{ at: startedAt, counts: new Map() }]
  }

  /** `counts` are those since the start. */
  note(at: number, counts: ReadonlyMap<string, number>): void {
    const last = this.#steps.at(-1)
    if (last !== undefined && at - last.at < STEP_MS) return
    const steps = [...this.#steps, { at, counts: new Map(counts) }]
    const from = steps.findLastIndex((step) => at - step.at >= HOUR_MS)
    this.#steps = steps.slice(Math.max(0, from))
  }

  /** The most frequent of the last hour first. */
  toJson(counts: ReadonlyMap<string, number>): readonly ErrorCount[] {
    const before = this.#steps[0]?.counts
    return [...counts]
      .map(([code, total]) => ({ code, total, lastHour: total - (before?.get(code) ?? 0) }))
      .toSorted(
        (one, other) =>
          other.lastHour - one.lastHour ||
          other.total - one.total ||
          one.code.localeCompare(other.code)
      )
      .slice(0, MAX_CODES)
  }
}
