import { seededRandom } from '../helper/seeded-random.ts'
import { FleetWorld, type Machines, type WorldFault } from './fleet-world.ts'

export interface WalkOptions {
  readonly machines: Machines
  readonly fault?: WorldFault | undefined
  readonly seed: number
  readonly steps: number
  readonly stepsOfAWalk?: number
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
  const { machines, fault, seed, steps, stepsOfAWalk = STEPS_OF_A_WALK } = options
  let taken = 0
  let walks = 0
  while (taken < steps) {
    const walkSeed = seed + walks
    const world = new FleetWorld({ machines, random: seededRandom(walkSeed), fault })
    walks += 1
    try {
      for (let step = 0; step < stepsOfAWalk; step += 1) {
        taken += 1
        world.step()
      }
      world.settle()
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      return { steps: taken, walks, violation: { seed: walkSeed, message } }
    }
  }
  return { steps: taken, walks, violation: null }
}
