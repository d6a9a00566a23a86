import type { FleetReading } from './fleet-engine.ts'
import { eraNumber, type FleetState, grantableIn, sumOfLeases } from './fleet-state.ts'
import { newEra } from './next-fleet.ts'

/** Facts of a member about itself, which the register must not contradict. */
export interface OwnAccount {
  readonly inc: string
  /** In which it has a lease; '' before the first. */
  readonly era: string
  readonly granted: number
  readonly returned: number
  /** The largest maximum that it has ever told. */
  readonly max: number
}

/** Last view of one member on the register, with which it notices that the register has lost something. */
export class FleetRegister {
  reading: FleetReading | null = null
  /** True if another member may have written since. */
  isStale = true
  /** The highest revision that was seen of the last era. */
  #rev = 0
  #lastEra = ''
  /** Grantable connections in the last trusted state. */
  #grantable = 0
  /** An era of which something else than the state was lost. */
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

  /** Handles beats of the last era that went back: judgements based on them would be wrong. */
  onBeatsLost(): void {
    this.#lostEra = this.#lastEra
    this.isStale = true
  }

  /** Takes an answer of the engine. Returns the state if it can be believed. */
  take(reading: FleetReading, own: OwnAccount): FleetState | null {
    this.isStale = false
    this.reading = reading
    const { state } = this
    if (state === null || this.isLost(own)) return null
    this.#rev = reading.rev
    this.#lastEra = state.era
    this.#grantable = grantableIn(state)
    return state
  }

  /**
   * True if the register was lost: empty, written to another process of Valkey, older than what was seen of it, or not
   * a possible state.
   */
  isLost({ inc, era, granted, returned, max }: OwnAccount): boolean {
    const { state } = this
    if (state === null || state.run !== this.reading?.run) return true
    if (state.era === this.#lostEra || eraNumber(state.era) < eraNumber(this.#lastEra)) return true
    if (state.era === this.#lastEra && this.rev < this.#rev) return true
    const entry = state.members[inc]
    if (entry === undefined) return false
    if (entry.max > max) return true
    // Something is granted while there is some. After the limit was lowered there is none, and leases only go down.
    const most = Math.max(grantableIn(state), this.#grantable)
    if (entry.granted > granted && sumOfLeases(state.members) > most) return true
    return state.era === era && (entry.granted < granted || entry.returned > returned)
  }

  /**
   * Starts a new era, written by `by`, which noticed the loss. Its token is unique, and it writes no revision twice.
   */
  newEra(by: string, check: string): FleetState {
    const rev = Math.max(this.rev, this.#rev)
    return newEra({ run: this.reading?.run ?? '', check, by, rev, lastEra: this.#lastEra })
  }
}
