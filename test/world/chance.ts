import { seededRandom } from '../helper/seeded-random.ts'

/** A stream of chance, all of it from one seed. */
export class Chance {
  /** From 0 to below 1. */
  readonly random: () => number

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  /** A stream of its own: what others draw, or that there are others, changes nothing in it. */
  static for(seed: number, name: string): Chance {
    let mixed = seed >>> 0
    for (const char of name) mixed = Math.imul(mixed ^ (char.codePointAt(0) ?? 0), 0x01000193)
    return new Chance(mixed >>> 0)
  }

  /** A number from `from` to below `to`. */
  between(from: number, to: number): number {
    return from + this.random() * (to - from)
  }

  isTrue(probability: number): boolean {
    return this.random() < probability
  }

  /** A waiting time with this mean, as of things that happen independently. */
  pause(meanMs: number): number {
    return -Math.log(1 - this.random()) * meanMs
  }

  pick<T>(values: readonly T[]): T {
    const value = values[Math.floor(this.random() * values.length)]
    if (value === undefined) throw new Error('nothing to pick from')
    return value
  }
}
