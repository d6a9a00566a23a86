import type { FleetTimes, Instant } from '../shared/elapsed.ts'
import type { FleetStanding } from '../shared/fleet-standing.ts'

/** Interval of the signs of life between the primary and each worker. */
export const BEAT_MS = 1_000

/** Silence of a process that is too long, in milliseconds; `null` for never. */
export interface SilenceLimits {
  readonly ms: number | null
  /** For the first sign, which a process gives when it has loaded its code. */
  readonly firstMs: number
}

/**
 * Tells which of its peers have fallen silent. Silence is counted in beats of the listener's own timer, and not on a
 * clock: one that comes late, because the listener was stopped itself (SIGSTOP, a suspended machine, a frozen
 * container, a debugger, no CPU), counts as one. What the others have said meanwhile is heard before the next, so that
 * time is held against none of them.
 */
export class LifeSigns<Name> {
  /** Beats since the last sign of each, and whether there was one. Bounded by the peers that were added. */
  readonly #signs = new Map<Name, { silence: number; wasHeard: boolean }>()

  /** Listens to one more, from now on. */
  add(name: Name): void {
    this.#signs.set(name, { silence: 0, wasHeard: false })
  }

  /** Names that were not added are ignored. */
  heard(name: Name): void {
    const signs = this.#signs.get(name)
    if (signs === undefined) return
    signs.silence = 0
    signs.wasHeard = true
  }

  remove(name: Name): void {
    this.#signs.delete(name)
  }

  /** One beat has passed. */
  beat(): void {
    for (const signs of this.#signs.values()) signs.silence++
  }

  /** Time without a sign; 0 while none is overdue. */
  silentMs(name: Name): number {
    const silence = this.#signs.get(name)?.silence ?? 0
    return Math.max(0, silence - 1) * BEAT_MS
  }

  /** Names that have been silent for longer. */
  silent({ ms, firstMs }: SilenceLimits): readonly Name[] {
    if (ms === null) return []
    return [...this.#signs]
      .filter(([name, { wasHeard }]) => {
        return this.silentMs(name) >= (wasHeard ? ms : Math.max(ms, firstMs))
      })
      .map(([name]) => name)
  }
}

/** State of this gateway in its fleet. A worker acts on it by itself if the primary does not. */
export interface FleetTold {
  readonly type: 'fleet.told'
  /** From when the lease counts; `null` where there is none. */
  readonly sentAt: Instant | null
  readonly times: FleetTimes
  /** Why nothing can be served; `null` if it can. */
  readonly problem: string | null
  /** For `/readyz`. As of the last beat, or of the last change of the above. */
  readonly standing: FleetStanding
}
