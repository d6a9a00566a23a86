import { Chance } from './chance.ts'
import type { Character, FaultName } from './character.ts'
import type { Rhythm } from './rhythm.ts'

/** One fault of a world. Its number stays the same when others are left out. */
export interface PlannedFault {
  readonly number: number
  /** Virtual ms after the clients have begun. */
  readonly at: number
  readonly name: FaultName
  /** Seed of what the fault decides, such as whom it hits. */
  readonly seed: number
}

/** Faults that come in bursts, as everything on one way does when the way breaks. */
const IN_BURSTS: readonly FaultName[] = ['cut', 'halve', 'vanish', 'kill', 'pause']
const MOST_IN_BURST = 6

/** Draws all faults of a world before anything happens: alone, in pairs, and in bursts; in worlds of days, fewer at night. */
export function planFaults(
  { seed, hours }: { readonly seed: number; readonly hours: number },
  { faults, faultMs }: Pick<Character, 'faults' | 'faultMs'>,
  rhythm: Rhythm | null = null
): readonly PlannedFault[] {
  const chance = Chance.for(seed, 'faults')
  const plan: PlannedFault[] = []
  const add = (name: FaultName, at: number): void => {
    const number = plan.length + 1
    plan.push({ number, at, name, seed: Math.floor(chance.random() * 2 ** 32) })
  }
  if (faults.length === 0) return plan
  for (let at = chance.pause(faultMs); at < hours * 3_600_000; at += chance.pause(faultMs)) {
    if (rhythm !== null && !chance.isTrue(rhythm.faultsAt(at))) continue
    const name = chance.pick(faults)
    add(name, at)
    if (chance.isTrue(0.25)) add(chance.pick(faults), at + chance.pick([0, 1, 40, 600, 5_000]))
    if (!IN_BURSTS.includes(name) || !chance.isTrue(0.15)) continue
    const count = 1 + Math.floor(chance.random() * MOST_IN_BURST)
    for (let more = 0; more < count; more += 1) add(name, at + chance.between(0, 200))
  }
  return plan
}
