import type { FleetCore } from '../../../src/fleet/fleet-core.ts'
import type { FleetTimes } from '../../../src/shared/elapsed.ts'

/** What a world is made of: the real core, or one with a fault. */
export interface Machines {
  readonly FleetCore: typeof FleetCore
}

/** A fault outside of the core: in what keeps the sockets, or in Valkey's scripts. */
export type WorldFault =
  | 'returns before sockets are gone'
  | 'workers do not look at the lease on waking'
  | 'attests the death of a process that was stopped'
  | 'lapses without a look at the beats'
  | 'an empty register has no number of its own'
  | 'a register that was read is written without a look at its number'
  | 'a beat that comes twice hides those between'

export interface WorldOptions {
  readonly machines: Machines
  readonly fault?: WorldFault | undefined
  /** Hears what happens, in words. */
  readonly tell?: ((line: string) => void) | undefined
}

export const TICK_MS = 1_000
/** In ticks; see `fleetTimes()`. */
export const TIMES: FleetTimes = {
  beatMs: 2 * TICK_MS,
  closesMs: 24 * TICK_MS,
  cutsMs: 28 * TICK_MS,
  lapsesMs: 33 * TICK_MS,
  contactMs: 10 * TICK_MS
}
export const LEASE_MS = 30 * TICK_MS
export const TIMEOUT_MS = 3 * TICK_MS

/** A machine whose clocks may be set, and which may sleep: then its monotonic clock stands still. */
export interface Machine {
  isAsleep: boolean
  monoOffset: number
  wallOffset: number
}

/** A folder that outlives its processes, and what the lock in it knows. */
export interface Folder {
  readonly name: string
  readonly machine: Machine
  readonly incs: string[]
  known: Readonly<Record<string, string>>
  /** `HTTP_MAX_CONNECTIONS` there. */
  max: number
}

export function createFolder(name: string, max: number): Folder {
  const machine = { isAsleep: false, monoOffset: 0, wallOffset: 0 }
  return { name, machine, incs: [], known: {}, max }
}

/** What all parts of a world share. */
export interface WorldPorts {
  readonly random: () => number
  /** By no clock that anybody has. */
  readonly now: () => number
  readonly fault: WorldFault | undefined
  readonly tell: ((line: string) => void) | undefined
}

export function below(random: () => number, count: number): number {
  return Math.floor(random() * count)
}

export function pick<T>(random: () => number, from: readonly T[]): T | undefined {
  return from[below(random, from.length)]
}
