import { below, pick } from './world-terms.ts'

/** What happens to one process, or what people do with it. */
const HARMS = [
  'kill',
  'kill the primary of stopped workers',
  'leave',
  'stop the primary',
  'stop all',
  'sleep',
  'cut the network',
  'set the clock'
] as const
export type Harm = (typeof HARMS)[number]

/** What else may go wrong, and what else people do. */
const TURNS = [
  'start',
  'start a twin',
  'resize',
  'Valkey restarts',
  'Valkey is flushed',
  'Valkey is away',
  'forget',
  'open'
] as const
export type Turn = (typeof TURNS)[number]

export type Disturbance = { readonly harm: Harm } | { readonly turn: Turn }

const DISTURBANCES: readonly Disturbance[] = [
  ...HARMS.map((harm) => ({ harm })),
  ...TURNS.map((turn) => ({ turn }))
]

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
      const isStart = 'turn' in one && one.turn === 'start'
      return Array.from({ length: isStart ? 4 + weight : weight }, () => one)
    })
    const lengths = (Object.keys(LENGTHS) as Length[]).filter(() => random() < 0.6)
    this.#lengths = lengths.length === 0 ? ['any'] : lengths
  }

  next(random: () => number): Disturbance {
    return pick(random, this.#bag) ?? { turn: 'start' }
  }

  /** For how many ticks. */
  length(random: () => number): number {
    const [least, more] = LENGTHS[pick(random, this.#lengths) ?? 'any']
    return least + below(random, more)
  }
}
