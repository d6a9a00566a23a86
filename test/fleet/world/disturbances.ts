import { below, pick } from './world-terms.ts'

/** What may go wrong, and what people do. */
const DISTURBANCES = [
  'start',
  'start a twin',
  'kill',
  'kill the primary of stopped workers',
  'leave',
  'stop the primary',
  'stop all',
  'sleep',
  'cut the network',
  'set the clock',
  'resize',
  'engine restarts',
  'engine is flushed',
  'engine is away',
  'forget',
  'open'
] as const
export type Disturbance = (typeof DISTURBANCES)[number]

const WEIGHTS = [0, 1, 1, 5]
/** In ticks: around what matters to a lease, anything, and hardly noticed. */
const LENGTHS = { edge: [21, 16], any: [1, 45], short: [1, 6] } as const
type Length = keyof typeof LENGTHS

/**
 * What goes wrong in one world, drawn once for each: where everything happens at once, hardly anything happens for long
 * enough to matter.
 */
export class Disturbances {
  readonly #bag: readonly Disturbance[]
  readonly #lengths: readonly Length[]
  /** Of each step that may disturb, so many do. */
  readonly rate: number

  constructor(random: () => number) {
    this.rate = [0.1, 0.3, 1][below(random, 3)] ?? 1
    this.#bag = DISTURBANCES.flatMap((one) => {
      const weight = WEIGHTS[below(random, WEIGHTS.length)] ?? 1
      return Array.from({ length: one === 'start' ? 4 + weight : weight }, () => one)
    })
    const lengths = (Object.keys(LENGTHS) as Length[]).filter(() => random() < 0.6)
    this.#lengths = lengths.length === 0 ? ['any'] : lengths
  }

  next(random: () => number): Disturbance {
    return pick(random, this.#bag) ?? 'start'
  }

  /** For how many ticks. */
  length(random: () => number): number {
    const [least, more] = LENGTHS[pick(random, this.#lengths) ?? 'any']
    return least + below(random, more)
  }
}
