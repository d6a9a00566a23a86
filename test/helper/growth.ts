import { fastestMs } from './cost.ts'

/** How the time of something grows with its input: for tests that must not pass or fail by luck. */

export interface Growth {
  readonly isLinear: boolean
  /** The figures, for whoever reads a failure. */
  readonly told: string
}

export interface GrowthOptions {
  /** Kilobytes at first; grows until the work is long enough to be judged. */
  readonly fromKb?: number
  readonly toKb?: number
}

/** Shorter work is not judged: the collector and other processes take milliseconds, too. */
const FLOOR_MS = 12
/** What is this fast for its size has no part that grows by the square. */
const FAST_MS_PER_KB = 0.03
const REPEATS = 3
/** Twice the input may take three times the time. */
const MAX_RATIO = 3
/** Where it seemed to take more, it is looked at once more at twice the size, more often, and over both steps. */
const MORE_REPEATS = 6

/**
 * Judges whether twice the input takes at most three times as long: CPU time of this thread, the best of several runs.
 * `prepare` makes the work for an input of so many kilobytes.
 */
export function growthOf(
  prepare: (kb: number) => () => void,
  { fromKb = 64, toKb = 512 }: GrowthOptions = {}
): Growth {
  let kb = fromKb
  let ms = fastestMs(prepare(kb), 2)
  while (ms < FLOOR_MS && kb < toKb) {
    kb *= 2
    ms = fastestMs(prepare(kb), 2)
  }
  if (ms < Math.max(FLOOR_MS, kb * FAST_MS_PER_KB)) return { isLinear: true, told: word(kb, ms) }
  const single = fastestMs(prepare(kb), REPEATS)
  const twice = fastestMs(prepare(kb * 2), REPEATS)
  const told = `${word(kb, single)}, ${word(kb * 2, twice)}`
  if (twice <= single * MAX_RATIO) return { isLinear: true, told }
  const fourTimes = fastestMs(prepare(kb * 4), MORE_REPEATS)
  const isLinear = fourTimes <= single * MAX_RATIO ** 2
  return { isLinear, told: `${told}, ${word(kb * 4, fourTimes)}` }
}

function word(kb: number, ms: number): string {
  return `${kb} KB in ${ms.toFixed(1)} ms`
}
