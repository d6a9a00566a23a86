import type { FleetTimes, Instant } from '../shared/elapsed.ts'
import type { FleetStatus } from '../shared/fleet-status.ts'

export const BEAT_MS = 1_000

/** Limits in ms; `null` for never. */
export interface SilenceLimits {
  readonly ms: number | null
  /** Until the first sign, which follows the loading of code. */
  readonly firstMs: number
}

/**
 * Finds silent peers. Silence is counted in beats of the listener's own timer: time in which the listener was stopped
 * (SIGSTOP, suspended machine, frozen container, debugger) counts as one beat.
 */
export class LifeSigns<Name> {
  /** Beats since each peer's last sign. Bounded by the added peers. */
  readonly #signs = new Map<Name, { silence: number; wasHeard: boolean }>()

  add(name: Name): void {
    this.#signs.set(name, { silence: 0, wasHeard: false })
  }

  heard(name: Name): void {
    const signs = this.#signs.get(name)
    if (signs === undefined) return
    signs.silence = 0
    signs.wasHeard = true
  }

  remove(name: Name): void {
    this.#signs.delete(name)
  }

  beat(): void {
    for (const signs of this.#signs.values()) signs.silence++
  }

  /** 0 while no sign is overdue. */
  silentMs(name: Name): number {
    const silence = this.#signs.get(name)?.silence ?? 0
    return Math.max(0, silence - 1) * BEAT_MS
  }

  silent({ ms, firstMs }: SilenceLimits): readonly Name[] {
    if (ms === null) return []
    return [...this.#signs]
      .filter(([name, { wasHeard }]) => {
        return this.silentMs(name) >= (wasHeard ? ms : Math.max(ms, firstMs))
      })
      .map(([name]) => name)
  }
}

/** State of the fleet. A worker acts on it by itself if the primary does not. */
export interface FleetTold {
  readonly type: 'fleet.told'
  readonly sentAt: Instant | null
  readonly times: FleetTimes
  /** `null` if requests can be served. */
  readonly problem: string | null
  /** For `/readyz`, as of the last beat or change. */
  readonly status: FleetStatus
}
