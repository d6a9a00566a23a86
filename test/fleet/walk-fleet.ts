import { FleetWorld } from './world/fleet-world.ts'
import type { WorldOptions } from './world/world-terms.ts'

export interface WalkOptions extends WorldOptions {
  readonly seed: number
  readonly steps: number
}

const STEPS_OF_A_WALK = 1_500

export interface Walked {
  readonly steps: number
  readonly walks: number
  /** The first violation, and the seed of the walk that found it. */
  readonly violation: { readonly seed: number; readonly message: string } | null
}

/** Walks through worlds of their own until so many steps were taken, or something is wrong. */
export function walkFleet(options: WalkOptions): Walked {
  const { seed, steps } = options
  let taken = 0
  let walks = 0
  while (taken < steps) {
    const walkSeed = seed + walks
    walks += 1
    taken += STEPS_OF_A_WALK
    const message = walkOnce(options, walkSeed)
    if (message !== null) return { steps: taken, walks, violation: { seed: walkSeed, message } }
  }
  return { steps: taken, walks, violation: null }
}

/** All steps of a walk, by number. */
export const WHOLE_WALK = Array.from({ length: STEPS_OF_A_WALK }, (_, step) => step)

/** One walk, or some steps of it. Returns what was violated. */
export function walkOnce(
  options: WorldOptions,
  seed: number,
  steps: readonly number[] = WHOLE_WALK
): string | null {
  try {
    const world = new FleetWorld(options, seed)
    for (const step of steps) world.step(seedOf(seed, step))
    world.settle(seedOf(seed, STEPS_OF_A_WALK))
    return null
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

/** The fewest steps of a walk that still violate something: each part that is not needed is left out. */
export function shrinkWalk(options: WorldOptions, seed: number): readonly number[] {
  let steps: readonly number[] = WHOLE_WALK
  for (let size = steps.length / 2; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < steps.length; ) {
      const fewer = [...steps.slice(0, at), ...steps.slice(at + size)]
      if (walkOnce(options, seed, fewer) === null) at += size
      else steps = fewer
    }
  }
  return steps
}

function seedOf(seed: number, step: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0
}
