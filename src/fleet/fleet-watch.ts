import type { FleetTimes, Instant } from '../shared/elapsed.ts'
import type { FleetState } from './fleet-state.ts'

/** Observations of others' silence, by uninterrupted watching and this machine's monotonic clock alone. */
export class FleetWatch {
  readonly #times: FleetTimes
  /** By incarnation. Bounded by the members of the register. */
  readonly #seen = new Map<string, { readonly beat: string; readonly since: number }>()
  #counted = ''
  #era: { readonly era: string; readonly since: number } | null = null
  #rival: { readonly inc: string; readonly since: number } | null = null
  #heardAt = -Infinity

  constructor(times: FleetTimes) {
    this.#times = times
  }

  onHeard(beats: Readonly<Record<string, string>>, { mono: now }: Instant): void {
    if (now - this.#heardAt > this.#times.contactMs) {
      this.#seen.clear()
      this.#era = null
      this.#rival = null
    }
    this.#heardAt = now
    for (const inc of this.#seen.keys()) if (!(inc in beats)) this.#seen.delete(inc)
    for (const [inc, beat] of Object.entries(beats)) {
      if (this.#seen.get(inc)?.beat !== beat) this.#seen.set(inc, { beat, since: now })
    }
  }

  onState({ era, phase }: FleetState, { mono: now }: Instant): void {
    if (this.#counted !== era) {
      this.#counted = era
      this.#seen.clear()
      this.#rival = null
    }
    if (phase === 'open') this.#era = null
    else if (this.#era?.era !== era) this.#era = { era, since: now }
  }

  silenceMs(inc: string, { mono: now }: Instant): number {
    const seen = this.#seen.get(inc)
    return seen === undefined ? 0 : now - seen.since
  }

  /** True once every member with a lease in an earlier era must have closed everything. */
  isEraWatched(era: string, { mono: now }: Instant): boolean {
    return this.#era?.era === era && now - this.#era.since >= this.#times.lapsesMs
  }

  /** Members that must have closed everything, and members silent for a while. */
  silent({ members }: FleetState, own: string, now: Instant) {
    const { lapsesMs, contactMs } = this.#times
    const lapsed: string[] = []
    const hushed: string[] = []
    for (const inc in members) {
      if (inc === own) continue
      const silenceMs = this.silenceMs(inc, now)
      if (silenceMs >= lapsesMs) lapsed.push(inc)
      else if (silenceMs >= contactMs && members[inc]?.isQuiet === false) hushed.push(inc)
    }
    return { lapsed, hushed }
  }

  /** Two members of one name cannot both be genuine. Known after a while. */
  rivalOf(rival: string | null, now: Instant): 'none' | 'perhaps' | 'alive' {
    if (rival === null) return 'none'
    if (this.#rival?.inc !== rival) this.#rival = { inc: rival, since: now.mono }
    const watchedMs = now.mono - this.#rival.since
    if (watchedMs < this.#times.contactMs) return 'perhaps'
    return this.silenceMs(rival, now) < watchedMs / 2 ? 'alive' : 'none'
  }

  /** Last beats of these, for a change that rests on their silence. */
  beatsOf(incs: readonly string[]): Readonly<Record<string, string>> {
    return Object.fromEntries(incs.map((inc) => [inc, this.#seen.get(inc)?.beat ?? '']))
  }
}
