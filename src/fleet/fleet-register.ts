import type { FleetReading } from './fleet-store.ts'
import { eraNumber, type FleetState, grantableIn, sumOfLeases } from './fleet-state.ts'
import { newEra } from './next-fleet.ts'

/** The register must not contradict these. */
export interface OwnEntry {
  readonly inc: string
  readonly era: string
  readonly granted: number
  readonly returned: number
  readonly max: number
}

/** A member's view of the register, which reveals losses. */
export class FleetRegister {
  reading: FleetReading | null = null
  isStale = true
  #rev = 0
  #lastEra = ''
  #grantable = 0
  /** Era that counts as lost although its state is there, since its beats went back. */
  #lostEra: string | null = null

  get state(): FleetState | null {
    const reading = this.reading?.reading
    return reading?.type === 'state' ? reading.state : null
  }

  get rev(): number {
    return this.reading?.rev ?? 0
  }

  /** `null`: news may have been missed. */
  onNews(rev: number | null): void {
    if (rev === null || rev > this.rev) this.isStale = true
  }

  /** Beats of the last era went back: judgements based on them would be wrong. */
  onBeatsLost(): void {
    this.#lostEra = this.#lastEra
    this.isStale = true
  }

  take(reading: FleetReading, own: OwnEntry): FleetState | null {
    this.isStale = false
    this.reading = reading
    const { state } = this
    if (state === null || this.isLost(own)) return null
    this.#rev = reading.rev
    this.#lastEra = state.era
    this.#grantable = grantableIn(state)
    return state
  }

  /** True for a register that is empty, of another run, older than seen, or impossible. */
  isLost({ inc, era, granted, returned, max }: OwnEntry): boolean {
    const { state } = this
    if (state === null || state.run !== this.reading?.run) return true
    if (state.era === this.#lostEra || eraNumber(state.era) < eraNumber(this.#lastEra)) return true
    if (state.era === this.#lastEra && this.rev < this.#rev) return true
    const entry = state.members[inc]
    if (entry === undefined) return false
    if (entry.max > max) return true
    // Leases grow only while there is something to grant; after the limit was lowered they only fall.
    const most = Math.max(grantableIn(state), this.#grantable)
    if (entry.granted > granted && sumOfLeases(state.members) > most) return true
    return state.era === era && (entry.granted < granted || entry.returned > returned)
  }

  /** `by` noticed the loss. Its token is unique, and it writes no revision twice. */
  newEra(by: string, check: string): FleetState {
    const rev = Math.max(this.rev, this.#rev)
    return newEra({ run: this.reading?.run ?? '', check, by, rev, lastEra: this.#lastEra })
  }
}
